"""A run's tensors as they are read back: its checkpoints, and what a resume needs."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from coopetition_interp.files.regular_file import UnreadableFileError, not_there
from coopetition_interp.files.tensor_file import not_finite_floats, read_tensor_file
from coopetition_interp.training.going_on import resume_call
from coopetition_interp.training.run_records import (
    LONGEST_VALUE,
    RunError,
    as_resume_notes,
    checked,
)

RESUME_NAME = "resume.safetensors"
CHECKPOINT_NAME = re.compile(r"([0-9]{12,18})\.safetensors")


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights, or a resume's tensors, by name, and the text beside them.

    Raises:
        RunError: If the file is missing or damaged, if a tensor is not of finite floating-point
            numbers, or if the text says that it is another file of the run's than its name.
    """
    path = Path(path)
    mend = "copy it again, or take another checkpoint"
    if path.name == RESUME_NAME:
        mend = (
            f"put back a copy of it, or remove it and status.json: {resume_call(path.parent)} then "
            "makes the run again, to the same weights. Its checkpoints stay"
        )
    try:
        tensors, metadata = read_tensor_file(path)
    except FileNotFoundError as error:
        raise RunError(not_there("checkpoint", path)) from error
    except UnreadableFileError as error:
        raise RunError(f"{error}: {mend}") from error
    if problem := not_finite_floats(tensors):
        raise RunError(f"{path} is damaged ({problem}): {mend}")
    if path.name == RESUME_NAME:
        checked(as_resume_notes, metadata, path, mend)
    name, noted = CHECKPOINT_NAME.fullmatch(path.name), metadata.get("sequences_seen")
    if name is not None and noted is not None and noted != str(int(name[1])):
        raise RunError(
            f"{path} holds the weights at {noted[:LONGEST_VALUE]} sequences, by what was noted in "
            f"it: {mend}"
        )
    return tensors, metadata
