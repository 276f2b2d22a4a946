"""Feature files that nobody should have made: odd types and shapes, links, bombs, bad metadata.

`ODD_HDF5` and `ODD_SAFETENSORS` map a name to a function that writes such a file to a path.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

GOOD = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
DEEP = "[" * 100_000 + "]" * 100_000

Writer = Callable[[Path], None]


def _hdf5(write: Callable[[h5py.File], Any]) -> Writer:
    def write_file(path: Path) -> None:
        with h5py.File(path, "w") as file:
            write(file)

    return write_file


def _beside(**columns: Any) -> Writer:
    def write(file: h5py.File) -> None:
        file["features"] = GOOD
        for name, column in columns.items():
            file[name] = column

    return _hdf5(write)


def _with_attribute(value: Any, name: str = "provenance", on: str = "/", **options: Any) -> Writer:
    def write(file: h5py.File) -> None:
        file["features"] = GOOD
        file[on].attrs.create(name, value(file) if callable(value) else value, **options)

    return _hdf5(write)


def _features(data: Any = None, **options: Any) -> Writer:
    return _hdf5(lambda file: file.create_dataset("features", data=data, **options))


def _bitfield(file: h5py.File) -> None:
    space = h5py.h5s.create_simple((4, 2, 3))
    h5py.h5d.create(file.id, b"features", h5py.h5t.STD_B8LE, space)


def _external_storage(file: h5py.File) -> None:
    beside = Path(file.filename).with_suffix(".bin")
    beside.write_bytes(GOOD.tobytes())
    file.create_dataset("features", GOOD.shape, "f4", external=[(str(beside), 0, GOOD.nbytes)])


def _other_file(file: h5py.File) -> str:
    other = Path(file.filename).with_suffix(".other")
    with h5py.File(other, "w") as target:
        target["features"] = GOOD
        target["class_group"] = np.arange(4)
    return str(other)


def _external_link(file: h5py.File) -> None:
    file["features"] = h5py.ExternalLink(_other_file(file), "features")


def _external_column(file: h5py.File) -> None:
    file["features"] = GOOD
    file["class_group"] = h5py.ExternalLink(_other_file(file), "class_group")


def _external_group(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).with_suffix(".deep"), "w") as target:
        target["224/feat"] = GOOD
        file["resnet18"] = h5py.ExternalLink(target.filename, "/")


def _soft_link(file: h5py.File) -> None:
    file["elsewhere"] = GOOD
    file["features"] = h5py.SoftLink("/elsewhere")


def _cyclic(file: h5py.File) -> None:
    file["a/b"] = GOOD
    file["a/loop"] = file["a"]
    file["self"] = h5py.SoftLink("/self")


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(GOOD.shape, "f4")
    layout[:] = h5py.VirtualSource(_other_file(file), "features", GOOD.shape)
    file.create_virtual_dataset("features", layout)


def _partly_written(file: h5py.File) -> None:
    data = file.create_dataset("features", (40, 2, 3), "f4", chunks=(10, 2, 3))
    data[:10] = 1


def _bomb(file: h5py.File) -> None:
    data = file.create_dataset(
        "features", (40, 1024, 1024), "f2", chunks=(8, 1024, 1024), compression="gzip"
    )
    for start in range(0, 40, 8):
        data[start : start + 8] = 0


def _unknown_filter(file: h5py.File) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4, 2, 3))
    properties.set_filter(32_099, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((4, 2, 3))
    data = h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, space, properties)
    data.write(h5py.h5s.ALL, h5py.h5s.ALL, GOOD)


def _many_datasets(file: h5py.File) -> None:
    for index in range(300):
        file[f"{'long name ' * 10}\n{index}"] = 0


_TEXT = h5py.string_dtype()
_POINT = np.dtype([("x", "f4"), ("y", "f4")])
_VARIABLE = h5py.vlen_dtype(np.float32)


def _ragged() -> np.ndarray:
    rows = np.empty(2, object)
    rows[:] = [np.arange(2, dtype=np.float32), np.arange(3, dtype=np.float32)]
    return rows


ODD_HDF5: dict[str, Writer] = {
    **{
        f"features of {np.dtype(dtype)}": _features(np.ones((4, 2, 3), dtype))
        for dtype in ("i1", "u8", "?", "c8", "S3", "V5", _POINT, np.longdouble)
    },
    "features of texts": _features(np.full((4, 2, 3), "a", object), dtype=_TEXT),
    "features of references": _features(shape=(4, 2, 3), dtype=h5py.ref_dtype),
    "features of regions": _features(shape=(4, 2, 3), dtype=h5py.regionref_dtype),
    "features of variable length": _features(shape=(4, 2, 3), dtype=_VARIABLE),
    "features of arrays": _features(shape=(4, 2, 3), dtype=np.dtype(("f4", (2,)))),
    "features of an enumeration": _features(
        shape=(4, 2, 3), dtype=h5py.enum_dtype({"a": 0, "b": 1})
    ),
    "features of bits": _hdf5(_bitfield),
    **{
        f"features of shape {shape}": _features(np.ones(shape, np.float32))
        for shape in ((), (3,), (3, 4), (1, 2, 3, 4), (0, 2, 3), (2, 3, 0))
    },
    "features of nothing": _features(h5py.Empty("f4")),
    "features never written": _features(shape=(4, 2, 3), dtype="f4"),
    "36 TiB never written": _features(shape=(10**6, 10**6, 10), dtype="f4", chunks=(1, 1000, 10)),
    "features partly written": _hdf5(_partly_written),
    "features as a group": _hdf5(lambda file: file.create_group("features")),
    "features as a type": _hdf5(lambda file: file.__setitem__("features", np.dtype("f4"))),
    "features by a soft link": _hdf5(_soft_link),
    "features by an external link": _hdf5(_external_link),
    "group by an external link": _hdf5(_external_group),
    "class_group by an external link": _hdf5(_external_column),
    "external storage": _hdf5(_external_storage),
    "virtual storage": _hdf5(_virtual),
    "cyclic groups": _hdf5(_cyclic),
    "bomb": _hdf5(_bomb),
    "unknown filter": _hdf5(_unknown_filter),
    "many datasets": _hdf5(_many_datasets),
    "huge features": _features(GOOD * 1e12),
    "features beyond float32": _features(GOOD.astype(np.float64) * 1e200),
    "infinite features": _features(np.full((4, 2, 3), np.inf)),
    "class_group of two axes": _beside(class_group=np.zeros((4, 2), int)),
    "class_group of none": _beside(class_group=3),
    "class_group of reals": _beside(class_group=np.zeros(4)),
    "class_group of texts": _beside(class_group=["a"] * 4),
    "class_group of points": _beside(class_group=np.zeros(4, _POINT)),
    "class_group of truths": _beside(class_group=np.zeros(4, bool)),
    "class_group beyond int64": _beside(class_group=np.full(4, 2**64 - 1, np.uint64)),
    "class_group empty": _beside(class_group=h5py.Empty("i4")),
    "class_transform of another length": _beside(class_transform=np.zeros(3, int)),
    "class_name of integers": _beside(class_name=np.arange(4)),
    "class_name of two axes": _beside(class_name=[["a", "b"]] * 4),
    "class_name of one text": _beside(class_name="all of them"),
    "class_name in no encoding": _beside(class_name=np.array([b"\xff\xfe"] * 4)),
    "class_character outside": _beside(class_character=[0, 1, 2, 9], character=["a"]),
    "class_character negative": _beside(class_character=[0, 1, 2, -1], character=["a"] * 4),
    "class_character of reals": _beside(class_character=np.zeros(4), character=["a"]),
    "character of integers": _beside(class_character=[0] * 4, character=[3]),
    "class_transform outside": _beside(
        class_character=[0] * 4, character=["a"], class_transform=[0, 1, 2, 11]
    ),
    "provenance of no JSON": _with_attribute("made by hand"),
    "provenance of a list": _with_attribute("[1, 2]"),
    "provenance of a number": _with_attribute(3),
    "provenance of an array": _with_attribute(np.arange(3)),
    "provenance of nothing": _with_attribute(h5py.Empty("f4")),
    "provenance too deep": _with_attribute(DEEP[70_000:-70_000]),
    "provenance in no encoding": _with_attribute(np.bytes_(b"\xff{}")),
    "digest of a number": _with_attribute(3, "content_sha256"),
    "digest of nothing known": _with_attribute("0" * 64, "content_sha256", "features"),
    "attribute of a reference": _with_attribute(lambda file: file["features"].ref, "note"),
    "attribute of a point": _with_attribute(np.zeros(2, _POINT), "note"),
    "attribute of variable length": _with_attribute(_ragged(), "note", dtype=_VARIABLE),
    "attribute of nothing": _with_attribute(h5py.Empty("f4"), "note"),
    "attribute of complex numbers": _with_attribute(1 + 2j, "note"),
}


def raw_safetensors(path: Path, header: Any, data: bytes = b"", n_header: int | None = None):
    """A safetensors file of any header (an object, or bytes as they are)."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if n_header is None else n_header) + text + data)


