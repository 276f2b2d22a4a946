"""Minimal models of strategies that form, share parts and compete: vectors learned by descent."""

from coopetition_interp.toy_models.coopetition import (
    CoopetitionModel,
    outcomes,
    simulate_coopetition,
)
from coopetition_interp.toy_models.phase_change import (
    PHASE_CHANGE_CLAMPS,
    PHASE_CHANGE_DIMS,
    PHASE_CHANGE_LOSS,
    simulate_phase_change,
)
from coopetition_interp.toy_models.plateau import first_step_where, plateau_end
from coopetition_interp.toy_models.progress_measures import (
    loss_with_final,
    loss_with_targets,
    squared_cosine,
)
from coopetition_interp.toy_models.simulate import (
    DivergedError,
    Trajectory,
    Vectors,
    draw_vectors,
    gradient_descent,
)
from coopetition_interp.toy_models.tensor_products import (
    Constant,
    Derivatives,
    Err,
    Expression,
    InnerProducts,
    Size,
)

__all__ = [
    "PHASE_CHANGE_CLAMPS",
    "PHASE_CHANGE_DIMS",
    "PHASE_CHANGE_LOSS",
    "Constant",
    "CoopetitionModel",
    "Derivatives",
    "DivergedError",
    "Err",
    "Expression",
    "InnerProducts",
    "Size",
    "Trajectory",
    "Vectors",
    "draw_vectors",
    "first_step_where",
    "gradient_descent",
    "loss_with_final",
    "loss_with_targets",
    "outcomes",
    "plateau_end",
    "simulate_coopetition",
    "simulate_phase_change",
    "squared_cosine",
]
