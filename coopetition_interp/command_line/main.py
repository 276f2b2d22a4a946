"""`coopetition-interp`: parses the command line and calls the room that does the work.

Each subcommand imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress

import coopetition_interp
from coopetition_interp.command_line.arguments import (
    OneLineParser,
    check_words,
    file_to_write,
    whole_number,
)
from coopetition_interp.command_line.clusters import add_clusters
from coopetition_interp.command_line.features import add_features
from coopetition_interp.command_line.own_modules import import_own
from coopetition_interp.command_line.runs import add_evaluate, add_thin, add_train
from coopetition_interp.command_line.studies import add_figures, add_pack, add_sweep
from coopetition_interp.command_line.subcommand import subcommand
from coopetition_interp.config_class import ConfigError
from coopetition_interp.interruption import exit_code, interruptible
from coopetition_interp.one_line import one_line

DESCRIPTION = """\
Train small HookedTransformers on in-context-learning tasks, clamp their circuits while they
learn, and draw the figures of studies from your own runs."""

BENCHMARK_PARTS = ("full", "small", "busy", "evaluation", "checkpoints", "start-up", "clamps")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = OneLineParser(
        prog="coopetition-interp",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"coopetition-interp {coopetition_interp.__version__}",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_train(commands)
    add_evaluate(commands)
    add_features(commands)
    add_clusters(commands)
    add_sweep(commands)
    add_figures(commands)
    add_pack(commands)
    add_thin(commands)
    add_presets(commands)
    add_bench(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Words after the program's name; by default those it was called with.

    Returns:
        The exit status: 0, or 2 for bad input (told in one line), or 128 and the number of the
        signal that interrupted it (130 for Ctrl-C).
    """
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
    except ConfigError as error:
        return _refused(error)
    try:
        with interruptible():
            import_own(getattr(options, "imports", ()))
            options.run(options)
    except KeyboardInterrupt as error:
        with suppress(OSError):  # the terminal may be what went away
            print(str(error) or "interrupted", file=sys.stderr)
        return exit_code(error)
    except (ValueError, RuntimeError, OSError, OverflowError, MemoryError) as error:
        if options.traceback:
            raise
        return _refused(error)
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options that the words of a command line give.

    Raises:
        ConfigError: If they give none.
    """
    check_words(list(arguments))
    parser = build_parser()
    options, left_over = parser.parse_known_args(arguments)
    overrides = [word for word in left_over if "=" in word and not word.startswith("-")]
    if overrides != left_over or (overrides and options.command != "train"):
        parser.error(f"unrecognized arguments: {' '.join(left_over)}")
    if overrides:  # argparse takes no positional words after an option
        options.overrides += overrides
    return options


def _refused(error: Exception) -> int:
    """Tells an error on the terminal; the exit status."""
    print(f"coopetition-interp: error: {one_line(error)}", file=sys.stderr)
    return 2


# presets ------------------------------------------------------------------------------------


def add_presets(commands) -> None:
    """`presets`: names, or fields of one."""
    parser = subcommand(commands, "presets", "list the presets, or the fields of one")
    parser.add_argument("name", nargs="?", help="a preset")
    parser.set_defaults(run=_presets)


def _presets(options: argparse.Namespace) -> None:
    from coopetition_interp.tasks.presets import PRESETS, preset
    from coopetition_interp.training.overrides import dotted_fields

    if options.name is None:
        for name, make in PRESETS.items():
            print(f"{name:<15} {(make.__doc__ or '').splitlines()[0]}")
        return
    for name, value in dotted_fields(preset(options.name).to_dict(whole=True)):
        print(f"{name}={value}")


# bench --------------------------------------------------------------------------------------


def add_bench(commands) -> None:
    """`bench`: speed, as ratios."""
    parser = subcommand(
        commands,
        "bench",
        "time training steps, evaluation and start-up against yardsticks, side by side",
        "All of it takes some minutes; --quick leaves parts out, and measures for a shorter time.",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=BENCHMARK_PARTS,
        help="one part of it; may be given again",
    )
    parser.add_argument("--quick", action="store_true", help="less, in a shorter time")
    parser.add_argument(
        "--rounds", type=whole_number(1, 10_000), metavar="N", help="rounds of each measurement"
    )
    parser.add_argument(
        "--json",
        type=file_to_write,
        metavar="FILE",
        help="write the numbers there, with a description of the machine",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="what is measured; auto: a GPU where there is one",
    )
    parser.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> None:
    from coopetition_interp.benchmark import run_benchmark

    run_benchmark(options.only, options.quick, options.rounds, options.json, options.device)
