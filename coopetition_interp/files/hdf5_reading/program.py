"""Reads one HDF5 file and writes it to its output, within bounds.

Messages are lines of JSON: {"header": ...}, then {"block": number of bytes} each followed by so
many bytes of the features, then {"end": true}; or {"error": ...} in the place of any of them.
"""

import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from typing import Any

import h5py
import numpy as np

from coopetition_interp.files.hdf5_reading.header import UnusableDataError, read_header

_BLOCK_BYTES = 32 * 2**20
_SPARE_MEMORY = 2**29


def feature_blocks(data: h5py.Dataset) -> Iterator[np.ndarray]:
    """The features block by block of classes, in this machine's byte order."""
    step = _classes_per_block(data)
    for start in range(0, len(data), step):
        shape = (min(step, len(data) - start), *data.shape[1:])
        block = np.empty(shape, dtype=data.dtype.newbyteorder("="))
        data.read_direct(block, np.s_[start : start + step])
        yield block


def _classes_per_block(data: h5py.Dataset) -> int:
    """Classes that are read at once: whole chunks, so that none is decoded twice."""
    chunk = data.chunks[0] if data.chunks else 1
    in_a_class = math.prod(data.shape[1:]) * data.dtype.itemsize
    return chunk * max(1, _BLOCK_BYTES // (chunk * in_a_class))


def bound_time(seconds: float) -> None:
    """Has this process end by SIGPROF once it has computed for so long from now.

    Time of the processor, not of the clock: a busy machine or a slow disk is no fault of the file.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def bound_memory(n_bytes: int) -> None:
    """Has allocations fail (on Linux) beyond `n_bytes` and what any file may take."""
    with contextlib.suppress(ImportError, OSError):
        import resource

        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        most = taken + _SPARE_MEMORY + n_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or most <= hard:
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def tell(path: str, dataset: str, out: BufferedIOBase, bound: Callable[[int], None]) -> None:
    """Reads one file and writes the messages described above.

    Args:
        path: The file.
        dataset: Name of the features, or nothing for the default ones.
        out: Where messages go.
        bound: Called before anything is read and after each block, with the bytes of memory that
            what comes next may take.
    """

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message).encode() + b"\n")

    bound(0)
    try:
        with h5py.File(path, "r") as file:
            header = read_header(file, dataset or None, os.stat(path).st_size)
            send({"header": header})
            data = file[header["dataset"]]
            # The block itself, and a decoded chunk with the filters' copies of it.
            needed = 4 * min(data.nbytes, _classes_per_block(data) * data.nbytes // len(data))
            bound(needed)
            for block in feature_blocks(data):
                send({"block": block.nbytes})
                out.write(block.data)
                out.flush()
                bound(needed)
            send({"end": True})
    except UnusableDataError as error:
        send({"error": str(error)})
    except MemoryError:
        send({"error": "takes more memory to decode than its features should: it is damaged"})
    except Exception as error:  # the library raises anything for damaged bytes
        send({"error": f"is truncated or corrupt ({error}): make or copy it again"})
    out.flush()


def run() -> None:
    """`tell` with the arguments of the command line: file, dataset, seconds of computing."""
    path, dataset, seconds = sys.argv[1:]

    def bound(n_bytes: int) -> None:
        bound_time(float(seconds))
        bound_memory(n_bytes)

    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt), open(1, "wb") as out:
        tell(path, dataset, out, bound)
