"""What the small JSON files of a run say, as checked records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import NotRequired, TypedDict

LONGEST_VALUE = 60
"""Characters of a wrong value that an error shows."""

Record = TypeVar("Record")
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class RunError(RuntimeError):
    """A run directory cannot be used, read or written as asked."""


@with_config(ConfigDict(strict=True))
class RunStatus(TypedDict):
    """`status.json`: how a run stands.

    Attributes:
        state: Whether it is going on, has ended as planned, was stopped, or broke off.
        sequences_seen: How far it has come.
        message: Why it stopped or broke off; empty otherwise.
    """

    state: Literal["running", "finished", "interrupted", "failed"]
    sequences_seen: Annotated[int, Field(ge=0)]
    message: str


@with_config(ConfigDict(strict=True, extra="allow"))
class ResolvedFields(TypedDict):
    """`resolved.json`: what the config left open. Tasks add their own; older runs may have less.

    Attributes:
        device: What it is trained on.
        n_threads: CPU threads.
        compile: Whether the training step is compiled.
        start_sha256: Digest of the weights of `start_from`.
        donors_sha256: Digest of the weights that clamps take from checkpoints.
    """

    device: NotRequired[Literal["cpu", "cuda"]]
    n_threads: NotRequired[Annotated[int, Field(ge=1, le=65_536)]]
    compile: NotRequired[bool]
    start_sha256: NotRequired[Digest]
    donors_sha256: NotRequired[Digest]


@with_config(ConfigDict(extra="allow"))
class ResumeNotes(TypedDict):
    """The text in `resume.safetensors`. Values are text, as in every safetensors file.

    Attributes:
        steps_done: Optimizer steps.
        loss_sum: Training loss summed over the steps since the last row of metrics, hexadecimal.
        n_losses: How many steps those are.
        last_moment: The latest step at which all that was due was done, -1 before the first; older
            runs lack it.
        n_evaluations: Moments in the table of metrics, likewise.
        config: The run's config, JSON, likewise.
    """

    steps_done: Annotated[str, Field(pattern="^[0-9]{1,18}$")]
    loss_sum: Annotated[str, Field(pattern=r"^-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}$")]
    n_losses: Annotated[str, Field(pattern="^[0-9]{1,18}$")]
    last_moment: NotRequired[Annotated[str, Field(pattern="^(-1|[0-9]{1,18})$")]]
    n_evaluations: NotRequired[Annotated[str, Field(pattern="^[0-9]{1,18}$")]]
    config: NotRequired[str]


as_status = TypeAdapter(RunStatus).validate_python
as_resume_notes = TypeAdapter(ResumeNotes).validate_python


class Resolved(dict[str, Any]):
    """What a config left open, as a dictionary; a value that is not there is told as such.

    Args:
        values: The values.
        path: The file they were read from.
    """

    def __init__(self, values: ResolvedFields, path: Path):
        super().__init__(values)
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise RunError(
            f"{self._path} has no {name}, which is needed here: put back the file as the run wrote "
            "it, or begin the run anew"
        )


def checked(
    validate: Callable[[Any], Record], content: Mapping[str, Any], path: Path, mend: str
) -> Record:
    """A record made of what a file holds.

    Args:
        validate: Makes the record, as pydantic's `TypeAdapter.validate_python` does.
        content: What it holds.
        path: The file, for errors.
        mend: What to do about a damaged one, for errors.

    Raises:
        RunError: A field is missing or is not what it should be, naming the file and the field.
    """
    try:
        return validate(content)
    except ValidationError as error:
        raise RunError(f"{path} is damaged ({first_problem(error)}): {mend}") from error


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, in one line: field, what it should be, value."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{field} is missing"
    value = repr(first["input"])
    if len(value) > LONGEST_VALUE:
        value = f"{value[:LONGEST_VALUE]}..."
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{field}: {message}; got {value}"
