"""What every test shares: one thread (tests run side by side) and a small trained run."""

from pathlib import Path

import pytest
import torch

from coopetition_interp.training import Run, preset, train
from coopetition_interp.training.run_config import RunConfig

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def short_config() -> RunConfig:
    """A run of 60 steps, uncompiled."""
    return preset("tiny").with_overrides(
        [
            "n_sequences=1920",
            'evaluate_at={"every": 640}',
            'checkpoint_at={"every": 640}',
        ]
    )


@pytest.fixture(scope="session")
def short_run(short_config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """That run, done."""
    out: Path = tmp_path_factory.mktemp("runs") / "short"
    return train(short_config, out, progress=False)
