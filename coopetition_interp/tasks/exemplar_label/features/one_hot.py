"""One-hot features: classes as arbitrary, equally distant symbols."""

from dataclasses import field
from typing import Literal

import torch

from coopetition_interp.config_class import Config, Count, config_class
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank

MAX_BYTES = 2**30


@config_class
class OneHotFeatures(Config):
    """Each class its own basis vector.

    Attributes:
        n_classes: Number of classes, which is also the length of a feature vector.
        n_exemplars: Identical exemplars per class.
    """

    kind: Literal["one_hot"] = field(default="one_hot", kw_only=True, repr=False)
    n_classes: Count
    n_exemplars: Count = 1

    def load(self) -> FeatureBank:
        """Builds the bank."""
        return one_hot_features(self.n_classes, self.n_exemplars)


def one_hot_features(n_classes: int, n_exemplars: int = 1) -> FeatureBank:
    """Feature vectors of length `n_classes`, 1 at the class's own place and 0 elsewhere.

    Args:
        n_classes: Number of classes.
        n_exemplars: Exemplars per class, all alike.

    Returns:
        A float16 bank (0 and 1 are exact in it) in which every class is a group of its own.

    Raises:
        ValueError: A size under 1, or a bank of more than `MAX_BYTES` (1 GiB).
    """
    if n_classes < 1 or n_exemplars < 1:
        raise ValueError(
            "one-hot features need at least one class and one exemplar, "
            f"got {n_classes} and {n_exemplars}"
        )
    n_bytes = n_classes * n_exemplars * n_classes * torch.float16.itemsize
    if n_bytes > MAX_BYTES:
        raise ValueError(
            f"one-hot features of {n_classes} classes x {n_exemplars} exemplars take "
            f"{n_bytes / 2**30:.1f} GiB, more than the {MAX_BYTES / 2**30:.0f} GiB allowed: "
            "use fewer classes or exemplars, or Gaussian features with within_class_sd=0"
        )
    features = torch.eye(n_classes, dtype=torch.float16)[:, None].repeat(1, n_exemplars, 1)
    provenance = {"kind": "one_hot", "n_classes": n_classes, "n_exemplars": n_exemplars}
    return FeatureBank(features, provenance=provenance)
