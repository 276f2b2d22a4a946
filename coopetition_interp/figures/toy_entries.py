"""The toy models' figures by the name of their script; all are simulated on the spot."""

from __future__ import annotations

from collections.abc import Callable

from coopetition_interp.figures.study_figure import StudyFigure
from coopetition_interp.figures.toy_coopetition_entries import no_transience, one_seed, transience
from coopetition_interp.figures.toy_phase_change_entries import clamp_against_measures, phase_change

TOY_FIGURES: dict[str, Callable[..., StudyFigure]] = {
    "fig05a_toy_coopetition": one_seed,
    "fig16_toy_transience": transience,
    "fig17_toy_no_transience": no_transience,
    "ih_fig4_6a_toy_phase_change": phase_change,
    "ih_fig4_7_toy_progress_measures": clamp_against_measures,
}
"""By the name of their script in `analyses/`; every argument has a default."""
