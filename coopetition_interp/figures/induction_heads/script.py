"""What the scripts of a study's figures share: their command line, and what they write."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from coopetition_interp.figures.write import write_figure
from coopetition_interp.studies.study import Study, StudyError

from .study_figure import StudyFigure

PACKED_STUDY = Path("checkpoints/induction-heads")


def study_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with `--study DIR`, by default the packed study of this repository, and `--out`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--study",
        type=Path,
        default=PACKED_STUDY,
        metavar="DIR",
        help=f"the sweep's directory, or a packed study ({PACKED_STUDY})",
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
) -> None:
    """A figure's script: draws it, writes it, prints its numbers beside the thesis's.

    Exits with status 2, and a line that says which command makes what is missing, if the study
    lacks a run.

    Args:
        description: For `--help`.
        script: The script's file, which names the files written.
        figure: Makes the figure from a study.
        arguments: Words after the script's name; by default those it was called with.
    """
    parser = study_parser(description)
    options = parser.parse_args(arguments)
    try:
        made = figure(Study(options.study))
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
    stem.parent.mkdir(parents=True, exist_ok=True)
    print(entry.title)
    print(entry.numbers.rename(columns={"paper": "thesis"}).to_string(index=False))
    print(f"{entry.verdict}. {entry.note}")
    tables = {**made.tables, "numbers": entry.numbers.rename(columns={"paper": "thesis"})}
    written = []
    for word, table in tables.items():
        path = stem.parent / f"{stem.name}{'_' if word else ''}{word}.csv"
        table.to_csv(path, index=False)
        written.append(path)
    return [*written, *write_figure(entry.figure, stem)]