def _safetensors(
    metadata: dict[str, Any] | None = None,
    dtype: str = "F32",
    shape: tuple[int, ...] = (4, 2, 3),
    data: bytes | None = None,
    **columns: tuple[str, tuple[int, ...], bytes],
) -> Writer:
    """A file whose features are of this type and shape, with other tensors beside them."""

    def write(path: Path) -> None:
        header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
        tensors = {"features": (dtype, shape, GOOD.tobytes() if data is None else data), **columns}
        place = 0
        for name, (kind, lengths, content) in tensors.items():
            end = place + len(content)
            header[name] = {"dtype": kind, "shape": lengths, "data_offsets": [place, end]}
            place = end
        raw_safetensors(path, header, b"".join(content for _, _, content in tensors.values()))

    return write


_F32 = {"dtype": "F32", "shape": [4, 2, 3], "data_offsets": [0, 96]}
_GROUPS = np.arange(4, dtype=np.int64).tobytes()

ODD_SAFETENSORS: dict[str, Writer] = {
    **{
        f"features of {dtype}": _safetensors(dtype=dtype, data=bytes(24 * size))
        for dtype, size in {
            "F8_E4M3": 1,
            "F8_E5M2": 1,
            "F8_E8M0": 1,
            "F4": 1,
            "BOOL": 1,
            "I8": 1,
            "U16": 2,
            "I64": 8,
            "C64": 8,
            "X9": 4,
        }.items()
    },
    **{
        f"features of shape {shape}": _safetensors(shape=shape, data=bytes(4 * int(np.prod(shape))))
        for shape in ((), (3,), (3, 4), (1, 2, 3, 4), (0, 2, 3))
    },
    "features of bfloat16 beyond all scale": _safetensors(dtype="BF16", data=b"\x00\x7f" * 24),
    "shape longer than the data": _safetensors(shape=(4, 2, 300)),
    "shape beyond 64 bits": _safetensors(shape=(2**40, 2**40, 2**40)),
    "negative shape": _safetensors(shape=(-4, -2, 3)),
    "huge header": lambda path: raw_safetensors(path, {"features": _F32}, n_header=2**62),
    "header beyond the file": lambda path: raw_safetensors(path, {"features": _F32}, n_header=4000),
    "header of no JSON": lambda path: raw_safetensors(path, b"what?"),
    "header of a list": lambda path: raw_safetensors(path, [1, 2]),
    "header too deep": lambda path: raw_safetensors(path, DEEP.encode()),
    "data missing": lambda path: raw_safetensors(path, {"features": _F32}),
    "data too long": lambda path: raw_safetensors(path, {"features": _F32}, bytes(200)),
    "features of nothing": lambda path: raw_safetensors(path, {}),
    "class_group of F32": _safetensors(class_group=("F32", (4,), bytes(16))),
    "class_group of BF16": _safetensors(class_group=("BF16", (4,), bytes(8))),
    "class_group of BOOL": _safetensors(class_group=("BOOL", (4,), bytes(4))),
    "class_group of two axes": _safetensors(class_group=("I64", (2, 2), _GROUPS)),
    "class_group of none": _safetensors(class_group=("I64", (), _GROUPS[:8])),
    "class_group of another length": _safetensors(class_group=("I64", (3,), _GROUPS[:24])),
    "class_group beyond int64": _safetensors(class_group=("U64", (4,), b"\xff" * 32)),
    "class_transform of F64": _safetensors(class_transform=("F64", (4,), bytes(32))),
    "digest of reals": _safetensors(content_sha256=("F32", (1,), bytes(4))),
    "digest of nothing known": _safetensors(content_sha256=("U8", (32,), bytes(32))),
    "digest in metadata alone": _safetensors({"content_sha256": "0" * 64}),
    **{
        f"{key} {name}": _safetensors({key: text})
        for key in ("class_names", "provenance")
        for name, text in {
            "of no JSON": "a, b, c, d",
            "of numbers": "[1, 2, 3, 4]",
            "of a number": "4",
            "of a text": '"abcd"',
            "of an object": '{"a": 1, "b": 2, "c": 3, "d": 4}',
            "of nothing": "null",
            "of lists": '[["a"], ["b"], ["c"], ["d"]]',
            "too deep": DEEP,
            "too long a number": "9" * 5000,
        }.items()
    },
    "metadata of numbers": _safetensors({"class_names": 3}),
}
