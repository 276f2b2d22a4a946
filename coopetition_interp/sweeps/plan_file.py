"""A plan's file: Python that the user names, whose function `plan()` gives the runs of a sweep."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from coopetition_interp.config_class import ConfigError, shortened
from coopetition_interp.sweeps.plan import PlannedRun


def load_module(path: Path) -> ModuleType:
    """Runs a Python file that the user names, as a module of its own.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: check the path")
    path = path.resolve()
    name = "_".join([*path.parent.parts[-2:], path.stem]).replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for what it defines
    spec.loader.exec_module(module)
    return module


def read_plan(path: str | Path, **options: Any) -> list[PlannedRun]:
    """The runs that a plan's file gives.

    Args:
        path: The file.
        **options: Handed to its `plan`, such as `preset_name` and `features`; None is left out.

    Raises:
        ConfigError: There is no such Python file, it has no such function, or that does not take
            an option or gives no runs.
    """
    path = Path(path)
    if path.suffix != ".py" or not path.is_file():
        what = "is no Python file" if path.exists() else "is not there"
        raise ConfigError(
            f"{shortened(str(path))} {what}: give the file of a plan, such as the runs.py of "
            "a folder of analyses/"
        )
    make = getattr(load_module(path), "plan", None)
    if not callable(make):
        raise ConfigError(f"{path} has no function plan() that gives the runs")
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() - inspect.signature(make).parameters.keys():
        raise ConfigError(f"plan() of {path} takes no {name}: leave that option out")
    plan = list(make(**given))
    if not plan or not all(isinstance(run, PlannedRun) for run in plan):
        raise ConfigError(f"plan() of {path} gives no list of PlannedRun")
    return plan
