"""What the tests of scripts share."""

import runpy
import sys
from pathlib import Path

import pytest

ANALYSES = Path(__file__).parents[2] / "analyses"


@pytest.fixture
def run_script(monkeypatch, tmp_path):
    """Runs a script by name as a person would, without a browser."""
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-such-browser"))

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        runpy.run_path(str(ANALYSES / f"{name}.py"), run_name="__main__")

    return run
