"""The machine a run is trained on: device, threads, precision, and whether to compile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformer_lens import HookedRootModule, HookedTransformer

from coopetition_interp.config_class import ConfigError
from coopetition_interp.training.run_config import Precision, RunConfig

COMPILE_ABOVE_STEPS = 3000


def should_compile(config: RunConfig) -> bool:
    """Whether the training step is compiled: compiling takes longer than a short run gains."""
    if config.compile == "auto":
        return config.n_steps > COMPILE_ABOVE_STEPS
    return config.compile == "yes"


def require_real_tensors() -> None:
    """Refuses a torch that makes tensors which cannot be trained.

    Raises:
        ConfigError: Under `torch.inference_mode`, or where the default device is "meta".
    """
    if torch.is_inference_mode_enabled():
        raise ConfigError(
            "torch.inference_mode is on, and what is made under it cannot be trained: train "
            "outside of that block"
        )
    require_default_device()


def require_default_device() -> None:
    """Refuses a default device without memory.

    Raises:
        ConfigError: It is "meta".
    """
    if torch.empty(0).device.type == "meta":
        raise ConfigError(
            "torch's default device is meta, whose tensors hold no numbers: leave it at cpu"
        )


def choose_device(device: str) -> torch.device:
    """The device a config asks for.

    Raises:
        ConfigError: "cuda" where there is no GPU.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch finds no GPU here: use device=cpu or auto")
    return torch.device(device)


@contextmanager
def computing_on(device: torch.device, n_threads: int, precision: Precision) -> Iterator[None]:
    """Sets what a run asks of its machine for a block: `cpu_threads` and `products_in`.

    Raises:
        ConfigError: See `products_in`.
    """
    with cpu_threads(n_threads), products_in(precision, device):
        yield


@contextmanager
def cpu_threads(n_threads: int) -> Iterator[None]:
    """Sets torch's CPU threads for a block; 0 leaves them."""
    before = torch.get_num_threads()
    if n_threads:
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def products_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Sets how a GPU multiplies float32 matrices, and convolves, for a block.

    On a CPU nothing is set: it multiplies in float32.

    Args:
        precision: "float32", or "tf32" for factors rounded to 10 bits of mantissa, summed in
            float32.
        device: Where the block computes.

    Raises:
        ConfigError: "tf32" on a CPU.
    """
    if device.type == "cpu":
        if precision == "tf32":
            raise ConfigError(
                "precision is tf32, which only a GPU multiplies in, but the run is on the CPU: use "
                "precision=float32 or device=cuda"
            )
        yield
        return
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    # Torch convolves in TF32 unless told otherwise.
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


def put_on(model: HookedRootModule, device: torch.device | str) -> None:
    """Moves a model, without the line that a `HookedTransformer` prints of it."""
    if isinstance(model, HookedTransformer):
        model.to(device, print_details=False)
    else:
        model.to(device)
