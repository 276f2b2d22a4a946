"""Whether another process can read what is sent to it: it imports the classes in that."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable
from types import FunctionType
from typing import Any

from coopetition_interp.interventions.serialise import was_run_as_script
from coopetition_interp.one_line import LONGEST_CAUSE, one_line
from coopetition_interp.sweeps.plan import PlannedRun
from coopetition_interp.training import ConfigError, RunConfig

MEND = (
    "put it into a .py file of its own and import it from there, or train without a sweep, by "
    "train() or train_together()"
)


def require_sendable_plan(plan: Iterable[PlannedRun]) -> None:
    """Refuses runs that a process of their own could not read, as far as their configs are there.

    Raises:
        ConfigError: Naming the run, what cannot be imported, and where that is defined.
    """
    for planned in plan:
        if isinstance(planned.config, RunConfig):
            try:
                require_sendable(planned.config)
            except ConfigError as error:
                raise ConfigError(f"{planned.name}: {error}") from error


def require_sendable(value: Any) -> None:
    """Refuses a value that another process could not read.

    Raises:
        ConfigError: See `require_sendable_plan`.
    """
    pickler = _NamesByModule()
    try:
        pickler.dump(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"it cannot be sent to a process of its own ({one_line(error, LONGEST_CAUSE)}): if "
            f"something is defined in a function or a notebook, {MEND}"
        ) from error
    for module, name in pickler.names.items():
        if not _can_be_imported(module):
            raise ConfigError(
                f"{name} is defined in {_place_of(module)}, which the process of a run cannot "
                f"import: {MEND}"
            )


class _Nowhere:
    def write(self, written: Any) -> int:
        return len(written)


class _NamesByModule(pickle.Pickler):
    """Writes nothing, and notes a class or function of each module that a reader would import."""

    def __init__(self) -> None:
        super().__init__(_Nowhere())
        self.names: dict[str, str] = {}

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, FunctionType)):
            self.names.setdefault(obj.__module__, obj.__qualname__)
        return NotImplemented


def _can_be_imported(module: str) -> bool:
    """Whether a process that has imported nothing finds a module; it runs the main script again."""
    if was_run_as_script(module):
        return getattr(sys.modules["__main__"], "__file__", None) is not None
    finders = (finder for finder in sys.meta_path if hasattr(finder, "find_spec"))
    first = module.partition(".")[0]
    return any(finder.find_spec(first, None) is not None for finder in finders)


def _place_of(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return "a notebook" if file is None else str(file)
