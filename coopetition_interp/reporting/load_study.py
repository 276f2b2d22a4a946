"""A study from its directory, whether that is a sweep's or a packed copy."""

from __future__ import annotations

from pathlib import Path

from coopetition_interp.reporting.packed_index import INDEX
from coopetition_interp.reporting.study import Study
from coopetition_interp.sweeps import PlannedRun
from coopetition_interp.sweeps.plan_file import load_module, read_plan
from coopetition_interp.training import load_run


def load_study(
    path: str | Path,
    plan_file: str | Path,
    preset: str | None = None,
    earlier: str | Path | None = None,
) -> Study:
    """A packed study, a sweep of a plan's file, or a single run, taken for the plan's first.

    Of the single run's seeds, those that its config does not say are taken from the plan too.

    A plan's file may say in `PUBLISHED_SCALE` at which preset its runs are as long as the
    published ones, so that a single run may agree or disagree.

    Args:
        path: Its directory.
        plan_file: Of the sweep; a packed copy does not need it.
        preset: Of the sweep, if it is not the plan's default.
        earlier: A packed copy that completes a sweep's directory, see `Study`.

    Raises:
        StudyError: As of `Study`.
        ConfigError: There is no such plan.
        RunError: A single run cannot be read.
    """
    path, kept = Path(path), None if earlier is None else Study(earlier)
    if (path / "config.json").is_file():
        return _of_single_run(path, plan_file, kept)
    if (path / INDEX).is_file() or not path.is_dir():
        return Study(path, earlier=kept, plan_file=plan_file)
    plan = read_plan(plan_file, preset_name=preset)
    published = getattr(load_module(Path(plan_file)), "PUBLISHED_SCALE", None)
    return Study(
        path,
        plan,
        at_published_scale=preset is not None and preset == published,
        earlier=kept,
        plan_file=plan_file,
        preset=preset,
    )


def _of_single_run(path: Path, plan_file: str | Path, earlier: Study | None) -> Study:
    first = read_plan(plan_file)[0]  # before the run: a task of one's own may be defined there
    config = load_run(path).config
    model = getattr(config, "model", config)
    seeds = {"init_seed": getattr(model, "init_seed", None), "data_seed": config.data_seed}
    known = {name: seed for name, seed in seeds.items() if name in first.about and seed is not None}
    planned = PlannedRun(".", config, about={**first.about, **known})
    return Study(path, [planned], earlier=earlier, plan_file=plan_file)
