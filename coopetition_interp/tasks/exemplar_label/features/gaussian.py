"""Gaussian classes: features that need no download, the default of the small presets."""

from dataclasses import field
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from coopetition_interp.config_class import Config, Count, Integer, Number, Seed, config_class
from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank

# Classes are drawn in blocks of this size, each from its own generator. Changing it changes the
# features that a seed gives.
_BLOCK = 256

# 8 GiB of features in float32.
_MOST_VALUES = 2**31


@config_class
class GaussianFeatures(Config):
    """Classes as Gaussian clusters around means drawn from N(0, I).

    Whether in-context learning is transient hangs on `d_feature` and `within_class_sd`: the smaller
    either is, the sooner in-context learning comes, the more it dominates and the longer it stays.
    In 64 dimensions whether it comes at all hangs on the initialisation too; in 20, with the
    `laptop` preset's 0.9, it rises and gives way within minutes from every one that was tried.

    Attributes:
        n_classes: Number of classes, the held-out ones included.
        n_exemplars: Exemplars per class.
        d_feature: Length of a feature vector.
        within_class_sd: Standard deviation of an exemplar around its class mean, relative to that
            of the means, per coordinate.
        seed: Seed of every draw.
    """

    kind: Literal["gaussian"] = field(default="gaussian", kw_only=True, repr=False)
    n_classes: Count = 12984
    n_exemplars: Count = 20
    d_feature: Annotated[Integer, Field(ge=1, le=10**6)] = 64
    within_class_sd: Annotated[Number, Field(ge=0, le=1000)] = 0.57
    seed: Seed = 0

    def __post_init__(self) -> None:
        n_values = self.n_classes * self.n_exemplars * self.d_feature
        if n_values > _MOST_VALUES:
            raise ValueError(
                f"{self.n_classes} classes x {self.n_exemplars} exemplars x {self.d_feature} "
                f"features are {n_values:.3g} numbers, more than the {_MOST_VALUES:.3g} allowed (8 "
                "GiB): lower n_classes, n_exemplars or d_feature"
            )

    def load(self) -> FeatureBank:
        """Draws the bank."""
        return gaussian_features(
            self.n_classes, self.n_exemplars, self.d_feature, self.within_class_sd, self.seed
        )


def gaussian_features(
    n_classes: int = 12984,
    n_exemplars: int = 20,
    d_feature: int = 64,
    within_class_sd: float = 0.57,
    seed: int = 0,
) -> FeatureBank:
    """Draws exemplar = (mean + sd * noise) / sqrt(1 + sd^2), mean and noise from N(0, I).

    Every coordinate has variance 1. A class's exemplars depend on the seed, `d_feature` and
    `within_class_sd` alone: a bank with fewer classes or exemplars is a corner of a larger one.

    Args:
        n_classes: Number of classes.
        n_exemplars: Exemplars per class.
        d_feature: Length of a feature vector.
        within_class_sd: Standard deviation of the noise; 0 makes all exemplars of a class equal.
        seed: Seed of every draw, not negative.

    Returns:
        A float32 bank in which every class is a group of its own.

    Raises:
        ValueError: A size under 1, or a negative sd or seed.
    """
    for name, value, least in [
        ("n_classes", n_classes, 1),
        ("n_exemplars", n_exemplars, 1),
        ("d_feature", d_feature, 1),
        ("within_class_sd", within_class_sd, 0),
        ("seed", seed, 0),
    ]:
        if not least <= value < float("inf"):
            raise ValueError(f"{name} of Gaussian features must be at least {least}, got {value}")
    features = np.empty((n_classes, n_exemplars, d_feature), dtype=np.float32)
    scale = np.float32(1 / np.sqrt(1 + within_class_sd**2))
    for start in range(0, n_classes, _BLOCK):
        rng = np.random.default_rng([seed, start // _BLOCK])
        block = features[start : start + _BLOCK]
        mean = rng.standard_normal((_BLOCK, d_feature), dtype=np.float32)[: len(block)]
        # Exemplar after exemplar, so that the first ones do not depend on how many there are.
        for exemplar in range(n_exemplars):
            noise = rng.standard_normal((_BLOCK, d_feature), dtype=np.float32)[: len(block)]
            block[:, exemplar] = (mean + np.float32(within_class_sd) * noise) * scale
    provenance = {
        "kind": "gaussian",
        "n_classes": n_classes,
        "n_exemplars": n_exemplars,
        "d_feature": d_feature,
        "within_class_sd": within_class_sd,
        "seed": seed,
    }
    return FeatureBank(torch.from_numpy(features), provenance=provenance)
