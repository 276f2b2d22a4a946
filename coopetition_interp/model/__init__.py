"""The transformer that is trained and studied."""

from coopetition_interp.model.exemplar_label_transformer import ExemplarLabelTransformer
from coopetition_interp.model.model_config import ModelConfig

__all__ = ["ExemplarLabelTransformer", "ModelConfig"]
