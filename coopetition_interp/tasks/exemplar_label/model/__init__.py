"""The transformer that is trained and studied."""

from coopetition_interp.tasks.exemplar_label.model.exemplar_label_transformer import (
    ExemplarLabelTransformer,
)
from coopetition_interp.tasks.exemplar_label.model.model_config import ModelConfig

__all__ = ["ExemplarLabelTransformer", "ModelConfig"]
