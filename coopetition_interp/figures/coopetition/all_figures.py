"""All figures of the coopetition study by the name of their script."""

from __future__ import annotations

from collections.abc import Callable

from coopetition_interp.figures.coopetition import (
    competition,
    cooperation,
    emergence,
    layers,
    skip_trigrams,
)
from coopetition_interp.figures.study_figure import StudyFigure
from coopetition_interp.studies.study import Study

STUDY_FIGURES: dict[str, Callable[[Study], StudyFigure]] = {
    "fig01b_transience": emergence.transience,
    "fig02a_fig12_attention": skip_trigrams.attention,
    "fig02b_copying": skip_trigrams.copying,
    "sec4_composition": layers.composition,
    "fig03_weight_swaps": layers.weight_swaps,
    "fig04a_graft": cooperation.graft,
    "fig04b_graft_window": cooperation.graft_window,
    "fig04c_resumed": cooperation.resumed,
    "fig05b_divot": competition.divot,
    "fig06_matched": competition.matched,
    "fig07_seeds": emergence.seeds,
    "fig08_positions": emergence.positions,
    "fig09_sizes": emergence.sizes,
    "fig10_mlps": emergence.mlps,
    "fig11_long_run": emergence.long_run,
    "fig13_one_layer": skip_trigrams.one_layer,
    "fig14_label_attention": layers.label_attention,
    "fig15_superposition": skip_trigrams.superposition,
    "figC_1_embedding": layers.embedding,
    "fig18a_previous_token_blocked": competition.blocked,
    "fig18b_icl_heads_ablated": competition.ablated,
}
"""In the paper's order; each also has a script of this name in `analyses/`, but Figure 1b's, which
draws any run."""
