"""Subcommands about one run: train, evaluate, thin."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coopetition_interp.command_line.arguments import (
    MOST_SEQUENCES,
    checkpoint,
    directory_to_write,
    existing_file,
    file_to_write,
    nothing_left_if_refused,
    whole_number,
)
from coopetition_interp.command_line.own_modules import add_import
from coopetition_interp.command_line.subcommand import subcommand

if TYPE_CHECKING:
    from coopetition_interp.training import Run

OVERRIDES_HELP = """\
Any field of the preset can be changed: field=value, nested fields with dots, values as JSON or
plain text. `coopetition-interp presets NAME` lists a preset's fields and their values.

  coopetition-interp train laptop --out runs/laptop
  coopetition-interp train laptop --out runs/quick n_sequences=1e6 optimizer.learning_rate=1e-3
  coopetition-interp train omniglot --out runs/omniglot --features omniglot_features.h5
  coopetition-interp train induction --out runs/no-previous-token \\
      --clamp 'BlockPreviousToken(heads=[(0, 0), (0, 1)])'
  coopetition-interp train --resume runs/laptop
  coopetition-interp train --resume runs/mine --import my_task
"""


# train --------------------------------------------------------------------------------------


def add_train(commands) -> None:
    """`train`: a run, new or resumed."""
    parser = subcommand(commands, "train", "train a model and keep its run", OVERRIDES_HELP)
    parser.add_argument("preset", nargs="?", help="a preset's name (see `presets`)")
    parser.add_argument("overrides", nargs="*", metavar="field=value", help="changes to the preset")
    parser.add_argument(
        "--out", type=directory_to_write, metavar="DIR", help="directory of the new run"
    )
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with an interrupted run")
    parser.add_argument(
        "--until",
        type=whole_number(1, MOST_SEQUENCES),
        metavar="N",
        help="with --resume: make the run longer, N sequences in all (1.2e6, say)",
    )
    parser.add_argument(
        "--features",
        type=existing_file,
        metavar="FILE",
        help="a feature file (HDF5 or safetensors)",
    )
    parser.add_argument(
        "--clamp",
        action="append",
        default=[],
        metavar="CLAMP",
        help="a clamp to train under, as Python would write it; may be given again",
    )
    parser.add_argument("--wandb", metavar="PROJECT", help="also log to Weights & Biases")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_import(parser)
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from coopetition_interp.interventions import parse_clamp
    from coopetition_interp.tasks.exemplar_label.features import FeatureFile, allow_downloads
    from coopetition_interp.tasks.presets import preset
    from coopetition_interp.training import ConfigError, resume, train

    if options.resume is not None:
        if any((options.preset, options.overrides, options.out, options.clamp, options.features)):
            raise ConfigError("--resume goes on with a run as it was begun: give nothing else")
        run = resume(
            options.resume,
            n_sequences=options.until,
            progress=not options.quiet,
            wandb_project=options.wandb,
        )
        _tell_finished(run, options.imports)
        return
    if options.until is not None:
        raise ConfigError("--until goes with --resume; a new run's length is n_sequences=N")
    if options.preset is None or options.out is None:
        raise ConfigError("train needs a preset and --out DIR, or --resume DIR")
    for field, option in (("features", options.features), ("clamps", options.clamp)):
        if option and any(each.startswith(f"{field}=") for each in options.overrides):
            raise ConfigError(f"{field}= would replace what its option gives: give one of the two")
    config = preset(options.preset)
    if options.features is not None:
        config = config.replace(features=FeatureFile(path=str(options.features)))
    config = config.replace(clamps=tuple(parse_clamp(text) for text in options.clamp))
    config = config.with_overrides(options.overrides)
    # Downloads are allowed: the config is the user's own words, no file's.
    with nothing_left_if_refused(options.out), allow_downloads():
        run = train(config, options.out, progress=not options.quiet, wandb_project=options.wandb)
    _tell_finished(run, options.imports)


def _tell_finished(run: Run, imports: Sequence[str]) -> None:
    """The scores at the end, where they are, and what to do next."""
    from coopetition_interp.training.going_on import run_words

    metrics = run.metrics
    if not metrics.empty:
        last = metrics[metrics["sequences_seen"] == metrics["sequences_seen"].max()]
        shown = last.dropna(axis="columns", how="all").drop(columns="n_sequences", errors="ignore")
        print(shown.to_string(index=False, float_format="%.3f", na_rep=""))
    print(f"finished: {run.path}")
    words = run_words(run.path, imports)
    print(f"next: `coopetition-interp evaluate {words} --at all` scores every checkpoint")


# evaluate -----------------------------------------------------------------------------------


def add_evaluate(commands) -> None:
    """`evaluate`: a run's checkpoints."""
    parser = subcommand(commands, "evaluate", "evaluate a run's checkpoints")
    parser.add_argument("directory", type=Path, metavar="DIR", help="the run")
    parser.add_argument(
        "--at",
        type=checkpoint,
        default="last",
        metavar="N",
        help="sequences seen, first, last or all",
    )
    parser.add_argument(
        "--clamp",
        action="append",
        default=None,
        metavar="CLAMP",
        help="clamps to evaluate under, instead of those the run was trained under",
    )
    parser.add_argument(
        "--out", type=file_to_write, metavar="FILE", help="write a CSV instead of printing"
    )
    add_import(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    from coopetition_interp.analysis.checkpoints import evaluate_checkpoints
    from coopetition_interp.files.atomic_file import atomic_file
    from coopetition_interp.interventions import parse_clamp
    from coopetition_interp.training import load_run

    run = load_run(options.directory)
    clamps = run.config.clamps
    if options.clamp is not None:
        clamps = tuple(parse_clamp(text) for text in options.clamp)
    table = evaluate_checkpoints(run, clamps, options.at, progress=options.at == "all")
    result = table[[*table.columns[1:], "sequences_seen"]]
    if options.out is None:
        print(result.to_string(index=False))
        return
    with atomic_file(options.out) as file:
        result.to_csv(file, index=False)
    print(f"wrote {options.out}")


# thin ---------------------------------------------------------------------------------------


def add_thin(commands) -> None:
    """`thin`: a run's small copy."""
    parser = subcommand(
        commands,
        "thin",
        "copy a run with a few checkpoints only",
        "Keeps config, metrics and, in half precision, the checkpoints nearest to the start, to\n"
        "Flip's peak and crossing (of a run that measures it), and to the end.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the run")
    parser.add_argument(
        "--out", type=directory_to_write, required=True, metavar="DIR", help="the copy"
    )
    parser.add_argument(
        "--at",
        type=whole_number(0, MOST_SEQUENCES),
        nargs="+",
        metavar="N",
        help="checkpoints to keep, in sequences seen",
    )
    add_import(parser)
    parser.set_defaults(run=_thin)


def _thin(options: argparse.Namespace) -> None:
    from coopetition_interp.analysis.thin_run import thin_run
    from coopetition_interp.training import load_run

    with nothing_left_if_refused(options.out):
        copy = thin_run(load_run(options.directory), options.out, options.at)
    print(f"wrote {copy.path}, with checkpoints at {copy.checkpoints}")
