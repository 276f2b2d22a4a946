"""A figure is one file: what it claims, the runs it needs, its table, its picture, its rules.

Such a file has, top to bottom:

- a docstring: its first line is the title, the rest the published claim and where it stands;
- `table(study)`: what the figure is drawn from, one tidy table or several by name; `study` is None
  where the folder has no `runs.py`, and what is drawn is simulated on the spot;
- `draw(tables)`: the plotly figure;
- `PUBLISHED`: the published numbers, in words, by the statement of the rule they stand beside;
- `rules(tables)`: the rules that decide the claim, fixed before the runs were looked at; where the
  figure makes several claims each rule says which it is a part of (`claim`);
- optionally `beside(tables)`: numbers that stand beside them and decide nothing;
- optionally `WHY`: the best explanation where ours differs, with what was measured.

and ends with

    if __name__ == "__main__":
        draw_figure_file(__file__)
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from coopetition_interp.reporting.kept_table import write_table
from coopetition_interp.reporting.load_study import load_study
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.reporting.verdicts import Beside, Rule, Verdict, verdict_of
from coopetition_interp.reporting.write import write_figure
from coopetition_interp.sweeps.plan_file import load_module
from coopetition_interp.training import RunError

Tables = Mapping[str, pd.DataFrame]
FIGURE_FILES = ("fig*.py", "sec*.py", "table*.py")
WANTED = ("table", "draw", "rules", "PUBLISHED")


class FigureFileError(ValueError):
    """A file is not a figure; the message says what it lacks."""


@dataclass(frozen=True)
class JudgedClaim:
    """A claim's rules, and what they come to.

    Attributes:
        rules: Its own.
        single_run: Whether a single run, at the published scale, decides alone.
    """

    rules: Sequence[Rule]
    single_run: bool

    @property
    def verdict(self) -> Verdict:
        """See `verdict_of`."""
        return verdict_of(self.rules, self.single_run)

    @property
    def deciding_rule(self) -> Rule:
        """The first rule whose verdict is the claim's."""
        return next(r for r in self.rules if r.verdict(self.single_run) == self.verdict)

    def finding(self, published: Mapping[str, str]) -> str:
        """How many rules say what, and what was found by the deciding one."""
        counts = Counter(rule.verdict(self.single_run) for rule in self.rules)
        told = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        rules = "One check" if len(self.rules) == 1 else f"{len(self.rules)} checks"
        rule = self.deciding_rule
        beside = published.get(rule.statement)
        statement = rule.statement[:1].upper() + rule.statement[1:]
        return (
            f"{rules}: {told}. {statement}: {rule.found}"
            f"{f'; published: {beside}' if beside else ''}."
        )


