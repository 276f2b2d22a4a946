"""A figure is one file: what it claims, the runs it needs, its table, its picture, its rules.

Such a file has, top to bottom:

- a docstring: its first line is the title, the rest the published claim and where it stands;
- `table(study)`: what the figure is drawn from, one tidy table or several by name;
- `draw(tables)`: the plotly figure;
- `PUBLISHED`: the published numbers, in words, by the statement of the rule they stand beside;
- `rules(tables)`: the rules that decide the claim, fixed before the runs were looked at;
- optionally `beside(tables)`: numbers that stand beside them and decide nothing;
- optionally `WHY`: the best explanation where ours differs, with what was measured.

and ends with

    if __name__ == "__main__":
        draw_figure_file(__file__)

In a folder without `runs.py` nothing is trained: `table` gets no study (None), and computes.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.reporting.study import Study, StudyError, write_table
from coopetition_interp.reporting.verdicts import Beside, Rule, Verdict, verdict_of
from coopetition_interp.reporting.write import write_figure

Tables = Mapping[str, pd.DataFrame]
FIGURE_FILES = ("fig*.py", "sec*.py", "table*.py")
WANTED = ("table", "draw", "rules", "PUBLISHED")


class FigureFileError(ValueError):
    """A file is not a figure; the message says what it lacks."""


@dataclass(frozen=True, eq=False)
class DrawnFigure:
    """A figure drawn from a study.

    Attributes:
        name: Its file's, without the suffix.
        title: First line of its docstring.
        claim: The rest of it.
        figure: The picture.
        tables: What it is drawn from, by name; "" for the only one.
        rules: What decides, with what was found.
        beside: Numbers that decide nothing.
        published: Published numbers in words, by a rule's or such a number's statement.
        verdict: On the claim.
        why: Where ours differs, the best explanation; empty if there is none.
    """

    name: str
    title: str
    claim: str
    figure: go.Figure
    tables: Tables
    rules: Sequence[Rule]
    published: Mapping[str, str]
    verdict: Verdict
    beside: Sequence[Beside] = ()
    why: str = ""

    @property
    def numbers(self) -> pd.DataFrame:
        """A row per rule, and per number beside them: in words, the published value, ours."""
        rows = [*self.rules, *self.beside]
        return pd.DataFrame(
            {
                "rule": [row.rule for row in rows],
                "published": [self.published.get(row.statement, "") for row in rows],
                "ours": [row.found for row in rows],
            }
        )

    def write(self, folder: Path, images: bool = True) -> list[Path]:
        """Writes the numbers, the tables and, with `images`, the picture.

        Raises:
            OSError: No space or no permission.
        """
        written = []
        for word, table in {**self.tables, "numbers": self.numbers}.items():
            file = folder / f"{self.name}{'_' if word else ''}{word}.csv"
            write_table(table, file)
            written.append(file)
        return [*written, *(write_figure(self.figure, folder / self.name) if images else ())]


@dataclass(frozen=True, eq=False)
class FigureFile:
    """A figure's file, loaded.

    Attributes:
        path: The file.
        module: What is in it.
    """

    path: Path
    module: ModuleType

    @classmethod
    def load(cls, path: str | Path) -> FigureFile:
        """Runs a file that the user names, and finds the figure in it.

        Raises:
            FigureFileError: It lacks a part; the message names it.
        """
        path = Path(path).resolve()
        module = load_module(path)
        missing = [name for name in WANTED if not hasattr(module, name)]
        if missing or not (module.__doc__ or "").strip():
            lacks = ", ".join(missing) or "a docstring"
            raise FigureFileError(
                f"{path} lacks {lacks}: a figure's file has a docstring, {', '.join(WANTED)}"
            )
        return cls(path, module)

    def draw(self, study: Study | None = None) -> DrawnFigure:
        """The figure from a study; None where nothing is trained.

        Raises:
            StudyError: The study lacks what it needs.
            FigureFileError: A published number stands beside no rule.
        """
        made = self.module.table(study)
        tables = {"": made} if isinstance(made, pd.DataFrame) else dict(made)
        rules = list(self.module.rules(tables))
        beside = list(self.module.beside(tables)) if hasattr(self.module, "beside") else []
        published: Mapping[str, str] = self.module.PUBLISHED
        unknown = published.keys() - {row.statement for row in [*rules, *beside]}
        if unknown:
            raise FigureFileError(
                f"{self.path}: PUBLISHED has {', '.join(sorted(unknown))}, which no rule states"
            )
        title, _, claim = (self.module.__doc__ or "").strip().partition("\n")
        return DrawnFigure(
            name=self.path.stem,
            title=title.rstrip("."),
            claim=" ".join(claim.split()),
            figure=self.module.draw(tables),
            tables=tables,
            rules=rules,
            published=published,
            verdict=verdict_of(rules, single_run=study is None or study.at_published_scale),
            beside=beside,
            why=" ".join(getattr(self.module, "WHY", "").split()),
        )


def figure_files(folder: str | Path) -> list[Path]:
    """The figures' files of a study's folder, in the order of their names."""
    return sorted({path for pattern in FIGURE_FILES for path in Path(folder).glob(pattern)})


def load_module(path: Path) -> ModuleType:
    """Runs a Python file that the user names, as a module of its own.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: check the path")
    name = "_".join([*path.parent.parts[-2:], path.stem]).replace("-", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for what it defines
    spec.loader.exec_module(module)
    return module


def load_plan(path: Path) -> Callable[..., Any]:
    """The function `plan` of a plan's file, such as a study's `runs.py`.

    Raises:
        FileNotFoundError: There is no such file.
        FigureFileError: It has no such function.
    """
    plan = getattr(load_module(path), "plan", None)
    if not callable(plan):
        raise FigureFileError(f"{path} has no function plan() that gives the runs")
    return plan


def draw_figure_file(file: str | Path, arguments: Sequence[str] | None = None) -> None:
    """A figure's file run as a script: draws it, writes it, prints its numbers and verdict.

    Exits with status 2, and a line that says which command makes what is missing, if the study
    lacks a run.

    Args:
        file: The figure's file.
        arguments: Words after the script's name; by default those it was called with.
    """
    loaded = FigureFile.load(file)
    runs = loaded.path.parent / "runs.py"
    trained = runs.is_file()
    parser = argparse.ArgumentParser(description=loaded.module.__doc__)
    if trained:
        parser.add_argument(
            "--run", type=Path, required=True, metavar="DIR", help="a sweep, or a packed copy"
        )
        parser.add_argument("--preset", help="that of the sweep, if it is not the plan's default")
    parser.add_argument(
        "--out",
        type=Path,
        required=not trained,
        metavar="DIR",
        help="folder for the figure and its tables" + (" (DIR/figures)" if trained else ""),
    )
    options = parser.parse_args(arguments)
    study = None
    try:
        if trained:
            plan = load_plan(runs)
            study = Study(options.run, plan(options.preset) if options.preset else plan())
        drawn = loaded.draw(study)
    except (StudyError, ValueError) as error:
        parser.error(str(error))
    print(drawn.title)
    print(drawn.numbers.to_string(index=False))
    print(drawn.verdict)
    for path in drawn.write(options.out or options.run / "figures"):
        print(f"wrote {path}")
