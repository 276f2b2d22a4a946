"""Gradients of lookups are torch's own, and the same bits however many threads add them up."""

import pytest
import torch
import torch.nn.functional as F

from coopetition_interp.training.ordered_sums import LARGEST_MATRIX
from coopetition_interp.training.recorded_graph import compile_record, record

N_ROWS, WIDTH = 30, 4
LOOKUPS = {
    "embedding": lambda table, tokens: F.embedding(tokens % N_ROWS, table),
    "padded": lambda table, tokens: F.embedding(tokens % N_ROWS, table, padding_idx=2),
    "rows": lambda table, tokens: table[tokens],
    "rows of several dimensions": lambda table, tokens: table[tokens.view(5, -1)],
    "columns": lambda table, tokens: table[:, tokens % WIDTH],
    "columns from the end": lambda table, tokens: table[:, tokens % WIDTH - WIDTH],
    "entries": lambda table, tokens: table[tokens, tokens % WIDTH],
    "rows and columns": lambda table, tokens: table[tokens[:, None], tokens[None, :7] % WIDTH],
    "index_select": lambda table, tokens: table.index_select(0, tokens % N_ROWS),
    "index_select of columns": lambda table, tokens: table.index_select(1, tokens % WIDTH),
    "gather": lambda table, tokens: table.gather(0, (tokens % N_ROWS)[:, None].expand(-1, 3)),
    "gather of columns": lambda table, tokens: table[:5].gather(1, tokens.view(5, -1) % WIDTH),
    "gather of one each": lambda table, tokens: table.gather(1, tokens[:N_ROWS, None] % WIDTH),
    "take": lambda table, tokens: table.take(tokens * 3),
}
ONLY_ALONE = ("padded", "take")  # vmap forgets the padding row, and has no form of take
TOGETHER = tuple(name for name in LOOKUPS if name not in ONLY_ALONE)
SIZES = {"few": 40, "many": int(LARGEST_MATRIX**0.5) + 501}


def gradients(table, tokens):
    """Of a weighted sum of squares of what each lookup gives."""
    return tuple(gradient_of(name, table, tokens) for name in LOOKUPS)


def gradient_of(name, table, tokens):
    leaf = table.detach().requires_grad_()
    with torch.enable_grad():
        given = LOOKUPS[name](leaf, tokens)
        weights = torch.linspace(0.5, 1.5, given.numel(), dtype=given.dtype).view(given.shape)
        (gradient,) = torch.autograd.grad((given.square() * weights).sum(), [leaf])
    return gradient


def gradients_of_each(tables, tokens):
    """The same for two tables at once."""
    found = []
    for name in TOGETHER:
        leaf = tables.detach().requires_grad_()
        with torch.enable_grad():
            given = torch.func.vmap(LOOKUPS[name])(leaf, tokens)
            weights = torch.linspace(0.5, 1.5, given[0].numel(), dtype=given.dtype)
            total = (given.square() * weights.view(given[0].shape)).sum()
            (gradient,) = torch.autograd.grad(total, [leaf])
        found.append(gradient)
    return tuple(found)


def drawn(n, seed):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(N_ROWS, WIDTH, generator=generator, dtype=torch.float64)
    return table, torch.randint(-N_ROWS, N_ROWS, (n,), generator=generator)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_torchs(size):
    table, tokens = drawn(SIZES[size], 0)
    recorded = record(gradients, [table, tokens])
    written = {str(node.target) for node in recorded.graph.nodes}
    assert not any("accumulate" in name or "dense_backward" in name for name in written)
    for name, given, expected in zip(
        LOOKUPS, recorded(table, tokens), gradients(table, tokens), strict=True
    ):
        torch.testing.assert_close(given, expected, msg=name)


@pytest.mark.parametrize("size", SIZES)
def test_gradients_of_tables_together_are_those_of_each(size):
    each = [drawn(SIZES[size], seed) for seed in (1, 2)]
    inputs = [torch.stack(tensors) for tensors in zip(*each, strict=True)]
    together = record(gradients_of_each, inputs)(*inputs)
    for row, alone in enumerate(each):
        for name, given in zip(TOGETHER, together, strict=True):
            expected = gradient_of(name, *alone)
            torch.testing.assert_close(given[row], expected, msg=name)


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT",
    reason="torch compiles for CPUs with vector instructions alone, elsewhere the record is run",
)
def test_compiled_for_threads_they_have_the_same_bits_each_time():
    table, tokens = drawn(SIZES["many"], 3)
    names = ("embedding", "rows", "index_select", "gather")  # one of each operation

    def gradients(*inputs):
        return tuple(gradient_of(name, *inputs) for name in names)

    inputs = [table.float(), tokens]
    n_threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        compiled, worked = compile_record(record(gradients, inputs), inputs)
        assert worked
        first = [tensor.clone() for tensor in compiled(*inputs)]
        for _ in range(20):
            for name, once, again in zip(names, first, compiled(*inputs), strict=True):
                assert torch.equal(once, again), name
    finally:
        torch.set_num_threads(n_threads)
    for name, given, expected in zip(names, first, gradients(table, tokens), strict=True):
        torch.testing.assert_close(given, expected.float(), rtol=1e-3, atol=1e-3, msg=name)