@dataclass(frozen=True, eq=False)
class DrawnFigure:
    """A figure drawn from a study.

    Attributes:
        name: Its file's, without the suffix.
        title: First line of its docstring.
        claim: The rest of it.
        figure: The picture.
        tables: What it is drawn from, by name; "" for the only one.
        rules: What decides, with what was found; of all its claims.
        beside: Numbers that decide nothing.
        published: Published numbers in words, by a rule's or such a number's statement.
        single_run: See `JudgedClaim`.
        why: Where ours differs, the best explanation; empty if there is none.
    """

    name: str
    title: str
    claim: str
    figure: go.Figure
    tables: Tables
    rules: Sequence[Rule]
    published: Mapping[str, str]
    beside: Sequence[Beside] = ()
    single_run: bool = False
    why: str = ""

    @property
    def claims(self) -> dict[str, JudgedClaim]:
        """By the name that its rules give it; "" for the only one."""
        names = dict.fromkeys(rule.claim for rule in self.rules)
        return {
            name: JudgedClaim([r for r in self.rules if r.claim == name], self.single_run)
            for name in names
        }

    @property
    def differs(self) -> bool:
        """Whether any of its claims was not found."""
        found = {claim.verdict for claim in self.claims.values()}
        return not found <= {"reproduced", "agrees (one run)"}

    @property
    def finding(self) -> str:
        """What was found, for each claim: how many rules say what, and the deciding one."""
        return " ".join(
            f"{f'{name}: ' if name else ''}{claim.finding(self.published)}"
            for name, claim in self.claims.items()
        )

    @property
    def numbers(self) -> pd.DataFrame:
        """A row per rule, then per number beside them: in words, published, ours, verdict."""
        rows = [*self.rules, *self.beside]
        verdicts = [rule.verdict(self.single_run) for rule in self.rules]
        return pd.DataFrame(
            {
                "claim": [getattr(row, "claim", "") for row in rows],
                "rule": [row.rule for row in rows],
                "published": [self.published.get(row.statement, "") for row in rows],
                "ours": [row.found for row in rows],
                "verdict": [*verdicts, *("" for _ in self.beside)],
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
        """The figure from a study, or from nothing where the folder has no `runs.py`.

        Raises:
            StudyError: The study lacks what it needs.
            FigureFileError: There is no rule, a published number stands beside none, or a function
                gives something else than it should.
        """
        made = self.module.table(study)
        tables = self._tables(made)
        rules = list(self.module.rules(tables))
        if not rules:
            raise FigureFileError(f"{self.path}: rules() gives none, so nothing is decided")
        beside = list(self.module.beside(tables)) if hasattr(self.module, "beside") else []
        published: Mapping[str, str] = self.module.PUBLISHED
        unknown = published.keys() - {row.statement for row in [*rules, *beside]}
        if unknown:
            raise FigureFileError(
                f"{self.path}: PUBLISHED has {', '.join(sorted(unknown))}, which no rule states"
            )
        figure = self.module.draw(tables)
        if not isinstance(figure, go.Figure):
            kind = type(figure).__name__
            raise FigureFileError(f"{self.path}: draw() gives a plotly figure; it gave {kind}")
        title, _, claim = (self.module.__doc__ or "").strip().partition("\n")
        return DrawnFigure(
            name=self.path.stem,
            title=title.rstrip("."),
            claim=" ".join(claim.split()),
            figure=figure,
            tables=tables,
            rules=rules,
            published=published,
            beside=beside,
            single_run=study is None or study.at_published_scale,
            why=" ".join(getattr(self.module, "WHY", "").split()),
        )

    def _tables(self, made: Any) -> dict[str, pd.DataFrame]:
        tables = dict(made) if isinstance(made, Mapping) else {"": made}
        for table in tables.values():
            if not isinstance(table, pd.DataFrame):
                kind = type(table).__name__
                raise FigureFileError(
                    f"{self.path}: table() gives a pandas table or several by name; it gave {kind}"
                )
        return tables


def figure_files(folder: str | Path) -> list[Path]:
    """The figures' files of a study's folder, in the order of their names."""
    return sorted({path for pattern in FIGURE_FILES for path in Path(folder).glob(pattern)})


def draw_figure_file(file: str | Path, arguments: Sequence[str] | None = None) -> None:
    """A figure's file run as a script: draws it, writes it, prints its numbers and verdict.

    Exits with status 2, and a line that says which command makes what is missing, if the study
    lacks a run.

    Args:
        file: The figure's file.
        arguments: Words after the script's name; by default those it was called with.
    """
    loaded = FigureFile.load(file)
    plan_file = loaded.path.parent / "runs.py"
    parser = argparse.ArgumentParser(description=loaded.module.__doc__)
    if plan_file.is_file():
        parser.add_argument(
            "--run",
            type=Path,
            required=True,
            metavar="DIR",
            help="a sweep, a packed copy, or a single run",
        )
        parser.add_argument("--preset", help="that of the sweep, if it is not the plan's default")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: figures, in --run's DIR")
    options = parser.parse_args(arguments)
    folder, study = Path(), None
    try:
        if plan_file.is_file():
            folder, study = options.run, load_study(options.run, plan_file, options.preset)
        drawn = loaded.draw(study)
    except (StudyError, RunError, ValueError) as error:
        parser.error(str(error))
    print(drawn.title)
    print(drawn.numbers.to_string(index=False))
    for name, claim in drawn.claims.items():
        print(f"{name}: {claim.verdict}" if name else claim.verdict)
    for path in drawn.write(options.out or folder / "figures"):
        print(f"wrote {path}")
