"""Named tensors in safetensors files, with a checksum over all that such a file says."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.files.regular_file import UnreadableFileError, open_regular

CHECKSUM = "sha256"
"""Its entry in the file's metadata."""

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def write_tensor_file(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Writes tensors, with some text beside them, whole or not at all.

    Args:
        path: The file; an earlier one is replaced.
        tensors: By name.
        metadata: By name; "sha256" is taken.

    Raises:
        OSError, safetensors.SafetensorError: It could not be written.
    """
    contiguous = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    noted = {**metadata, CHECKSUM: checksum(contiguous, metadata)}
    with atomic_file(path) as file:
        safetensors.torch.save_file(contiguous, file, noted)


def read_tensor_file(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of a file by name, and the text beside them.

    A checksum is compared, and left out of the text; files from elsewhere, or from before there
    was one, have none.

    Raises:
        FileNotFoundError: There is nothing.
        UnreadableFileError: It cannot be read, is not a whole safetensors file, or is not what was
            written.
    """
    open_regular(path).close()  # safetensors itself says of any failure that there is no such file
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
            metadata = dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableFileError(
            f"{path} is truncated or not a safetensors file ({error})"
        ) from error
    noted = metadata.pop(CHECKSUM, None)
    if noted is not None and noted != checksum(tensors, metadata):
        raise UnreadableFileError(
            f"{path} is damaged: its content is not what its checksum was made of"
        )
    return tensors, metadata


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256, in hexadecimal, of names, dtypes, shapes and bytes, and of the text beside them."""
    names = sorted(tensors)
    described = [[name, str(tensors[name].dtype), list(tensors[name].shape)] for name in names]
    text = json.dumps([described, sorted(metadata.items())])
    digest = hashlib.sha256(f"{len(text)} {text}".encode())
    for name in names:
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def not_finite_floats(tensors: Mapping[str, Tensor]) -> str:
    """What is wrong with tensors that should be finite floating-point numbers; nothing if all is.

    Only half precision, bfloat16, single and double precision count as floating-point.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATING:
            expected = ", ".join(str(dtype).removeprefix("torch.") for dtype in FLOATING)
            kind = str(tensor.dtype).removeprefix("torch.")
            return f"{name} is of {kind} numbers, not of {expected}"
        if not torch.isfinite(tensor).all():
            return f"{name} holds numbers that are not finite"
    return ""
