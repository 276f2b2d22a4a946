"""Comparing two computations of the same numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def assert_equal_but_for_rounding(actual: Tensor, expected: Tensor) -> None:
    """For float64 results reached in two ways: for all tokens or the query alone, with weights in
    place or handed over, with or without gradient. Kernels, shapes and strides may then differ,
    and so the last of 16 digits; 1e-12 leaves room for thousands of such errors, and for no other.
    Only one computation done again has the same bits.
    """
    assert actual.dtype == expected.dtype == torch.float64
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
