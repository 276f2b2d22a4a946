"""What an HDF5 file says of its features, asked and checked before any of them are decoded."""

import math
from typing import Any

import h5py
import numpy as np

# Where features are looked for when no dataset is named; the second is where the coopetition
# paper's authors keep theirs.
DEFAULT_DATASETS = ("features", "resnet18/224/feat")
COLUMNS = ("class_name", "character", "class_character", "class_group", "class_transform")
DIGEST = "content_sha256"

MAX_BYTES = 16 * 2**30
"""Features larger than this when decoded are refused."""

MAX_EXPANSION = 100
"""So are those that decode to more than so many times the file's size, if above `FREE_BYTES`."""

FREE_BYTES = 64 * 2**20
MAX_ROWS = 5_000_000
MAX_ATTRIBUTE_BYTES = 2**16
MAX_LISTED = 10


class UnusableDataError(ValueError):
    """What is wrong with a file, as a sentence that begins with the file's name goes on."""


def read_header(file: h5py.File, dataset: str | None, file_bytes: int) -> dict[str, Any]:
    """Everything but the features, in JSON's types; decodes nothing that has not been checked.

    Args:
        file: The open file.
        dataset: Name of the features; None looks for `DEFAULT_DATASETS`.
        file_bytes: Size of the file.

    Returns:
        "dataset", "shape" and "dtype" of the features, a list for each of `COLUMNS` that is
        there, "provenance" (text), "digests" (two, None where there is none), "attributes".

    Raises:
        UnusableDataError: The file does not hold features, or holds them in a way that is refused.
    """
    name = _find_features(file, dataset)
    data = file[name]
    _check_features(data, name, file_bytes)
    header: dict[str, Any] = {
        "dataset": name,
        "shape": list(data.shape),
        "dtype": data.dtype.newbyteorder("=").str,
        "attributes": {**_attributes(file), **_attributes(data)},
        "provenance": _text_attribute(file, "provenance"),
        "digests": [_text_attribute(holder, DIGEST) for holder in (file, data)],
    }
    for key in COLUMNS:
        column = _linked(data.parent, key)
        if isinstance(column, h5py.Dataset):
            header[key] = _read_column(column, key, file_bytes)
    return header


