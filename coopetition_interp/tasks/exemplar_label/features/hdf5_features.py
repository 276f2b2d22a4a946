"""HDF5 feature files: read by a process of their own, written here."""

import json
import os
import signal
import subprocess
import sys
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

import coopetition_interp
from coopetition_interp.files.hdf5_reading.header import COLUMNS, DIGEST, UnusableDataError
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank
from coopetition_interp.tasks.exemplar_label.features.feature_file_content import (
    FeatureFileContent,
    content_digest,
)

SECONDS = 20
"""Of computing that the reading process may take for a file's header, and for each block of its
features (32 MiB, or a row of chunks)."""

_MAX_MESSAGE_BYTES = 2**30

# With -c the working directory comes first on Python's path, and there a stranger's folder may hold
# a numpy.py: the folder that this package was imported from takes its place.
_PROGRAM = (
    f"import sys; sys.path[0] = {str(Path(coopetition_interp.__file__).parents[1])!r}; "
    "from coopetition_interp.files.hdf5_reading.program import run; run()"
)


def read_hdf5(path: Path, dataset: str | None, seconds: float = SECONDS) -> FeatureFileContent:
    """Reads a file in a process of its own, which ends when it computes too long.

    Args:
        path: The file.
        dataset: Name of the features; None looks for the default ones.
        seconds: Of computing before the first block of features, and for each block.

    Returns:
        What the file holds, not checked beyond what reading it safely takes.

    Raises:
        UnusableDataError: It is damaged, or holds no features, or in a way that is refused.
    """
    command = [sys.executable, "-c", _PROGRAM, str(path), dataset or "", str(seconds)]
    # Each of OpenBLAS's threads would take memory before it is bounded.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert isinstance(process.stdout, BufferedIOBase)
        try:
            return received(process.stdout)
        except _EndedEarlyError:
            raise UnusableDataError(_how_it_ended(process.wait(), seconds)) from None
        finally:
            process.kill()


class _EndedEarlyError(Exception):
    """The reading process ended before it had told all."""


def received(messages: BufferedIOBase) -> FeatureFileContent:
    """What the reading program's messages tell.

    Raises:
        UnusableDataError: The file is refused.
    """
    header = _message(messages, "header")
    try:
        features = np.empty(header["shape"], dtype=header["dtype"])
    except MemoryError as error:
        raise UnusableDataError(
            f"holds features that do not fit into this machine's memory ({error}): keep fewer "
            "classes, or a shorter dtype"
        ) from error
    place = memoryview(features.data).cast("B")
    while len(place):
        block = _message(messages, "block")
        if messages.readinto(place[:block]) != block:
            raise _EndedEarlyError
        place = place[block:]
    _message(messages, "end")
    return FeatureFileContent(
        features=torch.from_numpy(features),
        dataset=header["dataset"],
        class_names=header.get("class_name"),
        provenance=header["provenance"],
        digests=tuple(header["digests"]),
        attributes=header["attributes"],
        **{
            {"character": "characters"}.get(key, key): header.get(key)
            for key in COLUMNS
            if key != "class_name"
        },
    )


def _message(messages: BufferedIOBase, expected: str) -> Any:
    line = messages.readline(_MAX_MESSAGE_BYTES)
    if not line.endswith(b"\n"):
        raise _EndedEarlyError
    message = json.loads(line)
    if "error" in message:
        raise UnusableDataError(message["error"])
    return message[expected]


def _how_it_ended(code: int, seconds: float) -> str:
    if code == -getattr(signal, "SIGPROF", 0):
        return (
            f"is truncated or corrupt, or takes too long: {seconds:g} s of computing did not "
            "decode its next part. Make or copy it again, uncompressed or in larger chunks"
        )
    how = f"ended with status {code}" if code >= 0 else f"was ended by signal {-code}"
    return (
        f"could not be read: the process that reads HDF5 {how}. The file is corrupt, or memory "
        "ran out: make or copy it again"
    )


def write_hdf5(bank: FeatureBank, path: Path) -> None:
    """Writes a bank; its digest beside the features and at the root.

    In both places, so that one damaged byte cannot make the file look as if it came from
    elsewhere, where there is no digest to hold it to.
    """
    digest = content_digest(bank)
    with h5py.File(path, "w") as file:
        features = file.create_dataset("features", data=bank.features.contiguous().numpy())
        file.create_dataset("class_group", data=bank.class_group)
        if bank.class_transform is not None:
            file.create_dataset("class_transform", data=bank.class_transform)
        file.create_dataset("class_name", data=list(bank.class_names), dtype=h5py.string_dtype())
        file.attrs["provenance"] = json.dumps(bank.provenance)
        for holder in (file, features):
            holder.attrs[DIGEST] = digest
