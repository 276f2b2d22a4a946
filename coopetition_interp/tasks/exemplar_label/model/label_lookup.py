"""Label embedding lookup whose gradient is the same bitwise, run after run, also when compiled."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


class _LabelLookup(torch.autograd.Function):
    """Rows of a table by label.

    The usual gradient adds into one row once per occurrence of its label, and compiled kernels do
    those additions atomically, in whatever order the threads arrive. Here the occurrences are
    summed first, by a product with the matrix of equal labels, so that each occurrence writes the
    row's whole gradient: the order of writes no longer matters.
    """

    generate_vmap_rule = True  # so that the weights of many checkpoints run as one batch

    @staticmethod
    def forward(table: Tensor, labels: Tensor) -> Tensor:
        return table[labels]

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        table, labels = inputs
        ctx.save_for_backward(labels)
        ctx.n_rows = table.shape[0]

    @staticmethod
    def backward(ctx, grad_output: Tensor):
        (labels,) = ctx.saved_tensors
        flat_labels = labels.reshape(-1)
        flat_grad = grad_output.reshape(flat_labels.shape[0], -1)
        same_label = (flat_labels[:, None] == flat_labels[None, :]).to(flat_grad.dtype)
        row_grad = same_label @ flat_grad
        table_grad = flat_grad.new_zeros(ctx.n_rows, flat_grad.shape[1])
        return table_grad.index_put((flat_labels,), row_grad), None


def lookup_labels(
    table: Float[Tensor, "n_labels d_model"], labels: Int[Tensor, "batch n_pairs"]
) -> Float[Tensor, "batch n_pairs d_model"]:
    """Embeds labels; the gradient does not depend on thread timing (see `_LabelLookup`)."""
    return _LabelLookup.apply(table, labels)
