"""`coopetition-interp`: parses the command line and calls the room that does the work.

Each subcommand imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from coopetition_interp.command_line.features import add_features
from coopetition_interp.command_line.runs import add_evaluate, add_thin, add_train
from coopetition_interp.command_line.studies import add_figures, add_sweep
from coopetition_interp.command_line.subcommand import subcommand

DESCRIPTION = """\
Train small HookedTransformers on in-context-learning tasks, clamp their circuits while they
learn, and draw the figures of "Strategy Coopetition Explains the Emergence and Transience of
In-Context Learning" from your own runs."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="coopetition-interp",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_train(commands)
    add_evaluate(commands)
    add_features(commands)
    add_sweep(commands)
    add_figures(commands)
    add_thin(commands)
    add_presets(commands)
    add_bench(commands)
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


# presets ------------------------------------------------------------------------------------


def add_presets(commands) -> None:
    """`presets`: names, or fields of one."""
    parser = subcommand(commands, "presets", "list the presets, or the fields of one")
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


def add_bench(commands) -> None:
    """`bench`: speed, as ratios."""
    parser = subcommand(
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
