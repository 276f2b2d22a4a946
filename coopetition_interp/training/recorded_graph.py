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
    return make_fx(function, decomposition_table={torch.ops.aten.bmm.default: _fusible_bmm})(
        *copies
    )


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


def _fusible_bmm(left: Tensor, right: Tensor) -> Tensor:
    """A batch of tiny matrix products as a sum, which fuses with its neighbours."""
    if left.shape[1] * left.shape[2] * right.shape[2] > SMALL_PRODUCT:
        return NotImplemented
    return (left.unsqueeze(3) * right.unsqueeze(1)).sum(2)