def _linked(group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
    """What is at a path, if it is there; never what lies in another file.

    Raises:
        UnusableDataError: A part of the path is a soft or external link.
    """
    item = group
    for part in path.split("/"):
        if not isinstance(item, h5py.Group):
            return None
        link = item.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            kind = "another file" if isinstance(link, h5py.ExternalLink) else "elsewhere"
            raise UnusableDataError(
                f"has {path!r} only as a link to {kind}, which is not followed: copy the data "
                "itself into the file"
            )
        item = item[part]
    return item


def _find_features(file: h5py.File, dataset: str | None) -> str:
    candidates = DEFAULT_DATASETS if dataset is None else (dataset.strip("/"),)
    for name in candidates:
        if name and isinstance(_linked(file, name), h5py.Dataset):
            return name
    found: list[str] = []

    def note_dataset(name: str, item: h5py.Dataset | h5py.Group) -> bool | None:
        if isinstance(item, h5py.Dataset):
            found.append(f"{name} {item.shape}")
        return len(found) > MAX_LISTED or None  # True stops the visit

    file.visititems(note_dataset)
    raise UnusableDataError(no_such_dataset(candidates, found))


def no_such_dataset(candidates: tuple[str, ...], found: list[str]) -> str:
    """The message for features that are not there, with the names and shapes of what is."""
    listed = [*found[:MAX_LISTED], *(["..."] if len(found) > MAX_LISTED else [])]
    wanted = " or ".join(repr(name) for name in candidates)
    return (
        f"has no dataset {wanted}; it holds: {', '.join(listed) or 'none'}. "
        "Name one of these as the dataset"
    )


def _check_features(data: h5py.Dataset, name: str, file_bytes: int) -> None:
    dtype = _dtype_of(data, name)
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise UnusableDataError(
            f"has a dataset {name!r} that is {dtype}; features must be float16, float32 or "
            "float64: convert them, or name another dataset"
        )
    check_shape(name, data.shape or ())
    _check_storage(data, name, file_bytes)


def check_shape(name: str, shape: tuple[int, ...]) -> None:
    """Refuses what cannot be features by their shape alone.

    Raises:
        UnusableDataError: Wrong rank, or no entries.
    """
    if len(shape) != 3:
        raise UnusableDataError(
            f"has a dataset {name!r} of shape {shape}; features must be "
            "[n_classes, n_exemplars, d_feature]: reshape them to three axes"
        )
    if 0 in shape:
        raise UnusableDataError(f"has empty features: {name!r} is of shape {shape}")


def check_size(name: str, n_bytes: int, file_bytes: int) -> None:
    """Refuses what is too large when decoded.

    Raises:
        UnusableDataError: More than `MAX_BYTES`, or than `MAX_EXPANSION` times the file.
    """
    if n_bytes > MAX_BYTES:
        raise UnusableDataError(
            f"has a dataset {name!r} of {n_bytes / 2**30:,.1f} GiB; at most "
            f"{MAX_BYTES / 2**30:.0f} GiB are read: keep fewer classes, or a shorter dtype"
        )
    if n_bytes > max(FREE_BYTES, MAX_EXPANSION * file_bytes):
        raise UnusableDataError(
            f"has a dataset {name!r} that decodes to {n_bytes / 2**20:,.0f} MiB, "
            f"{n_bytes / file_bytes:,.0f} times the file's size; at most {MAX_EXPANSION} times "
            "are read: save it uncompressed if it is meant"
        )


def _check_storage(data: h5py.Dataset, name: str, file_bytes: int) -> None:
    """Refuses data that lies in other files, was never written, or is too large."""
    if data.is_virtual or data.external:
        raise UnusableDataError(
            f"has a dataset {name!r} whose data lie in other files (virtual or external "
            "storage), which are not read: copy the data itself into the file"
        )
    check_size(name, data.nbytes, file_bytes)
    if data.chunks is None:
        written = data.id.get_storage_size() / max(data.nbytes, 1)
    else:
        check_size(f"{name} (one chunk)", math.prod(data.chunks) * data.dtype.itemsize, file_bytes)
        grid = zip(data.shape, data.chunks, strict=True)
        n_chunks = math.prod(math.ceil(length / chunk) for length, chunk in grid)
        written = data.id.get_num_chunks() / max(n_chunks, 1)
        for index in range(data.id.get_create_plist().get_nfilters()):
            code, _, _, title = data.id.get_create_plist().get_filter(index)
            if not h5py.h5z.filter_avail(code):
                title = title.decode(errors="replace") or "unnamed"
                raise UnusableDataError(
                    f"has a dataset {name!r} compressed by {title} (filter {code}), which this "
                    "HDF5 library has not: save it with gzip, or uncompressed"
                )
    if data.size and written < 1:
        raise UnusableDataError(
            f"has a dataset {name!r} of shape {data.shape} of which only {written:.1%} was "
            "written: make the file again"
        )


def _dtype_of(data: h5py.Dataset, name: str) -> np.dtype:
    try:
        return data.dtype
    except TypeError as error:
        raise UnusableDataError(
            f"has a dataset {name!r} of a type that NumPy has not ({error}): convert it"
        ) from error


def _read_column(column: h5py.Dataset, key: str, file_bytes: int) -> list[Any]:
    """Names as texts, or groups, characters or transforms as integers."""
    dtype = _dtype_of(column, key)
    of_text = key in ("class_name", "character")
    fits = h5py.check_string_dtype(dtype) if of_text else dtype.kind in "iu"
    if not fits or column.shape is None or len(column.shape) != 1:
        raise UnusableDataError(
            f"has a {key} that is {dtype} of shape {column.shape}; it must be one "
            f"{'text' if of_text else 'integer'} per {key.split('_')[0]}: mend or leave it out"
        )
    if len(column) > MAX_ROWS:
        raise UnusableDataError(f"has a {key} of {len(column)} rows; at most {MAX_ROWS} are read")
    _check_storage(column, key, file_bytes)
    if of_text:
        return [str(text) for text in column.asstr()[()]]
    return column[()].tolist()


def _text_attribute(holder: h5py.File | h5py.Dataset, name: str) -> str | None:
    if name not in holder.attrs:
        return None
    value = _attribute(holder, name)
    if not isinstance(value, str):
        raise UnusableDataError(f"has an attribute {name} that is no text: delete or mend it")
    return value


def _attributes(holder: h5py.File | h5py.Dataset) -> dict[str, Any]:
    return {name: _attribute(holder, name) for name in holder.attrs if name != DIGEST}


def _attribute(holder: h5py.File | h5py.Dataset, name: str) -> Any:
    """An attribute in JSON's types; what has none there, or is long, in words."""
    try:
        found = holder.attrs.get_id(name)
        if math.prod(found.shape or ()) * found.dtype.itemsize > MAX_ATTRIBUTE_BYTES:
            return f"{found.dtype} of shape {found.shape}, left out"
        return _plain(holder.attrs[name])
    except TypeError as error:
        return f"not readable ({error})"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | bool) else str(value)
