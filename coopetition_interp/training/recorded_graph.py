"""Record what a function does to tensors, once, and compile the record.

Under `make_fx` a `HookedTransformer` runs with all its hooks, and every tensor operation is noted
down; inductor then compiles the whole. The record is the model with the clamps that were on it,
without Python, autograd or one kernel launch per small operation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

SMALL_PRODUCT = 4096
"""Batched products of fewer multiplications each are left to inductor to fuse."""


def record(function: Callable[..., Any], inputs: Sequence[Tensor]) -> Callable[..., Any]:
    """The tensor operations of `function` at the shapes of `inputs`, as a function of tensors.

    Args:
        function: Takes tensors, returns a tuple of tensors; may write into its inputs. Whatever
            else it looks at is looked at now, once.
        inputs: Example inputs; they are copied, not written into.
    """
    copies = [tensor.detach().clone() for tensor in inputs]
    return make_fx(function, decomposition_table=_REWRITTEN)(*copies)


def compile_record(
    recorded: Callable[..., Any], inputs: Sequence[Tensor]
) -> tuple[Callable[..., Any], bool]:
    """Compiles a record, trying it on copies of `inputs`.

    Returns:
        The compiled function and True; or, with a warning, the record itself and False where
        there is no working compiler.
    """
    on_cpu = inputs[0].device.type == "cpu"
    try:
        compiled = torch.compile(
            recorded,
            fullgraph=True,
            dynamic=False,
            options={"cpp_wrapper": True} if on_cpu else {},
        )
        compiled(*[tensor.detach().clone() for tensor in inputs])
    except Exception as error:  # whatever a missing or broken toolchain raises
        warnings.warn(
            "torch.compile does not work here, so this runs several times slower; a C++ compiler "
            "(Debian: apt install g++) is what is usually missing. It said: "
            f"{str(error).strip().splitlines()[0]}",
            RuntimeWarning,
            stacklevel=3,
        )
        return recorded, False
    return compiled, True


def _fusible_bmm(left: Tensor, right: Tensor) -> Any:
    """A batch of tiny matrix products as a sum, which fuses with its neighbours."""
    if left.shape[1] * left.shape[2] * right.shape[2] > SMALL_PRODUCT:
        return NotImplemented
    return (left.unsqueeze(3) * right.unsqueeze(1)).sum(2)


def _ordered_index_put(
    table: Tensor, indices: Sequence[Tensor | None], rows: Tensor, accumulate: bool = False
) -> Any:
    """Rows added to a table by index, as the gradient of a lookup is, in an order that is fixed.

    Compiled kernels add with atomic operations, in whatever order the threads arrive. A product
    with the matrix of equal indices gives the same bits each time.
    """
    index = indices[0]
    if not accumulate or not all(map(_is_of_numbers, indices)) or index is None:
        return NotImplemented
    if len(indices) == 2 and indices[1] is not None:
        return _ordered_index_put_of_each(table, index, indices[1], rows)
    if len(indices) != 1:
        return NotImplemented
    flat = index.reshape(-1)
    summands = rows.expand(*index.shape, *table.shape[1:]).reshape(len(flat), -1)
    if table.shape[0] <= len(flat):
        every_row = torch.arange(table.shape[0], device=flat.device)
        chosen = (every_row[:, None] == flat[None, :]).to(summands.dtype)
        return table + (chosen @ summands).reshape(table.shape)
    equal = (flat[:, None] == flat[None, :]).to(summands.dtype)
    sums = (equal @ summands).reshape(len(flat), *table.shape[1:])
    return table.index_put((flat,), table[flat] + sums)  # equal indices write equal rows


def _ordered_index_put_of_each(table: Tensor, which: Tensor, index: Tensor, rows: Tensor) -> Any:
    """The same for a table of each run, as `torch.vmap` puts it: [which run, index]."""
    n_runs, n_rows = table.shape[:2]
    shape = torch.broadcast_shapes(which.shape, index.shape)
    if which.shape != (shape[0], *[1] * (len(shape) - 1)):
        return NotImplemented
    flat = index.expand(shape).reshape(shape[0], -1)
    summands = rows.expand(*shape, *table.shape[2:]).reshape(*flat.shape, -1)
    every_row = torch.arange(n_rows, device=flat.device)
    chosen = (every_row[:, None] == flat[:, None, :]).to(summands.dtype)
    sums = (chosen @ summands).reshape(1, shape[0], -1)
    every_run = torch.arange(n_runs, device=flat.device)
    belongs = every_run[:, None, None] == which.reshape(1, -1, 1)
    return table + torch.where(belongs, sums, 0.0).sum(1).reshape(table.shape)


def _is_of_numbers(index: Tensor | None) -> bool:
    return index is not None and not index.is_floating_point() and index.dtype != torch.bool


_REWRITTEN: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.bmm.default: _fusible_bmm,
    torch.ops.aten.index_put.default: _ordered_index_put,
}
