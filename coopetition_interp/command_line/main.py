"""`coopetition-interp`: parses the command line and calls the room that does the work.

Each subcommand imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

DESCRIPTION = """\
Train small HookedTransformers on in-context-learning tasks, clamp their circuits while they
learn, and draw the figures of "Strategy Coopetition Explains the Emergence and Transience of
In-Context Learning" from your own runs."""

OVERRIDES_HELP = """\
Any field of the preset can be changed: field=value, nested fields with dots, values as JSON or
plain text. `coopetition-interp presets NAME` lists a preset's fields and their values.

  coopetition-interp train laptop --out runs/laptop
  coopetition-interp train laptop --out runs/quick n_sequences=1e6 optimizer.learning_rate=1e-3
  coopetition-interp train omniglot --out runs/omniglot --features omniglot_features.h5
  coopetition-interp train induction --out runs/no-previous-token \\
      --clamp 'BlockPreviousToken(heads=[(0, 0), (0, 1)])'
  coopetition-interp train --resume runs/laptop
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="coopetition-interp",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_evaluate(commands)
    _add_features(commands)
    _add_sweep(commands)
    _add_figures(commands)
    _add_thin(commands)
    _add_presets(commands)
    _add_bench(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Words after the program's name; by default those it was called with.

    Returns:
        The exit status: 0, or 2 for bad input (told in one line), or 130 when interrupted.
    """
    parser = build_parser()
    options, left_over = parser.parse_known_args(arguments)
    overrides = [word for word in left_over if "=" in word and not word.startswith("-")]
    if overrides != left_over or (overrides and options.command != "train"):
        parser.error(f"unrecognized arguments: {' '.join(left_over)}")
    if overrides:  # argparse takes no positional words after an option
        options.overrides += overrides
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError) as error:
        if options.traceback:
            raise
        print(f"coopetition-interp: error: {error}", file=sys.stderr)
        return 2
    return 0


def _subcommand(commands, name: str, summary: str, epilog: str | None = None):
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show Python's traceback of an error"
    )
    return parser


# train --------------------------------------------------------------------------------------


