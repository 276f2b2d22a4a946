"""What the tests of scripts share."""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from unchecked import without_shape_checks

ANALYSES = Path(__file__).parents[2] / "analyses"


@pytest.fixture(autouse=True, scope="module")
def unchecked() -> Iterator[None]:
    """Figures call the same measures thousands of times; half of it would be checks of shapes."""
    with without_shape_checks():
        yield


@pytest.fixture
def run_script(monkeypatch, tmp_path):
    """Runs a script by name as a person would, without a browser."""
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-such-browser"))

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        runpy.run_path(str(ANALYSES / f"{name}.py"), run_name="__main__")

    return run
