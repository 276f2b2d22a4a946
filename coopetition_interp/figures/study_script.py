"""What the scripts of a study's figures share: their command line, and what they write."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from coopetition_interp.figures.study_figure import StudyFigure
from coopetition_interp.reporting.write import write_figure
from coopetition_interp.studies.study import Study, StudyError

PACKED_STUDIES = Path("checkpoints")
"""Where this repository keeps the packed study of each sweep, by the sweep's name."""


def study_parser(description: str | None, sweep: str) -> argparse.ArgumentParser:
    """A parser with `--run DIR` (or `--study DIR`), by default this repository's, and `--out`.

    Args:
        description: For `--help`.
        sweep: Which sweep makes the study.
    """
    parser = argparse.ArgumentParser(description=description)
    packed = PACKED_STUDIES / sweep
    parser.add_argument(
        "--run",
        "--study",
        dest="study",
        type=Path,
        default=packed,
        metavar="DIR",
        help=f"the directory of a sweep, of one run, or of a packed study ({packed})",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for what is written (figures in the study)"
    )
    return parser


def run_script(
    description: str | None,
    script: str,
    figure: Callable[[Study], StudyFigure],
    arguments: Sequence[str] | None = None,
    sweep: str = "coopetition",
) -> None:
    """A figure's script: draws it, writes it, prints its numbers beside the published.

    Exits with status 2, and a line that says which command makes what is missing, if the study
    lacks a run.

    Args:
        description: For `--help`.
        script: The script's file, which names the files written.
        figure: Makes the figure from a study.
        arguments: Words after the script's name; by default those it was called with.
        sweep: Which sweep makes the study.
    """
    parser = study_parser(description, sweep)
    options = parser.parse_args(arguments)
    try:
        made = figure(Study(options.study, sweep))
    except StudyError as error:
        parser.error(str(error))
    folder = options.out or options.study / "figures"
    for path in write_study_figure(made, folder / Path(script).stem):
        print(f"wrote {path}")


def write_study_figure(made: StudyFigure, stem: Path) -> list[Path]:
    """Prints a figure's numbers and verdict; writes it, its tables and its numbers.

    Args:
        made: The figure.
        stem: Path without a suffix; tables are `stem.csv` and `stem_WORD.csv`.

    Returns:
        The files written.

    Raises:
        OSError: No space or no permission.
    """
    entry = made.entry
    print(entry.title)
    print(entry.numbers.to_string(index=False))
    print(f"{entry.verdict}. {entry.note}")
    return [*write_tables(made, stem), *write_figure(entry.figure, stem)]


def write_tables(made: StudyFigure, stem: Path) -> list[Path]:
    """Writes a figure's tables and its numbers; arguments as of `write_study_figure`."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for word, table in {**made.tables, "numbers": made.entry.numbers}.items():
        path = stem.parent / f"{stem.name}{'_' if word else ''}{word}.csv"
        table.to_csv(path, index=False)
        written.append(path)
    return written
