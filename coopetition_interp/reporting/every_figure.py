"""Every figure of every study's folder, on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm.auto import tqdm

from coopetition_interp.config_class import ConfigError
from coopetition_interp.reporting.chapter import (
    PLAN,
    Chapter,
    DrawnChapter,
    NotDrawn,
    Source,
    draw_figure,
    packed_sources,
)
from coopetition_interp.reporting.figure_file import figure_files
from coopetition_interp.reporting.load_study import load_study
from coopetition_interp.reporting.page import write_page

ANALYSES, CHECKPOINTS = Path("analyses"), Path("checkpoints")
NO_STUDY = "no study to draw from: do its sweep, and give that as --runs {name}=DIR"


def find_chapters(folders: Sequence[Path] = ()) -> list[Chapter]:
    """The chapters of these folders, or of those in `analyses/` that hold figures; in order.

    Raises:
        FileNotFoundError: A folder is not there.
        FigureFileError: A folder holds no figure.
    """
    for folder in folders or [ANALYSES]:
        if not folder.is_dir():
            mend = "" if folders else "in the root of the repository, "
            raise FileNotFoundError(
                f"{folder} is not there: call this {mend}or give a folder of figures by --study DIR"
            )
    found = folders or [path for path in ANALYSES.iterdir() if figure_files(path)]
    chapters = [Chapter.read(folder) for folder in found]
    return sorted(chapters, key=lambda chapter: (chapter.order, chapter.name))


def draw_every_figure(
    folder: Path,
    studies: Sequence[Path] = (),
    runs: Mapping[str, Path] | None = None,
    preset: str | None = None,
    images: bool = False,
    progress: bool = True,
) -> tuple[Path, list[DrawnChapter], list[str]]:
    """Draws the figures of every study's folder and writes one page of them.

    Args:
        folder: Where everything goes: `index.html`, and each figure's tables and numbers.
        studies: Folders of figures, instead of those in `analyses/`.
        runs: Sweeps' directories by the studies' names, drawn instead of what is packed under
            `checkpoints/`; of other studies that need runs nothing is drawn then.
        preset: Of those sweeps, if it is not their plan's default.
        images: Also write every figure as HTML and PNG of its own, which takes minutes.
        progress: Show a progress bar.

    Returns:
        The page, its chapters, and what is to be told of packed studies that cannot be read.

    Raises:
        ConfigError: `runs` names no study, or there is nothing to draw.
        FileNotFoundError: A folder is not there.
        StudyError: A directory of `runs` is not there.
        OSError: No space or no permission.
    """
    runs = {name.replace("_", "-"): path for name, path in (runs or {}).items()}
    chapters = find_chapters(studies)
    unknown = runs.keys() - {chapter.name for chapter in chapters if chapter.needs_runs}
    if unknown:
        names = ", ".join(chapter.name for chapter in chapters if chapter.needs_runs)
        raise ConfigError(
            f"there is no study {', '.join(sorted(unknown))}: choose from {names}, or give its "
            "folder by --study DIR"
        )
    told: list[str] = []
    drawn = []
    for chapter in chapters:
        if not chapter.needs_runs:
            sources = [Source()]
        elif chapter.name in runs:
            path = runs[chapter.name]
            study = load_study(path, chapter.folder / PLAN, preset)
            sources = [Source(path.resolve().name, study)]
        elif runs:
            continue
        else:
            sources, left_out = packed_sources(chapter, CHECKPOINTS)
            told += left_out
        drawn.append(DrawnChapter(chapter, sources))
    wanted = sum(len(figure_files(d.chapter.folder)) * len(d.sources) for d in drawn)
    with tqdm(total=wanted, unit="figure", disable=not progress) as bar:
        for each in drawn:
            _draw_chapter(each, folder, images, bar)
    if not any(each.figures for each in drawn):
        reasons = [f"{each.chapter.name}: {next(iter(each.reasons))}" for each in drawn]
        raise ConfigError(f"no figure could be drawn. {'; '.join([*told, *reasons])}")
    return write_page(drawn, folder / "index.html"), drawn, told


def _draw_chapter(drawn: DrawnChapter, folder: Path, images: bool, bar: tqdm) -> None:
    chapter = drawn.chapter
    for path in figure_files(chapter.folder):
        if not drawn.sources:
            drawn.missing[path.stem, Source()] = NO_STUDY.format(name=chapter.name)
        for source in drawn.sources:
            made = draw_figure(path, source)
            bar.update()
            if isinstance(made, NotDrawn):
                drawn.missing[path.stem, source] = made.why
                if made.failed:
                    drawn.failed.append((path.stem, source))
                continue
            drawn.figures.setdefault(path.stem, {})[source] = made
            made.write(folder / chapter.name / source.name, images)
