"""The bar that a training shows of its sequences."""

from __future__ import annotations

from tqdm.auto import tqdm


def progress_bar(total: int, seen: int, shown: bool) -> tqdm:
    """A bar of sequences.

    Args:
        total: Of the whole run, or of all runs.
        seen: How many of them are behind it.
        shown: Whether it is shown.
    """
    return tqdm(
        total=total,
        initial=seen,
        unit="seq",
        unit_scale=True,
        disable=not shown,
        smoothing=0.05,
    )
