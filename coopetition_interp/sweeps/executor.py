"""What a sweep asks of whatever its runs go to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Job(Protocol):
    """A submitted piece of work, as `concurrent.futures` and submitit have it."""

    def done(self) -> bool:
        """Whether it has ended."""

    def result(self) -> Any:
        """What it returned; raises what it raised."""


@runtime_checkable
class Executor(Protocol):
    """Anything that jobs can be submitted to."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Starts `function(*arguments)` somewhere; returns a `Job`."""