def _add_train(commands) -> None:
    parser = _subcommand(commands, "train", "train a model and keep its run", OVERRIDES_HELP)
    parser.add_argument("preset", nargs="?", help="a preset's name (see `presets`)")
    parser.add_argument("overrides", nargs="*", metavar="field=value", help="changes to the preset")
    parser.add_argument("--out", type=Path, metavar="DIR", help="directory of the new run")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with an interrupted run")
    parser.add_argument(
        "--until",
        type=float,
        metavar="N",
        help="with --resume: make the run longer, N sequences in all (1.2e6, say)",
    )
    parser.add_argument(
        "--features", type=Path, metavar="FILE", help="a feature file (HDF5 or safetensors)"
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
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from coopetition_interp.data import FeatureFile
    from coopetition_interp.interventions import parse_clamp
    from coopetition_interp.training import ConfigError, preset, resume, train

    if options.resume is not None:
        if options.preset or options.out or options.clamp or options.features:
            raise ConfigError("--resume goes on with a run as it was begun: give nothing else")
        run = resume(
            options.resume,
            n_sequences=None if options.until is None else int(options.until),
            progress=not options.quiet,
            wandb_project=options.wandb,
        )
        print(f"finished: {run.path}")
        return
    if options.until is not None:
        raise ConfigError("--until goes with --resume; a new run's length is n_sequences=N")
    if options.preset is None or options.out is None:
        raise ConfigError("train needs a preset and --out DIR, or --resume DIR")
    config = preset(options.preset)
    if options.features is not None:
        config = config.replace(features=FeatureFile(path=str(options.features)))
    config = config.replace(clamps=tuple(parse_clamp(text) for text in options.clamp))
    config = config.with_overrides(options.overrides)
    run = train(config, options.out, progress=not options.quiet, wandb_project=options.wandb)
    print(f"finished: {run.path}")


# evaluate -----------------------------------------------------------------------------------


def _add_evaluate(commands) -> None:
    parser = _subcommand(commands, "evaluate", "evaluate a run's checkpoints")
    parser.add_argument("directory", type=Path, metavar="DIR", help="the run")
    parser.add_argument(
        "--at", default="last", metavar="N", help="sequences seen, first, last or all"
    )
    parser.add_argument(
        "--clamp",
        action="append",
        default=None,
        metavar="CLAMP",
        help="clamps to evaluate under, instead of those the run was trained under",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a CSV instead of printing")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    import pandas as pd
    from tqdm.auto import tqdm

    from coopetition_interp.data.atomic_file import atomic_file
    from coopetition_interp.evaluation import evaluate
    from coopetition_interp.interventions import parse_clamp
    from coopetition_interp.training import load_run

    run = load_run(options.directory)
    clamps = run.config.clamps
    if options.clamp is not None:
        clamps = tuple(parse_clamp(text) for text in options.clamp)
    moments = run.checkpoints if options.at == "all" else [_moment(options.at)]
    tables = []
    for moment in tqdm(moments, unit="checkpoint", disable=len(moments) == 1):
        seen = int(run.checkpoint_path(moment).stem)
        table = evaluate(run.model(moment), run.evaluation_sequences, clamps)
        tables.append(table.assign(sequences_seen=seen))
    result = pd.concat(tables, ignore_index=True)
    if options.out is None:
        print(result.to_string(index=False))
        return
    with atomic_file(options.out) as file:
        result.to_csv(file, index=False)
    print(f"wrote {options.out}")


def _moment(text: str):
    if text in ("first", "last"):
        return text
    try:
        return int(float(text))
    except ValueError as error:
        raise ValueError(
            f"--at takes a number of sequences, first, last or all; got {text!r}"
        ) from error


# features -----------------------------------------------------------------------------------


def _add_features(commands) -> None:
    parser = _subcommand(
        commands,
        "features",
        "make a feature file from Omniglot",
        "Reads (or, with --download, fetches) Omniglot and encodes every drawing in the eight\n"
        "transforms. A run that was stopped goes on where it was.",
    )
    parser.add_argument(
        "out", type=Path, metavar="FILE", help="file to write (.h5 or .safetensors)"
    )
    parser.add_argument("--root", default="data", help="folder that holds, or will hold, Omniglot")
    parser.add_argument("--download", action="store_true", help="download Omniglot by torchvision")
    parser.add_argument(
        "--encoder",
        default="resnet18",
        help="a torchvision model, or efficientnet-lite0 (needs the extra `efficientnet`)",
    )
    parser.add_argument("--image-size", type=int, default=224, help="pixels (default 224)")
    parser.add_argument(
        "--transforms", choices=("all", "unrotated"), default="all", help="all eight, or none"
    )
    parser.set_defaults(run=_features)


def _features(options: argparse.Namespace) -> None:
    from coopetition_interp.data import OmniglotFeatures, save_feature_file

    source = OmniglotFeatures(
        root=options.root,
        encoder=options.encoder,
        image_size=options.image_size,
        transforms=options.transforms,
        download=options.download,
    )
    bank = source.load()
    save_feature_file(bank, options.out)
    print(f"wrote {options.out}: {bank.n_classes} classes x {bank.n_exemplars} x {bank.d_feature}")


# sweep --------------------------------------------------------------------------------------


def _add_sweep(commands) -> None:
    parser = _subcommand(
        commands,
        "sweep",
        "do every run of a study",
        "Finished runs are skipped, interrupted ones resumed; a failed one is reported and does\n"
        "not stop the others. Without --features the study runs on synthetic Gaussian classes, at\n"
        "the omniglot and paper presets on Omniglot.",
    )
    parser.add_argument("name", choices=("induction-heads", "coopetition"), help="which study")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="its directory")
    parser.add_argument(
        "--preset",
        help="scale of the coopetition study: laptop (default), omniglot, paper, or tiny to try it",
    )
    parser.add_argument(
        "--features", type=Path, metavar="FILE", help="a feature file of Omniglot's characters"
    )
    parser.add_argument(
        "--workers",
        type=int,
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
    from coopetition_interp.sweeps import (
        only_named,
        run_sweep_locally,
        run_sweep_with_submitit,
        sweep_status,
    )
    from coopetition_interp.training import ConfigError

    if options.executor_option and options.executor == "processes":
        raise ConfigError("--executor-option is for submitit: add --executor local or slurm")
    plan = _plan_of(options)
    if options.only:
        plan = only_named(plan, options.only)
    if options.status:
        table = sweep_status(plan, options.out)
    elif options.executor == "processes":
        table = run_sweep_locally(plan, options.out, options.workers)
    else:
        table = run_sweep_with_submitit(
            plan, options.out, options.executor, options.workers, options.executor_option
        )
    print(table.to_string(index=False))
    unfinished = table[table.state != "finished"]
    if len(unfinished) and not options.status:
        raise RuntimeError(f"{len(unfinished)} of {len(table)} runs did not finish")


def _plan_of(options: argparse.Namespace):
    from coopetition_interp.data import FeatureFile, FeatureSource, GaussianFeatures
    from coopetition_interp.sweeps import coopetition_plan, induction_heads_plan
    from coopetition_interp.training import ConfigError

    path = None if options.features is None else str(options.features.resolve())
    if options.name == "coopetition":
        source = None if path is None else FeatureFile(path=path)
        return coopetition_plan(options.preset or "laptop", source)
    if options.preset is not None:
        raise ConfigError("--preset is for the coopetition study; induction-heads has one scale")
    features: FeatureSource = GaussianFeatures(n_classes=1623)
    if path is not None:
        features = FeatureFile(path=path, transforms="unrotated")
    return induction_heads_plan(features)


# figures ------------------------------------------------------------------------------------


def _add_figures(commands) -> None:
    parser = _subcommand(
        commands,
        "figures",
        "draw every figure and write one page of them",
        "Without --runs everything is drawn from what the repository keeps under checkpoints/,\n"
        "without training; call it in the repository's root. With --runs it is drawn from sweeps\n"
        "of your own, and of the other two studies only those you name.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where it goes")
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

    given = (options.runs, options.real_runs, options.induction_heads)
    names = ("coopetition", "coopetition-omniglot", "induction-heads")
    packed = (PACKED_STUDIES / name for name in names)
    paths = given if any(given) else tuple(packed)
    for path in paths:
        if path is not None and not path.is_dir():
            raise FileNotFoundError(
                f"{path} is not there: call this in the root of the repository, which keeps its "
                "studies under checkpoints/, or give --runs DIR"
            )
    sweeps = ("coopetition", "coopetition", "induction-heads")
    coopetition, real, induction_heads = (
        None if path is None else Study(path, sweep)
        for path, sweep in zip(paths, sweeps, strict=True)
    )
    page, missing = draw_every_figure(
        options.out, coopetition, real, induction_heads, images=options.images
    )
    print(f"wrote {page}")
    if missing:
        told = "\n".join(f"{name}: {reason}" for name, reason in missing.items())
        raise RuntimeError(f"{len(missing)} figures were not drawn\n{told}")


# thin ---------------------------------------------------------------------------------------


def _add_thin(commands) -> None:
    parser = _subcommand(
        commands,
        "thin",
        "copy a run with a few checkpoints only",
        "Keeps config, metrics and, in half precision, the checkpoints nearest to the start, the\n"
        "ICL peak, the crossing of Flip and the end.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the copy")
    parser.add_argument(
        "--at", type=int, nargs="+", metavar="N", help="checkpoints to keep, in sequences seen"
    )
    parser.set_defaults(run=_thin)


def _thin(options: argparse.Namespace) -> None:
    from coopetition_interp.analysis.thin_run import thin_run
    from coopetition_interp.training import load_run

    copy = thin_run(load_run(options.directory), options.out, options.at)
    print(f"wrote {copy.path}, with checkpoints at {copy.checkpoints}")


# presets ------------------------------------------------------------------------------------


def _add_presets(commands) -> None:
    parser = _subcommand(commands, "presets", "list the presets, or the fields of one")
    parser.add_argument("name", nargs="?", help="a preset")
    parser.set_defaults(run=_presets)


def _presets(options: argparse.Namespace) -> None:
    from coopetition_interp.training import PRESETS, preset
    from coopetition_interp.training.typed_fields import dotted_fields

    if options.name is None:
        for name, make in PRESETS.items():
            print(f"{name:<10} {(make.__doc__ or '').splitlines()[0]}")
        return
    for name, value in dotted_fields(preset(options.name).to_dict()):
        print(f"{name}={value}")


# bench --------------------------------------------------------------------------------------


def _add_bench(commands) -> None:
    parser = _subcommand(
        commands,
        "bench",
        "time training steps, sampling and evaluation against yardsticks, side by side",
    )
    parser.add_argument(
        "--only", choices=("full", "small", "evaluation", "clamps"), help="one part of it"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each measurement")
    parser.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> None:
    from coopetition_interp.benchmark import run_benchmark

    run_benchmark(only=options.only, repeats=options.repeats)
