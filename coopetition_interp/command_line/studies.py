"""Subcommands about a study: sweep, figures."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coopetition_interp.command_line.arguments import (
    directory_to_write,
    existing_file,
    whole_number,
)
from coopetition_interp.command_line.subcommand import subcommand
from coopetition_interp.config_class import shortened

if TYPE_CHECKING:
    from coopetition_interp.sweeps import PlannedRun
    from coopetition_interp.tasks.exemplar_label.features import FeatureFile

# sweep --------------------------------------------------------------------------------------


def add_sweep(commands) -> None:
    """`sweep`: every run of a study."""
    parser = subcommand(
        commands,
        "sweep",
        "do every run of a study",
        "Finished runs are skipped, interrupted ones resumed; a failed one is reported and does\n"
        "not stop the others. Without --features the study runs on synthetic Gaussian classes, at\n"
        "the omniglot and paper presets on Omniglot.",
    )
    parser.add_argument(
        "name",
        help="induction-heads, coopetition, or a plan's file, which is run: its function plan() "
        "gives the runs",
    )
    parser.add_argument(
        "--out", type=directory_to_write, required=True, metavar="DIR", help="its directory"
    )
    parser.add_argument(
        "--preset",
        help="scale of the coopetition study: laptop (default), omniglot, paper, or tiny to try it",
    )
    parser.add_argument(
        "--features",
        type=existing_file,
        metavar="FILE",
        help="a feature file of Omniglot's characters",
    )
    parser.add_argument(
        "--workers",
        type=whole_number(1, 1000),
        default=1,
        metavar="N",
        help="runs side by side, or jobs submitted at a time (default 1)",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PREFIX",
        help="only runs whose names begin so, and those they need; may be given again",
    )
    parser.add_argument(
        "--executor",
        choices=("processes", "local", "slurm"),
        default="processes",
        help="where runs go: processes of this one (default), or submitit's local or slurm jobs",
    )
    parser.add_argument(
        "--executor-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="handed to submitit, such as slurm_partition=gpu or timeout_min=600",
    )
    parser.add_argument(
        "--status", action="store_true", help="print the state of each run and stop"
    )
    parser.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> None:
    from coopetition_interp.sweeps import only_named, sweep_status
    from coopetition_interp.tasks.exemplar_label.features import allow_downloads
    from coopetition_interp.training import ConfigError

    if options.executor_option and options.executor == "processes":
        raise ConfigError("--executor-option is for submitit: add --executor local or slurm")
    plan = _plan_of(options)
    if options.only:
        plan = only_named(plan, options.only)
    if options.status:
        table = sweep_status(plan, options.out)
        print(table.to_string(index=False))
        return
    with allow_downloads():
        if options.features is not None:
            _check_features(plan)
        table = _run(plan, options)
    print(table.to_string(index=False))
    unfinished = table[table.state != "finished"]
    if len(unfinished):
        raise RuntimeError(f"{len(unfinished)} of {len(table)} runs did not finish")


def _run(plan, options: argparse.Namespace):
    from coopetition_interp.sweeps import run_sweep_locally, run_sweep_with_submitit

    if options.executor == "processes":
        return run_sweep_locally(plan, options.out, options.workers)
    return run_sweep_with_submitit(
        plan, options.out, options.executor, options.workers, options.executor_option
    )


def _plan_of(options: argparse.Namespace):
    from coopetition_interp.sweeps import coopetition_plan, induction_heads_plan
    from coopetition_interp.tasks.exemplar_label.features import (
        FeatureFile,
        FeatureSource,
        GaussianFeatures,
    )
    from coopetition_interp.training import ConfigError

    path = None if options.features is None else str(options.features.resolve())
    if options.name == "coopetition":
        source = None if path is None else FeatureFile(path=path)
        return coopetition_plan("laptop" if options.preset is None else options.preset, source)
    if options.name.endswith(".py"):
        return _plan_of_file(options, None if path is None else FeatureFile(path=path))
    if options.name != "induction-heads":
        raise ConfigError(
            f"there is no study {shortened(options.name)}: choose induction-heads, coopetition, or "
            "the file of a plan (*.py)"
        )
    if options.preset is not None:
        raise ConfigError("--preset is for the coopetition study; induction-heads has one scale")
    features: FeatureSource = GaussianFeatures(n_classes=1623)
    if path is not None:
        features = FeatureFile(path=path, transforms="unrotated")
    return induction_heads_plan(features)


def _plan_of_file(options: argparse.Namespace, features: FeatureFile | None) -> list[PlannedRun]:
    """The plan that a file of the user's makes, handed --preset and --features if they are given.

    Raises:
        ConfigError: Its function does not take them, or gives no runs.
    """
    from coopetition_interp.reporting.figure_file import load_plan
    from coopetition_interp.sweeps import PlannedRun
    from coopetition_interp.training import ConfigError

    make = load_plan(Path(options.name))
    given = {"preset_name": options.preset, "features": features}
    given = {name: value for name, value in given.items() if value is not None}
    takes = inspect.signature(make).parameters
    for name in given.keys() - takes.keys():
        raise ConfigError(f"plan() of {options.name} takes no {name}: leave that option out")
    plan = list(make(**given))
    if not plan or not all(isinstance(run, PlannedRun) for run in plan):
        raise ConfigError(f"plan() of {options.name} gives no list of PlannedRun")
    return plan


def _check_features(plan: Sequence[PlannedRun]) -> None:
    """Reads a plan's features, so that a file which will not do shows before anything is written.

    Raises:
        ValueError: The file is no feature file, or has too few classes or exemplars.
    """
    from coopetition_interp.tasks.exemplar_label import ExemplarLabelConfig

    configs = [each.config for each in plan if isinstance(each.config, ExemplarLabelConfig)]
    for source in dict.fromkeys(config.features for config in configs):
        bank = source.load()
        for classes in dict.fromkeys(c.classes for c in configs if c.features == source):
            classes.split(bank)


# figures ------------------------------------------------------------------------------------


def add_figures(commands) -> None:
    """`figures`: one page of every figure."""
    parser = subcommand(
        commands,
        "figures",
        "draw every figure and write one page of them",
        "Without --runs everything is drawn from what the repository keeps under checkpoints/,\n"
        "without training; call it in the repository's root. With --runs it is drawn from sweeps\n"
        "of your own, and of the other two studies only those you name.",
    )
    parser.add_argument(
        "--out", type=directory_to_write, required=True, metavar="DIR", help="where it goes"
    )
    parser.add_argument("--runs", type=Path, metavar="DIR", help="directory of `sweep coopetition`")
    parser.add_argument(
        "--real-runs",
        type=Path,
        metavar="DIR",
        help="directory of `sweep coopetition --preset omniglot`",
    )
    parser.add_argument(
        "--induction-heads", type=Path, metavar="DIR", help="directory of `sweep induction-heads`"
    )
    parser.add_argument(
        "--images", action="store_true", help="also an HTML and a PNG of each figure (minutes)"
    )
    parser.set_defaults(run=_figures)


def _figures(options: argparse.Namespace) -> None:
    from coopetition_interp.figures.every_figure import draw_every_figure
    from coopetition_interp.figures.study_script import PACKED_STUDIES
    from coopetition_interp.studies import Study

    own_runs = any((options.runs, options.real_runs, options.induction_heads))

    def study(given: Path | None, packed: str, sweep: str) -> Study | None:
        path = given if own_runs else PACKED_STUDIES / packed
        if path is None:
            return None
        if not path.is_dir():
            mend = (
                "give the directory of a sweep"
                if own_runs
                else "call this in the root of the repository, which keeps its studies under "
                "checkpoints/, or give --runs DIR"
            )
            raise FileNotFoundError(f"{path} is not there: {mend}")
        return Study(path, sweep)

    page, missing = draw_every_figure(
        options.out,
        coopetition=study(options.runs, "coopetition", "coopetition"),
        real=study(options.real_runs, "coopetition-omniglot", "coopetition"),
        induction_heads=study(options.induction_heads, "induction-heads", "induction-heads"),
        images=options.images,
    )
    print(f"wrote {page}")
    if missing:
        print(f"{len(missing)} figures were not drawn")
        print("\n".join(f"{name}: {reason}" for name, reason in missing.items()))
        if own_runs:  # else what the repository keeps is all there is to draw
            raise RuntimeError(f"{len(missing)} figures were not drawn: {', '.join(missing)}")
