"""All figures of the induction-head study by the name of their script, and one page of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from coopetition_interp.figures.induction_heads import (
    appendix_circuits,
    appendix_training,
    emergence,
    subcircuits,
)
from coopetition_interp.figures.induction_heads.attention import write_attention_patterns
from coopetition_interp.figures.page import write_page
from coopetition_interp.figures.study_figure import StudyFigure
from coopetition_interp.figures.study_script import write_study_figure
from coopetition_interp.studies.study import Study, StudyError

STUDY_FIGURES: dict[str, Callable[[Study], StudyFigure]] = {
    "ih_fig4_3_emergence": emergence.emergence,
    "ih_fig4_4_layer_ablations": emergence.layer_ablations,
    "ih_fig4_5_heads": emergence.heads,
    "ih_fig4_6b_clamps": subcircuits.clamps,
    "ih_fig4_8_progress_measures": subcircuits.progress_measures,
    "ih_fig4_9_data_scaling": subcircuits.scaling,
    "ih_figC_1_perfected_heads": appendix_circuits.perfected,
    "ih_figC_2_pairs": appendix_training.pairs,
    "ih_figC_3_connectivity": appendix_circuits.connectivity,
    "ih_figC_4_grafts": appendix_training.grafts,
    "ih_figC_5_previous_token_clamps": appendix_training.previous_token_clamps,
    "ih_figC_6_seeds": appendix_training.seeds,
    "ih_tableC_1_residual_heads": appendix_circuits.residual_heads,
    "ih_tableC_2_residual_copies": appendix_circuits.residual_copies,
    "ih_tableC_3_layer_0_heads": appendix_circuits.layer_0_heads,
}
"""In the thesis's order; each also has a script of this name in `analyses/`."""


def draw_all(
    study: Study, folder: Path, page_only: bool = False
) -> tuple[Path | None, dict[str, str]]:
    """Draws every figure that the study has what it takes for, and the page.

    Args:
        study: The study.
        folder: Where everything is written; the page is `index.html` there.
        page_only: Write no file for each figure, and no attention patterns.

    Returns:
        The page (None if there is nothing to draw), and what is missing, by the figure's name.

    Raises:
        OSError: No space or no permission.
    """
    made: dict[str, StudyFigure] = {}
    missing: dict[str, str] = {}
    for name, draw in STUDY_FIGURES.items():
        try:
            made[name] = draw(study)
        except StudyError as error:
            missing[name] = str(error)
    if not page_only:
        for name, figure in made.items():
            write_study_figure(figure, folder / name)
        try:
            write_attention_patterns(study, folder / "ih_attention_patterns.html")
        except StudyError as error:
            missing["ih_attention_patterns"] = str(error)
    if not made:
        return None, missing
    entries = [figure.entry for figure in made.values()]
    title = "Induction heads: what needs to go right (thesis, chapter 4)"
    return write_page(entries, folder / "index.html", title), missing
