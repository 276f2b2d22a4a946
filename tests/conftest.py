"""What every test shares: one thread (tests run side by side), fixed draws, a small trained run."""

from __future__ import annotations

import coopetition_interp  # before torch, whose threads then sleep when they wait

# isort: split
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from jaxtyping import install_import_hook
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Shapes written in jaxtyping annotations are checked in every test but those of analyses/. Modules
# without any are left to mypy: most calls are theirs, and a check takes longer than many of them.
PACKAGE = Path(coopetition_interp.__file__).parent
install_import_hook(
    [
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        for file in sorted(PACKAGE.rglob("*.py"))
        if "jaxtyping" in file.read_text(encoding="utf-8")
    ],
    "beartype.beartype",
)

# What takes long to import is imported where it is used: the process that hands tests out to
# others, which start after it, uses none of it.
if TYPE_CHECKING:
    from coopetition_interp.training import Run, RunConfig

# Shells start what is in the background with SIGINT ignored, nohup with SIGHUP, which would be
# inherited by all that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The same examples every time, however slow the machine: a failure is the code's, not chance's.
hypothesis.settings.register_profile(
    "same examples",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("same examples")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """What modules compute when they are collected is computed in one thread too."""
    if getattr(session.config.option, "dist", "no") == "no":  # as it is in each worker
        import torch

        torch.set_num_threads(1)


MAKES_A_STUDY = re.compile(r"from (small_induction|made_up_study) import")
LONGEST = tuple(f"tests/{name}" for name in ("analyses", "test_", "training", "tasks", "sweeps"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that at the end no worker waits long for another."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Tests of a file, and of all files that share a small study, go to one worker.

    So what they share is made once. Notebooks share nothing, and take longest: each goes by itself.
    """

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            if file.endswith("test_notebooks.py"):
                return nodeid
            study = MAKES_A_STUDY.search((config.rootpath / file).read_text(encoding="utf-8"))
            return study[1] if study else file

    config.option.loadscopereorder = False  # they come in the order that is chosen above
    return Together(config, log)


@pytest.fixture(autouse=True)
def same_draws() -> Iterator[None]:
    """Draws from torch's own generator are a test's own, whichever tests ran before it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def short_config() -> RunConfig:
    """A run of 60 steps, uncompiled."""
    from coopetition_interp.tasks.exemplar_label import preset

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
    from coopetition_interp.training import train

    out: Path = tmp_path_factory.mktemp("runs") / "short"
    return train(short_config, out, progress=False)
