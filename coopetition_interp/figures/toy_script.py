"""What the scripts of the toy models' figures share: their command line."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from pathlib import Path

from coopetition_interp.figures.study_script import write_study_figure
from coopetition_interp.figures.toy_entries import TOY_FIGURES

SIZES = {
    "seed": "the seed that is drawn",
    "seeds": "how many seeds, from 0, are counted",
    "steps": "gradient descent steps, at most",
    "every": "steps between points of the table",
}
"""Simulation sizes that can be changed, with what `--help` says of them."""


def run_toy_script(
    description: str | None, script: str, arguments: Sequence[str] | None = None
) -> None:
    """A toy figure's script: simulates, writes the figure, prints its numbers and verdict.

    Its options are `--out` and the sizes that the figure's function takes.

    Args:
        description: For `--help`.
        script: The script's file, named as in `TOY_FIGURES`; it names the files written.
        arguments: Words after the script's name; by default those it was called with.
    """
    name = Path(script).stem
    figure = TOY_FIGURES[name]
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and figure")
    sizes = inspect.signature(figure).parameters
    for size, parameter in sizes.items():
        parser.add_argument(
            f"--{size}",
            type=int,
            default=parameter.default,
            metavar="N",
            help=f"{SIZES[size]} ({parameter.default})",
        )
    options = parser.parse_args(arguments)
    try:
        made = figure(**{size: getattr(options, size) for size in sizes})
    except ValueError as error:
        parser.error(str(error))
    for path in write_study_figure(made, options.out / name):
        print(f"wrote {path}")
