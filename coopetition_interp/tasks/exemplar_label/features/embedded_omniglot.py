"""Omniglot's features as they come with the package: real characters, with nothing to download."""

from dataclasses import field
from importlib import resources
from typing import Literal

from coopetition_interp.config_class import Config, config_class
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank
from coopetition_interp.tasks.exemplar_label.features.feature_file import FeatureFile
from coopetition_interp.tasks.exemplar_label.features.transforms import TransformChoice

_FILE = "embedded_omniglot.safetensors"


@config_class
class EmbeddedOmniglot(Config):
    """12,984 classes (1,623 characters in eight transforms) of 20 drawings, 64 features each.

    EfficientNet-Lite0's features of Omniglot, compressed (see `compressed_features`) into a file
    inside the package. NOTICE names what they derive from. A bank's provenance says how they were
    made, and what share of the features' energy was kept.

    Attributes:
        transforms: "all" eight make 8 classes of a character; "unrotated" one.
    """

    kind: Literal["embedded_omniglot"] = field(
        default="embedded_omniglot", kw_only=True, repr=False
    )
    transforms: TransformChoice = "all"

    def load(self) -> FeatureBank:
        """Reads the bank.

        Raises:
            FeatureFileError: The file was damaged since the package was made.
            FileNotFoundError: The package was installed without it.
        """
        with resources.as_file(resources.files(__package__) / _FILE) as path:
            return FeatureFile(str(path), transforms=self.transforms).load()
