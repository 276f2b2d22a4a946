"""What a tensor needs to be a bank's features."""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_FEATURE = 1_000_000


def check_features(features: Tensor) -> None:
    """Refuses a tensor that cannot be a bank's features.

    Raises:
        ValueError: Wrong rank, no entries, not floating point, NaN or infinity, or too large to
            train on.
    """
    if features.ndim != 3:
        raise ValueError(
            "features must be [n_classes, n_exemplars, d_feature], "
            f"got the shape {tuple(features.shape)}: reshape them to three axes"
        )
    if features.numel() == 0:
        raise ValueError(f"features are empty: their shape is {tuple(features.shape)}")
    if not features.is_floating_point():
        raise ValueError(f"features must be floating point, got {features.dtype}: convert them")
    # The extremes are NaN or infinite exactly when some entry is; isfinite() would fill a mask
    # as long as the bank and take twenty times longer.
    extremes = torch.aminmax(features)
    if not all(bool(extreme.isfinite()) for extreme in extremes):
        bad = ~features.isfinite().flatten(1).all(dim=1)
        classes = bad.nonzero().flatten().tolist()
        raise ValueError(
            f"features of {len(classes)} classes hold NaN or infinity (class {classes[0]} first): "
            "mend or leave out these classes before building the bank"
        )
    largest = max(abs(float(extreme)) for extreme in extremes)
    if largest > LARGEST_FEATURE:
        of_class = features.abs().flatten(1).amax(dim=1)
        n_bad = int((of_class > LARGEST_FEATURE).sum())
        raise ValueError(
            f"features reach {largest:.3g} in magnitude (class {int(of_class.argmax())}; {n_bad} "
            "classes are too large), whose powers overflow float32 in training: mend these "
            f"classes, or scale them to at most {LARGEST_FEATURE:,}"
        )
