"""Every figure of every study and toy model on one page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tqdm import tqdm

from coopetition_interp.figures.coopetition.all_figures import STUDY_FIGURES as COOPETITION
from coopetition_interp.figures.induction_heads.all_figures import (
    STUDY_FIGURES as INDUCTION_HEADS,
)
from coopetition_interp.figures.page import write_page
from coopetition_interp.figures.study_figure import StudyFigure
from coopetition_interp.figures.study_script import write_study_figure, write_tables
from coopetition_interp.figures.toy_entries import TOY_FIGURES
from coopetition_interp.studies import Study, StudyError

ON_REAL_FEATURES = (
    "fig01b_transience",
    "fig02a_fig12_attention",
    "fig02b_copying",
    "sec4_composition",
    "fig03_weight_swaps",
    "fig04a_graft",
    "fig05b_divot",
    "fig06_matched",
    "fig14_label_attention",
    "fig15_superposition",
    "figC_1_embedding",
)
"""Figures of the coopetition paper that are also drawn from runs on real features."""


def draw_every_figure(
    folder: Path,
    coopetition: Study | None = None,
    real: Study | None = None,
    induction_heads: Study | None = None,
    images: bool = False,
    progress: bool = True,
) -> tuple[Path, dict[str, str]]:
    """Draws what the studies have, the toy models besides, and writes one page of them all.

    Args:
        folder: Where everything goes: `index.html`, and each figure's tables and numbers.
        coopetition: The coopetition study on embedded features.
        real: The part of it that was run on real features.
        induction_heads: The induction-head study.
        images: Also write every figure as HTML and PNG of its own, which takes minutes.
        progress: Show a progress bar.

    Returns:
        The page, and why a figure is missing, by its name.

    Raises:
        OSError: No space or no permission.
    """
    wanted: dict[str, Callable[[], StudyFigure]] = {}
    if coopetition is not None:
        wanted |= _of_study(coopetition, COOPETITION)
    wanted |= TOY_FIGURES
    if real is not None:
        chosen = {name: COOPETITION[name] for name in ON_REAL_FEATURES}
        wanted |= {
            f"real_{name}": _retitled(draw, "on real features")
            for name, draw in _of_study(real, chosen).items()
        }
    if induction_heads is not None:
        wanted |= _of_study(induction_heads, INDUCTION_HEADS)
    made: list[StudyFigure] = []
    missing: dict[str, str] = {}
    for name, draw in tqdm(wanted.items(), unit="figure", disable=not progress):
        try:
            figure = draw()
        except StudyError as error:
            missing[name] = str(error)
            continue
        made.append(figure)
        (write_study_figure if images else write_tables)(figure, folder / name)
    entries = [figure.entry for figure in made]
    page = write_page(entries, folder / "index.html", not_drawn=missing)
    return page, missing


def _of_study(
    study: Study, figures: Mapping[str, Callable[[Study], StudyFigure]]
) -> dict[str, Callable[[], StudyFigure]]:
    return {name: partial(draw, study) for name, draw in figures.items()}


def _retitled(draw: Callable[[], StudyFigure], addition: str) -> Callable[[], StudyFigure]:
    def retitled() -> StudyFigure:
        figure = draw()
        title = f"{figure.entry.title}, {addition}"
        return dataclasses.replace(figure, entry=dataclasses.replace(figure.entry, title=title))

    return retitled
