"""A study's chapter of the page: what its folder says, and its figures drawn from each study.

A study is a folder with figures' files (see `figure_file`), such as those under `analyses/`. It may
have a `chapter.py` of constants: `TITLE`, `ORDER` (chapters come in its order), `INTRODUCTION`,
`HEADLINE_FIGURE` (shown at the top of the page), `KEY_FIGURES` (in the table of claims there; by
default all) and `GLOSSARY` (words and what they mean). Figures are named by their files, without
the suffix. Its packed studies are the directories that hold a `study.json` at or below
`checkpoints/NAME/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from traceback import extract_tb

from coopetition_interp.one_line import one_line
from coopetition_interp.reporting.figure_file import (
    DrawnFigure,
    FigureFile,
    FigureFileError,
    figure_files,
)
from coopetition_interp.reporting.packed_index import INDEX, StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.sweeps.plan_file import load_module
from coopetition_interp.training import RunError

LAST = 1_000
PLAN = "runs.py"


@dataclass(frozen=True)
class Chapter:
    """A study's folder, and what it says of its chapter. Attributes as in the module.

    Attributes:
        folder: The folder.
        title: By default the folder's name.
        order: By default after all that say theirs.
        introduction: Plain text.
        headline_figure: May be empty.
        key_figures: Of the table of claims.
        glossary: Meaning by word.
    """

    folder: Path
    title: str
    order: int = LAST
    introduction: str = ""
    headline_figure: str = ""
    key_figures: Sequence[str] = ()
    glossary: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | Path) -> Chapter:
        """The chapter of a folder.

        Raises:
            FigureFileError: It holds no figure, or names one that it does not hold.
        """
        folder = Path(folder)
        names = [path.stem for path in figure_files(folder)]
        if not names:
            raise FigureFileError(f"{folder} holds no figure: a figure's file is named fig*.py")
        said = load_module(folder / "chapter.py") if (folder / "chapter.py").is_file() else None
        chapter = cls(
            folder,
            title=getattr(said, "TITLE", folder.resolve().name.replace("_", " ")),
            order=getattr(said, "ORDER", LAST),
            introduction=" ".join(getattr(said, "INTRODUCTION", "").split()),
            headline_figure=getattr(said, "HEADLINE_FIGURE", ""),
            key_figures=tuple(getattr(said, "KEY_FIGURES", names)),
            glossary=dict(getattr(said, "GLOSSARY", {})),
        )
        unknown = {chapter.headline_figure, *chapter.key_figures} - {"", *names}
        if unknown:
            told = ", ".join(sorted(unknown))
            raise FigureFileError(f"{folder / 'chapter.py'} names {told}: no such figure is there")
        return chapter

    @property
    def name(self) -> str:
        """The folder's name, with dashes."""
        return self.folder.resolve().name.replace("_", "-")

    @property
    def needs_runs(self) -> bool:
        """Whether its figures are drawn from runs, not simulated on the spot."""
        return (self.folder / PLAN).is_file()


@dataclass(frozen=True)
class Source:
    """What a chapter's figures are drawn from.

    Attributes:
        name: Where it lies, in a word or two; empty for what is simulated on the spot.
        study: The study; None for what is simulated on the spot.
    """

    name: str = ""
    study: Study | None = None

    @cached_property
    def title(self) -> str:
        """Its name and setting."""
        if self.study is None:
            return "simulated on the spot"
        return ": ".join(filter(None, [self.name, self.study.setting]))


@dataclass(eq=False)
class DrawnChapter:
    """A chapter with its figures.

    Attributes:
        chapter: What its folder says.
        sources: What they were drawn from.
        figures: By file, then by source; in order.
        missing: Why a figure is not there, by figure and source.
        failed: Those of them whose files are at fault.
    """

    chapter: Chapter
    sources: Sequence[Source] = ()
    figures: dict[str, dict[Source, DrawnFigure]] = field(default_factory=dict)
    missing: dict[tuple[str, Source], str] = field(default_factory=dict)
    failed: list[tuple[str, Source]] = field(default_factory=list)

    @property
    def failures(self) -> dict[str, dict[Source, str]]:
        """Why, by figure and then by source, of those whose files are at fault."""
        failures: dict[str, dict[Source, str]] = {}
        for name, source in self.failed:
            failures.setdefault(name, {})[source] = self.missing[name, source]
        return failures

    @property
    def names(self) -> list[str]:
        """Of the figures that have a place on the page: drawn, or at fault; in order."""
        return sorted({*self.figures, *self.failures})

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Names of the figures that are missing, by the reason."""
        reasons: dict[str, list[str]] = {}
        for (name, source), why in self.missing.items():
            several = len(self.sources) > 1
            reasons.setdefault(why, []).append(f"{name} ({source.name})" if several else name)
        return reasons


def packed_sources(chapter: Chapter, checkpoints: Path) -> tuple[list[Source], list[str]]:
    """Packed studies of a chapter under `checkpoints/`; those at the published scale come first.

    Args:
        chapter: The chapter.
        checkpoints: Each chapter's lie in a directory of its name, with dashes or underscores.

    Returns:
        The sources, and what is to be told of those that cannot be read.
    """
    sources, left_out = [], []
    names = {chapter.name, chapter.name.replace("-", "_")}
    for folder in (checkpoints / name for name in sorted(names)):
        for index in sorted(folder.rglob(INDEX)):
            inside = index.parent.relative_to(folder).as_posix()
            try:
                study = Study(index.parent, plan_file=chapter.folder / PLAN)
                sources.append(Source("" if inside == "." else inside, study))
            except StudyError as error:
                left_out.append(f"left out {index.parent}: {error}")
    sources.sort(key=lambda source: source.study is None or not source.study.at_published_scale)
    return sources, left_out


@dataclass(frozen=True)
class NotDrawn:
    """Why there is no figure.

    Attributes:
        why: In one line.
        failed: Whether its file is at fault, and not what it is drawn from.
    """

    why: str
    failed: bool = False


def draw_figure(path: Path, source: Source) -> DrawnFigure | NotDrawn:
    """A figure from a source, or why there is none, whatever its file raises."""
    file = str(path.resolve())
    try:
        drawn = FigureFile.load(path).draw(source.study)
        _ = drawn.numbers, drawn.finding  # what fails when they are told fails here
        return drawn
    except FigureFileError as error:
        return NotDrawn(one_line(error), failed=True)
    except (StudyError, RunError) as error:  # the study lacks something
        return NotDrawn(one_line(error))
    except Exception as error:
        lines = [at.lineno for at in extract_tb(error.__traceback__) if at.filename == file]
        where = f", in line {lines[-1]}" if lines else ""
        said = f"{type(error).__name__}: {one_line(error)}"
        return NotDrawn(f"{path.name} failed{where} ({said})", failed=True)
