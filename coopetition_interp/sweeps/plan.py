"""A plan as data: named runs, and what each waits for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coopetition_interp.config_class import shortened
from coopetition_interp.training import ConfigError, Run, RunConfig

MakeConfig = Callable[[Mapping[str, Run]], RunConfig]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        name: Its directory in the sweep's; may hold slashes.
        config: The run's config, or a function that makes it from the runs it waits for (by name,
            finished), such as one that grafts from the checkpoint at a landmark.
        needs: Names of the runs it waits for.
        about: What the run is, for figures to select it by: its "role", seeds, and what else
            tells it from others; in JSON's types.
    """

    name: str
    config: RunConfig | MakeConfig
    needs: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.needs, str):
            raise ConfigError(f"{self.name}: needs is a tuple of names; got {self.needs!r}")
        if not isinstance(self.config, RunConfig) and not callable(self.config):
            raise ConfigError(
                f"{self.name}: config is a run's config, such as preset('laptop'), or a function "
                f"that makes it; got {shortened(self.config)}"
            )

    def resolve(self, runs: Mapping[str, Run]) -> RunConfig:
        """The config, given the runs it waits for.

        Raises:
            ConfigError: The function that makes it failed, or gave something else.
            ValueError, RuntimeError, OSError: It raised that.
        """
        config: Any = self.config
        if not isinstance(config, RunConfig):
            try:
                config = self.config(runs)  # type: ignore[operator]
            except (ValueError, RuntimeError, OSError):  # such as that a checkpoint is not there
                raise
            except Exception as error:
                raise ConfigError(
                    f"the plan's function for its config failed ({type(error).__name__}: {error})"
                ) from error
            if not isinstance(config, RunConfig):
                raise ConfigError(
                    f"the plan's function for its config gave {type(config).__name__}, not a "
                    "RunConfig"
                )
        return config.replace(name=self.name)


def listed(plan: Iterable[PlannedRun]) -> list[PlannedRun]:
    """A plan's runs, to be gone through more than once, which a generator cannot be.

    Raises:
        ConfigError: It is something else.
    """
    runs = list(plan) if isinstance(plan, Iterable) and not isinstance(plan, Mapping) else None
    if runs is None or not all(isinstance(run, PlannedRun) for run in runs):
        kinds = ", ".join(dict.fromkeys(type(run).__name__ for run in runs or []))
        got = f"{type(plan).__name__} of {kinds}" if kinds else type(plan).__name__
        raise ConfigError(f"a plan is a list of PlannedRun(name, config); got {got}")
    return runs


def problem_of_name(name: Any) -> str:
    """What is wrong with a run's name, which is also its place in a directory; or nothing."""
    if (
        not isinstance(name, str)
        or any(part in ("", ".", "..") for part in name.split("/"))
        or not name.isprintable()
        or "\\" in name  # elsewhere that parts folders
        or Path(name).drive
    ):
        return "should be a path inside"
    return ""


def problem_of_about(about: Any) -> str:
    """Why figures cannot select a run by what it is; nothing if they can."""
    if not isinstance(about, Mapping):
        return f"should be fields and their values; got {shortened(about)}"
    seed = about.get("init_seed")
    if not isinstance(about.get("role"), str) or not isinstance(seed, int):
        return 'should have a role (text) and an init_seed (an int), as {"role": "main", ...}'
    for name, value in about.items():
        if not isinstance(name, str) or not _is_json(value):
            return f"should hold what JSON keeps as it is; {name} is {shortened(value)}"
    return ""


def _is_json(value: Any) -> bool:
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError, RecursionError):
        return False


def check_plan(plan: Sequence[PlannedRun]) -> None:
    """Refuses a plan whose names clash or whose needs cannot be met in order.

    Where one run says what it is, as a study's do, figures will ask that of all.

    Raises:
        ConfigError: Naming the run at fault, or there is none.
    """
    if not plan:
        raise ConfigError("the plan has no runs")
    known: set[str] = set()
    says_what_it_is = any(planned.about for planned in plan)
    for planned in plan:
        if problem := problem_of_name(planned.name):
            raise ConfigError(
                f"the name of the run {shortened(planned.name)} {problem} the sweep's directory, "
                'as "main" or "seed-5/main"'
            )
        if says_what_it_is and (problem := problem_of_about(planned.about)):
            raise ConfigError(
                f"{planned.name}: its about, by which figures select runs, {problem}; or leave "
                "out about of every run"
            )
        if planned.name in known:
            raise ConfigError(f"the sweep plans two runs named {planned.name}")
        for need in planned.needs:
            if need not in known:
                raise ConfigError(f"{planned.name} needs {need}, which is not planned before it")
        known.add(planned.name)


def only_named(plan: Sequence[PlannedRun], prefixes: Sequence[str]) -> list[PlannedRun]:
    """The runs whose names begin with one of `prefixes`, and those they need, in the plan's order.

    Raises:
        ConfigError: No name begins with one of them.
    """
    plan = listed(plan)
    for prefix in prefixes:
        if not any(planned.name.startswith(prefix) for planned in plan):
            raise ConfigError(f"no run's name begins with {prefix!r}: see --status for the names")
    wanted: set[str] = set()
    for planned in reversed(plan):
        if planned.name.startswith(tuple(prefixes)) or planned.name in wanted:
            wanted |= {planned.name, *planned.needs}
    return [planned for planned in plan if planned.name in wanted]
