"""Where a run's features come from, as data: what a saved run config holds and reads back."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from coopetition_interp.config_class import Config, shortened
from coopetition_interp.tasks.exemplar_label.features.embedded_omniglot import EmbeddedOmniglot
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank
from coopetition_interp.tasks.exemplar_label.features.feature_file import FeatureFile
from coopetition_interp.tasks.exemplar_label.features.gaussian import GaussianFeatures
from coopetition_interp.tasks.exemplar_label.features.omniglot import OmniglotFeatures
from coopetition_interp.tasks.exemplar_label.features.omniglot_images import OmniglotImages
from coopetition_interp.tasks.exemplar_label.features.one_hot import OneHotFeatures


def _source(value: Any) -> Any:
    if isinstance(value, Config | Mapping):
        return value
    raise ValueError(
        "features must be a group of fields, or a source such as EmbeddedOmniglot() or "
        f"FeatureFile(path); got {shortened(value)}"
    )


FeatureSource = Annotated[
    EmbeddedOmniglot
    | GaussianFeatures
    | OneHotFeatures
    | FeatureFile
    | OmniglotFeatures
    | OmniglotImages,
    Field(discriminator="kind"),
    BeforeValidator(_source),
]
"""A description of features that is saved as JSON, told apart by `kind`, and loaded as a bank."""


def build_bank(source: FeatureSource) -> FeatureBank:
    """Loads, draws or encodes the bank that a source describes.

    Args:
        source: One of the kinds of `FeatureSource`.

    Returns:
        The bank.

    Raises:
        ValueError: The source's options contradict each other or its data.
        FileNotFoundError: A file it names is not there.
    """
    return source.load()
