"""Sums over equal indices, as gradients of lookups are, taken in an order that is fixed.

Kernels for several threads add with atomic operations, in whatever order the threads arrive. A
product with the matrix of equal indices, or sums over sorted ones, give the same bits each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

LARGEST_MATRIX = 2**20
"""Entries of the matrices of equal indices; beyond, indices are sorted."""


def _with_sums(
    table: Float[Tensor, "n_rows width"],
    rows: Int[Tensor, " n"],
    summands: Float[Tensor, "n width"],
) -> Float[Tensor, "n_rows width"]:
    """A table with each summand added to its row."""
    n = len(rows)
    if len(table) <= n and len(table) * n <= LARGEST_MATRIX:
        every_row = torch.arange(len(table), device=rows.device)
        return table + (every_row[:, None] == rows[None, :]).to(summands.dtype) @ summands
    if n * n <= LARGEST_MATRIX:
        sums = (rows[:, None] == rows[None, :]).to(summands.dtype) @ summands
    else:
        rows, order = rows.sort(stable=True)
        is_another = (rows[1:] != rows[:-1]).to(rows.dtype)
        segment = torch.cat([is_another.new_zeros(1), is_another.cumsum(0)])
        ends = torch.searchsorted(segment, torch.arange(n + 1, device=rows.device))
        of_segments = torch.segment_reduce(summands[order], "sum", offsets=ends, initial=0)
        sums = of_segments[segment]
    return table.index_put((rows,), table[rows] + sums)  # equal indices write equal rows


def _index_put(
    table: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Any:
    if not accumulate or not table.is_floating_point() or any(map(_is_a_mask, indices)):
        return NotImplemented
    match list(indices):
        case [Tensor() as run, Tensor() as index] if (
            run.shape == (len(table), *[1] * (index.ndim - 1))
            and index.numel() * table.shape[1] <= LARGEST_MATRIX
        ):
            return _index_put_of_each(table, run, index, values)
    leading, trailing = table.shape[: len(indices)], table.shape[len(indices) :]
    numbered = torch.arange(math.prod(leading), device=table.device).reshape(leading)
    rows = numbered[tuple(slice(None) if index is None else index for index in indices)]
    summands = values.expand(*rows.shape, *trailing).reshape(rows.numel(), -1)
    flat = table.reshape(numbered.numel(), -1)
    return _with_sums(flat, rows.reshape(-1), summands).reshape(table.shape)


def _index_put_of_each(table: Tensor, run: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """The same for a table of each run, as `torch.vmap` puts it: [run, index]."""
    n_runs, n_rows = table.shape[:2]
    index = index.expand(n_runs, *index.shape[1:])
    rows = index.reshape(n_runs, -1).remainder(n_rows)  # -1 is the last row
    summands = values.expand(*index.shape, *table.shape[2:]).reshape(*rows.shape, -1)
    every_row = torch.arange(n_rows, device=rows.device)
    chosen = (every_row[:, None] == rows[:, None, :]).to(summands.dtype)
    sums = (chosen @ summands).reshape(1, n_runs, -1)
    every_run = torch.arange(n_runs, device=rows.device)
    belongs = every_run[:, None, None] == run.remainder(n_runs).reshape(1, -1, 1)
    return table + torch.where(belongs, sums, 0.0).sum(1).reshape(table.shape)


def _is_a_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)


def _index_add(table: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Any:
    if not table.is_floating_point() or table.ndim == 0:
        return NotImplemented
    moved = table.movedim(dim, 0)
    summands = alpha * source.movedim(dim, 0).reshape(len(index), -1)
    flat = moved.reshape(len(moved), -1)
    return _with_sums(flat, index, summands).reshape(moved.shape).movedim(0, dim)


def _scatter_add(table: Tensor, dim: int, index: Tensor, source: Tensor) -> Any:
    if not table.is_floating_point() or index.ndim == 0 or index.shape[dim] == 1:
        return NotImplemented  # of one index, no two are equal
    numbered = torch.arange(table.numel(), device=table.device).reshape(table.shape)
    entries = numbered.gather(dim, index).reshape(-1)
    summands = source[tuple(map(slice, index.shape))].reshape(-1, 1)
    return _with_sums(table.reshape(-1, 1), entries, summands).reshape(table.shape)


def _put(table: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Any:
    if not accumulate or not table.is_floating_point():
        return NotImplemented
    entries = index.reshape(-1).remainder(table.numel())  # -1 is the last
    return _with_sums(table.reshape(-1, 1), entries, source.reshape(-1, 1)).reshape(table.shape)


def _embedding_dense_backward(
    gradient: Tensor, index: Tensor, n_rows: int, padding_idx: int, scale_grad_by_freq: bool
) -> Any:
    if scale_grad_by_freq:
        return NotImplemented
    rows = index.reshape(-1)
    summands = gradient.reshape(len(rows), -1)
    summands = torch.where((rows == padding_idx)[:, None], 0.0, summands)
    return _with_sums(summands.new_zeros(n_rows, summands.shape[1]), rows, summands)


IN_A_FIXED_ORDER: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.index_put.default: _index_put,
    torch.ops.aten.index_add.default: _index_add,
    torch.ops.aten.scatter_add.default: _scatter_add,
    torch.ops.aten.put.default: _put,
    torch.ops.aten.embedding_dense_backward.default: _embedding_dense_backward,
}
"""What torch's operations are rewritten to. A function may leave one as it is: NotImplemented."""
