"""Omniglot's characters in the package: 64 directions of a frozen encoder's features, in 8 bits."""

from dataclasses import field
from importlib.resources import as_file, files
from typing import Literal

from coopetition_interp.config_class import Config, config_class
from coopetition_interp.data.feature_bank import FeatureBank
from coopetition_interp.data.feature_file import load_feature_file
from coopetition_interp.data.transforms import TransformChoice

EMBEDDED_BANK = "omniglot_64_directions.safetensors"


@config_class
class EmbeddedOmniglot(Config):
    """Real characters that come with the package: 12,984 classes x 20 drawings x 64 features.

    Every character of Omniglot in its eight transforms, encoded by EfficientNet-Lite0 (pretrained
    on ImageNet) and projected on the top 64 uncentred singular directions, which hold 95 % of the
    features' energy. The eight transforms of a character are one group. The file's provenance, and
    NOTICE, tell licences and how it was made.

    Attributes:
        transforms: "all" eight of each character, or "unrotated": 1623 classes.
    """

    kind: Literal["embedded_omniglot"] = field(
        default="embedded_omniglot", kw_only=True, repr=False
    )
    transforms: TransformChoice = "all"

    def load(self) -> FeatureBank:
        """Reads the bank, in about a second."""
        with as_file(files("coopetition_interp.data") / EMBEDDED_BANK) as path:
            bank = load_feature_file(path)
        return bank.unrotated() if self.transforms == "unrotated" else bank
