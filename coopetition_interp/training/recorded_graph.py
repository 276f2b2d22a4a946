"""Record what a function does to tensors, once, and compile the record.

Under `make_fx` a `HookedTransformer` runs with all its hooks, and every tensor operation is noted
down; inductor then compiles the whole. The record is the model with the clamps that were on it,
without Python, autograd or one kernel launch per small operation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch._inductor.config as inductor_config
from torch import Tensor
from torch._inductor.cpu_vec_isa import pick_vec_isa
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from coopetition_interp.training.ordered_sums import IN_A_FIXED_ORDER

SMALL_PRODUCT = 300
"""Batched products of no more multiplications each are left to inductor to fuse.

Found by timing whole steps on one core, with heads of 8: of sequences of 5 tokens (200) it makes
them a quarter faster, of 7 it is the same, of 17 (2,312) fused ones take a third longer.
"""


RUNS_ONCE = "the loss, clamps and metrics are run once, recorded, and repeated as tensor operations"
_LOOKS_AT_A_NUMBER = (
    "_local_scalar_dense",
    ".item()",
    ".numpy()",
    "data pointer",
    "have storage",
    "__format__",
)
"""In torch's errors about Python that asks for a number while tensors are only followed."""
_NO_NUMBERS = (
    "the loss, a clamp, a metric or the model takes a number out of a tensor (by .item(), float(), "
    f"`if` or numpy); {RUNS_ONCE}: keep it a tensor, and choose by torch.where"
)
_NO_SHAPES_BY_NUMBERS = (
    "the loss, a clamp, a metric or the model makes a tensor whose shape depends on the numbers of "
    f"another (as x[x > 0] and nonzero() do); {RUNS_ONCE}, with one batch's shapes: choose by "
    "torch.where, or multiply by the mask (by a constant one: index by its nonzero())"
)


def record(function: Callable[..., Any], inputs: Sequence[Tensor]) -> GraphModule:
    """The tensor operations of `function` at the shapes of `inputs`, as a function of tensors.

    Args:
        function: Takes tensors, returns a tuple of tensors; may write into its inputs. Whatever
            else it looks at is looked at now, once.
        inputs: Example inputs; they are not written into.

    Raises:
        ValueError: It takes numbers out of tensors, or makes tensors whose shapes depend on them.
    """
    # Inputs without numbers: numpy would take those of others unnoticed, and nothing is computed.
    # The mode is not entered, so that constants, and what is cached on the way, stay true.
    without_numbers = FakeTensorMode(allow_non_fake_inputs=True)
    examples = [without_numbers.from_tensor(tensor) for tensor in inputs]
    with _numbers_refused():
        recorded = make_fx(function, decomposition_table=_REWRITTEN)(*examples)
    for node in recorded.graph.nodes:
        node.meta.clear()  # an example of each result, each of a world of its own: not compilable
    return recorded


@contextmanager
def _numbers_refused() -> Iterator[None]:
    try:
        yield
    except DynamicOutputShapeException as error:
        raise ValueError(_NO_SHAPES_BY_NUMBERS) from error
    except DataDependentOutputException as error:
        raise ValueError(_NO_NUMBERS) from error
    except (RuntimeError, TypeError) as error:
        if any(told in str(error) for told in _LOOKS_AT_A_NUMBER):
            raise ValueError(_NO_NUMBERS) from error
        raise


def compile_record(
    recorded: GraphModule, inputs: Sequence[Tensor]
) -> tuple[Callable[..., Any], bool]:
    """Compiles a record, trying it on copies of `inputs`.

    What inductor made is kept in its cache on disk (TORCHINDUCTOR_CACHE_DIR, by default in the
    system's directory for temporary files), where a later process finds it for an equal record.

    Returns:
        The compiled function and True; or, with a warning, the record itself and False where
        there is no working compiler.
    """
    ways = [_compile_traced]
    if inputs[0].device.type == "cpu" and hasattr(torch._inductor, "standalone_compile"):
        ways.insert(0, _compile_untraced)
    for compile in ways:
        try:
            compiled = compile(recorded, inputs)
            compiled(*_copied(inputs))
        except Exception as error:  # whatever a missing or broken toolchain raises
            problem = error
        else:
            return compiled, True
    warnings.warn(
        "torch.compile does not work here, so this runs several times slower; a C++ compiler "
        "(Debian: apt install g++) is what is usually missing. It said: "
        f"{str(problem).strip().splitlines()[0]}",
        RuntimeWarning,
        stacklevel=3,
    )
    return recorded, False


def _compile_untraced(recorded: GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
    """Inductor alone: a record is a graph already, so tracing it again is time lost."""
    examples = _copied(inputs)
    # Asking g++ which vector instructions it knows, one by one, takes longer than compiling.
    options = {**_options(inputs), "cpp.vec_isa_ok": True}
    with torch.no_grad(), inductor_config.patch(options), inductor_config.patch(_vector_width()):
        compiled = torch._inductor.standalone_compile(
            recorded, list(examples), dynamic_shapes="from_example_inputs"
        )
    made_for = [example.to("meta") for example in examples]

    def call(*tensors: Tensor) -> Any:
        """Nothing but this keeps kernels from tensors that they were not made for."""
        fitting = []
        for tensor, own in zip(tensors, made_for, strict=True):
            given, wanted = (tensor.shape, tensor.dtype), (own.shape, own.dtype)
            if given != wanted or tensor.device.type != "cpu":
                raise ValueError(f"compiled for {wanted} on the CPU; got {given}, {tensor.device}")
            if tensor.stride() != own.stride():  # only of what is read: state is contiguous
                tensor = torch.empty_like(own, device="cpu").copy_(tensor)
            fitting.append(tensor)
        return compiled(*fitting)

    return call


def _compile_traced(recorded: GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
    options = _options(inputs)
    if options:
        options.update(_vector_width())
    return torch.compile(recorded, fullgraph=True, dynamic=False, options=options)


def _options(inputs: Sequence[Tensor]) -> dict[str, Any]:
    """What inductor is told: to write the whole in C++, for the number of threads as it is now.

    That number is then part of what finds a kernel in the cache, in every version of torch.
    """
    if inputs[0].device.type != "cpu":
        return {}
    return {"cpp_wrapper": True, "cpp.threads": torch.get_num_threads()}


def _vector_width() -> dict[str, Any]:
    """Bits of the vectors that inductor would choose here, said so that they find the kernel too.

    Its cache does not ask for which instruction set a kernel was written. Vectors of another
    width than the one it is then built for read and write past the ends of tensors.
    """
    return {"cpp.simdlen": pick_vec_isa().bit_width()}


def _copied(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


def _fusible_bmm(left: Tensor, right: Tensor) -> Any:
    """A batch of tiny matrix products as a sum, which fuses with its neighbours."""
    if left.shape[1] * left.shape[2] * right.shape[2] > SMALL_PRODUCT:
        return NotImplemented
    return (left.unsqueeze(3) * right.unsqueeze(1)).sum(2)


_REWRITTEN: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.bmm.default: _fusible_bmm,
    **IN_A_FIXED_ORDER,
}
