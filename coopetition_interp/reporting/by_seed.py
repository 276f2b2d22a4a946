"""A study's table, taken apart by the initial seed of its runs."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd


def rows_by_seed(table: pd.DataFrame, seed: str = "init_seed") -> dict[int, pd.DataFrame]:
    """The rows of each seed.

    Args:
        table: A row, or several, for each seed.
        seed: The column that holds the seed.
    """
    return {int(str(value)): rows for value, rows in table.groupby(seed)}


def by_seed(
    table: pd.DataFrame, number: Callable[[pd.DataFrame], float | None]
) -> dict[int, float]:
    """A number of each initial seed's part of a table; NaN where there is none.

    Args:
        table: With a column `init_seed`.
        number: Of the rows of one seed.
    """
    numbers = {seed: number(rows) for seed, rows in rows_by_seed(table).items()}
    return {seed: math.nan if value is None else float(value) for seed, value in numbers.items()}


def value_by_seed(table: pd.DataFrame, column: str) -> dict[int, float]:
    """A column's value in the one row of each initial seed, or in its first.

    Args:
        table: With a column `init_seed`.
        column: Which one.
    """
    return by_seed(table, lambda rows: rows[column].iloc[0])
