"""A plan's file: Python that the user names, whose function `plan()` gives the runs of a sweep."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from coopetition_interp.config_class import ConfigError, shortened
from coopetition_interp.sweeps.plan import PlannedRun, listed

_beside: list[Path] = []
"""The folder of the file that was loaded last, if it was not on `sys.path` before."""


def load_module(path: Path) -> ModuleType:
    """Runs a Python file that the user names, as a module of its own.

    As a script does, it imports what lies beside it; but what is installed comes first, so that no
    file there takes the place of a library's. The folder stays on `sys.path`, for imports inside
    functions and in processes of runs, until a file of another folder is loaded.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: check the path")
    path = path.resolve()
    _find_beside(path.parent)
    name = "_".join([*path.parent.parts[-2:], path.stem]).replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for what it defines
    spec.loader.exec_module(module)
    return module


def _find_beside(folder: Path) -> None:
    if _beside and _beside[-1] != folder:
        former = _beside.pop()
        with suppress(ValueError):
            sys.path.remove(str(former))
        _forget_what_both_have(former, folder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        _beside.append(folder)
        importlib.invalidate_caches()


def _forget_what_both_have(former: Path, folder: Path) -> None:
    """Drops modules of one folder whose names another one has too, and is to give its own for."""
    doubled = set()
    for name, module in list(sys.modules.items()):
        files = (f"{name}.py", f"{name}/__init__.py")
        of_former = getattr(module, "__file__", None) in [str(former / file) for file in files]
        if of_former and any((folder / file).is_file() for file in files):
            doubled.add(name)
    for name in list(sys.modules):
        if name.partition(".")[0] in doubled:
            del sys.modules[name]


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
    try:
        plan = listed(make(**given))
    except ConfigError as error:
        raise ConfigError(f"plan() of {path}: {error}") from error
    if not plan:
        raise ConfigError(f"plan() of {path} gives no runs")
    return plan
