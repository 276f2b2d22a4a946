"""Which runs of a sweep are trained together, as one job, and which each by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from torch.utils._pytree import tree_leaves

from coopetition_interp.sweeps.one_run import do_run
from coopetition_interp.training import RunConfig, train_together
from coopetition_interp.training.machine import choose_device
from coopetition_interp.training.optimizer_state import trainable_parameters
from coopetition_interp.training.run_state import look_at
from coopetition_interp.training.shapes_together import (
    form_of_config,
    form_of_task,
)

MOST_BYTES = 4_000_000_000
"""Memory that a group may take: parameters, moments, gradients and evaluation sequences."""

BUFFERS_PER_PARAMETER = 6
"""Of four bytes each: the parameter, two moments, the gradient, and what forming the last takes."""

SMALL_ON_A_CPU = 300_000
"""Parameters of a run up to which a group is faster on a CPU than its runs one after another: what
a step spends besides arithmetic then counts. Larger ones are as fast side by side (see README)."""


class Together(NamedTuple):
    """The runs of a job.

    Attributes:
        configs: Of each.
        paths: Their directories.
    """

    configs: list[RunConfig]
    paths: list[str]

    @property
    def name(self) -> str:
        """What the job is called."""
        return f"{self.configs[0].name}-and-{len(self.configs) - 1}-more"


def do_together(runs: Together) -> list[str]:
    """Trains them, in whatever process it is sent to; returns what went wrong with each.

    If that turns out not to be possible (their losses are other computations, one cannot be begun,
    an operation has no form for several runs), they are trained one after the other.
    """
    before = [look_at(path) for path in runs.paths]
    with suppress(Exception):  # whatever it is, each run by itself tells it of itself alone
        train_together(runs.configs, runs.paths, progress=False)
    after = [look_at(path) for path in runs.paths]
    alike = len({(now.state, now.message) for now in after}) == 1  # the group failed, and no run
    problems = []
    for config, path, was, now in zip(runs.configs, runs.paths, before, after, strict=True):
        if now.state == "finished":
            problems.append("")
        elif now.state == "failed" and now != was and not alike:
            problems.append(now.message)
        else:
            problems.append(do_run(config, path))
    return problems


class Grouping:
    """Sorts runs into groups, and tells what it did.

    Args:
        workers: Jobs side by side: no group is so large that one has nothing to do.
        tell: Takes a line.
        most_bytes: Memory that a group may take.
    """

    def __init__(self, workers: int, tell: Callable[[str], None], most_bytes: int = MOST_BYTES):
        self._workers = workers
        self._tell = tell
        self._most_bytes = most_bytes

    def groups(self, configs: Mapping[str, RunConfig]) -> list[list[str]]:
        """Names of the runs that are trained together; one alone is a group too.

        Whatever is done of the runs already: a sweep that is started again forms the same groups,
        so that what it goes on with gets the same bits.

        Args:
            configs: The runs, by name.
        """
        by_form: dict[str, list[str]] = {}
        for name, config in configs.items():
            by_form.setdefault(_form(name, config), []).append(name)
        return [
            group
            for names in by_form.values()
            for group in self._of_one_form({name: configs[name] for name in names})
        ]

    def _of_one_form(self, configs: Mapping[str, RunConfig]) -> list[list[str]]:
        """Groups of runs whose configs have one form: by the shapes of what they make."""
        alone = [[name] for name in configs]
        if len(alone) == 1:
            return alone
        made: dict[str, _Made] = {}
        by_shape: dict[_Made, list[str]] = {}
        for name, config in configs.items():
            data = _data_of(config)
            try:
                made[data] = made.get(data) or _make(config)
            except (ValueError, RuntimeError, OSError):
                return alone  # each run tells what is wrong with it
            if not _worth_it(config, made[data].n_parameters):
                self._tell(
                    f"{_listed(list(configs))}: each trained by itself; with "
                    f"{made[data].n_parameters:,} parameters a group is no faster on a CPU"
                )
                return alone
            by_shape.setdefault(made[data], []).append(name)
        return [part for shape, names in by_shape.items() for part in self._parts(names, shape)]

    def _parts(self, names: list[str], shape: _Made) -> list[list[str]]:
        """Parts of a group, each within the memory, and one at least for each worker."""
        most = max(1, self._most_bytes // shape.n_bytes)
        n_parts = max(math.ceil(len(names) / most), min(self._workers, len(names) // 2), 1)
        size = math.ceil(len(names) / n_parts)
        parts = [names[start : start + size] for start in range(0, len(names), size)]
        for part in parts:
            if len(part) > 1:
                self._tell(f"{_listed(part)}: trained together, as one model of {len(part)} runs")
        return parts


class _Made(NamedTuple):
    """What runs of one data make: equal for those that can be trained together.

    Attributes:
        form: See `form_of_task`.
        n_parameters: Of a run.
        n_bytes: What a run adds to a group's memory.
    """

    form: str
    n_parameters: int
    n_bytes: int


def _make(config: RunConfig) -> _Made:
    task = config.build()
    n_parameters = sum(p.numel() for p in trainable_parameters(task.model).values())
    sequences = tree_leaves(dict(task.evaluation_sequences))
    n_bytes = 4 * BUFFERS_PER_PARAMETER * n_parameters
    n_bytes += sum(leaf.numel() * leaf.element_size() for leaf in sequences)
    return _Made(repr(form_of_task(task)), n_parameters, n_bytes)


def _form(name: str, config: RunConfig) -> str:
    try:
        return repr(sorted(form_of_config(config).items()))
    except ValueError:  # it cannot be saved, as the run itself tells
        return name


def _data_of(config: RunConfig) -> str:
    """The config without what changes no shape; the seed of the weights is named by tasks."""
    shared = {*RunConfig.may_differ_together, "clamps"}
    return repr({name: value for name, value in config.to_dict().items() if name not in shared})


def _worth_it(config: RunConfig, n_parameters: int) -> bool:
    return n_parameters <= SMALL_ON_A_CPU or choose_device(config.device).type != "cpu"


def _listed(names: Sequence[str]) -> str:
    if len(names) <= 4:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3} more"
