"""Subcommands about a study: sweep, figures, pack."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coopetition_interp.command_line.arguments import (
    directory_to_write,
    existing_file,
    named_directory,
    whole_number,
)
from coopetition_interp.command_line.own_modules import add_import
from coopetition_interp.command_line.subcommand import subcommand

if TYPE_CHECKING:
    from coopetition_interp.sweeps import PlannedRun

# sweep --------------------------------------------------------------------------------------


def add_sweep(commands) -> None:
    """`sweep`: every run of a plan."""
    parser = subcommand(
        commands,
        "sweep",
        "do every run of a plan",
        "Finished runs are skipped, interrupted ones resumed; a failed one is reported and does\n"
        "not stop the others.",
    )
    _add_plan(parser)
    parser.add_argument(
        "--out", type=directory_to_write, required=True, metavar="DIR", help="its directory"
    )
    parser.add_argument(
        "--features", type=existing_file, metavar="FILE", help="a feature file, for such a plan"
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
    parser.add_argument(
        "--no-grouping",
        dest="grouping",
        action="store_false",
        help="train each run by itself, and not runs of one shape together where that is faster",
    )
    add_import(parser)
    parser.set_defaults(run=_sweep)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "plan",
        metavar="PLAN.py",
        help="a plan's file, such as the runs.py of a folder of analyses/; it is run, and its "
        "function plan() gives the runs",
    )
    parser.add_argument("--preset", help="handed to plan(), such as tiny to try it")


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
        return run_sweep_locally(plan, options.out, options.workers, grouping=options.grouping)
    return run_sweep_with_submitit(
        plan,
        options.out,
        options.executor,
        options.workers,
        options.executor_option,
        grouping=options.grouping,
    )


def _plan_of(options: argparse.Namespace) -> list[PlannedRun]:
    from coopetition_interp.sweeps.plan_file import read_plan
    from coopetition_interp.tasks.exemplar_label.features import FeatureFile

    file = options.features
    features = None if file is None else FeatureFile(path=str(file.resolve()))
    return read_plan(options.plan, preset_name=options.preset, features=features)


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
            classes.split(classes.of(bank))


# figures ------------------------------------------------------------------------------------


def add_figures(commands) -> None:
    """`figures`: one page of every figure."""
    parser = subcommand(
        commands,
        "figures",
        "draw every figure and write one page of them",
        "Without --runs everything is drawn from the packed studies under checkpoints/, without\n"
        "training. With --runs it is drawn from sweeps of your own, and of the studies that need\n"
        "runs only those you name. Call it where analyses/ is, or give folders by --study.",
    )
    parser.add_argument(
        "--out", type=directory_to_write, required=True, metavar="DIR", help="where it goes"
    )
    parser.add_argument(
        "--runs",
        type=named_directory,
        action="append",
        default=[],
        metavar="STUDY=DIR",
        help="a study's name, as its folder has it, and the directory of its sweep; may be given "
        "again",
    )
    parser.add_argument("--preset", help="that of the sweeps, if not the plan's default")
    parser.add_argument(
        "--study",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder of figures, instead of those of analyses/; may be given again",
    )
    parser.add_argument(
        "--images", action="store_true", help="also an HTML and a PNG of each figure (minutes)"
    )
    add_import(parser)
    parser.set_defaults(run=_figures)


def _figures(options: argparse.Namespace) -> None:
    from coopetition_interp.reporting.every_figure import draw_every_figure

    page, chapters, told = draw_every_figure(
        options.out, options.study, dict(options.runs), options.preset, options.images
    )
    for line in told:
        print(line)
    print(f"wrote {page}")
    missing = [(names, why) for each in chapters for why, names in each.reasons.items()]
    if missing:
        every = [name for names, _ in missing for name in names]
        print(f"{len(every)} figures were not drawn")
        print("\n".join(f"{', '.join(names)}: {why}" for names, why in missing))
        if options.runs:  # else what is packed is all there is to draw
            raise RuntimeError(f"{len(every)} figures were not drawn: {', '.join(every)}")
    _tell_faults([name for each in chapters for name in each.failures])


def _tell_faults(failed: Sequence[str]) -> None:
    if failed:
        raise RuntimeError(f"{len(failed)} figures have files at fault: {', '.join(failed)}")


# pack ---------------------------------------------------------------------------------------


def add_pack(commands) -> None:
    """`pack`: a sweep's small copy."""
    parser = subcommand(
        commands,
        "pack",
        "copy what the figures need of a sweep",
        "Draws the figures beside the plan's file first, and keeps what they used: configs,\n"
        "metrics and tables; no weights.",
    )
    _add_plan(parser)
    parser.add_argument("--runs", type=Path, required=True, metavar="DIR", help="the sweep")
    parser.add_argument(
        "--earlier",
        type=Path,
        metavar="DIR",
        help="an earlier copy; its runs are kept where the sweep has not finished them",
    )
    parser.add_argument(
        "--out", type=directory_to_write, required=True, metavar="DIR", help="the copy"
    )
    parser.add_argument(
        "--every",
        type=whole_number(1, 1000),
        default=1,
        metavar="N",
        help="keep every so many evaluations (default 1)",
    )
    parser.add_argument(
        "--column",
        action="append",
        metavar="NAME",
        help="a metric that is kept, instead of all; may be given again",
    )
    add_import(parser)
    parser.set_defaults(run=_pack)


def _pack(options: argparse.Namespace) -> None:
    from coopetition_interp.reporting.chapter import NotDrawn, Source, draw_figure
    from coopetition_interp.reporting.figure_file import figure_files
    from coopetition_interp.reporting.load_study import load_study
    from coopetition_interp.reporting.pack import pack_study

    study = load_study(options.runs, options.plan, options.preset, options.earlier)
    failed = []
    for file in figure_files(Path(options.plan).parent):
        drawn = draw_figure(file, Source(study=study))
        if isinstance(drawn, NotDrawn):
            print(f"{file.stem} is not drawn: {drawn.why}")
            failed += [file.stem] if drawn.failed else []
    pack_study(study, options.out, options.column, options.every)
    print(f"wrote {options.out}")
    _tell_faults(failed)
