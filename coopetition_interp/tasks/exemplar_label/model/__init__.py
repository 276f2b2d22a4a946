"""The models that are trained and studied."""

from coopetition_interp.tasks.exemplar_label.model.exemplar_label_transformer import (
    ExemplarLabelTransformer,
)
from coopetition_interp.tasks.exemplar_label.model.model_config import (
    ExemplarLabelModel,
    ModelConfig,
)
from coopetition_interp.tasks.exemplar_label.model.recurrent_model import RecurrentModel

__all__ = ["ExemplarLabelModel", "ExemplarLabelTransformer", "ModelConfig", "RecurrentModel"]
