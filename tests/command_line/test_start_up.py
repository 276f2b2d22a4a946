"""What is loaded when: little for `--help`, and torch with threads that wait asleep."""

import os
import subprocess
import sys

import pytest

SLOW_TO_LOAD = {"torch", "pandas", "plotly", "transformer_lens", "scipy", "numpy"}


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {n: v for n, v in os.environ.items() if n not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize(
    "code",
    [
        "import coopetition_interp",
        "from coopetition_interp.command_line import main; main(['bench', '--hlep'])",
        "from coopetition_interp.command_line.main import build_parser; build_parser()"
        ".format_help()",
    ],
    ids=["import", "mistyped", "help"],
)
def test_nothing_slow_is_loaded_before_it_is_used(code):
    loaded = python(f"import sys; {code}; print(*sys.modules)").stdout.split()
    assert "coopetition_interp" in loaded
    assert not SLOW_TO_LOAD & set(loaded)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere OpenMP is another")
def test_threads_that_wait_sleep():
    told = python("import coopetition_interp, torch", OMP_DISPLAY_ENV="VERBOSE").stderr
    if "GOMP_SPINCOUNT" not in told:
        pytest.skip("this torch has another OpenMP")
    assert "GOMP_SPINCOUNT = '0'" in told


def test_the_users_own_policy_is_kept():
    code = "import os, coopetition_interp; print(os.environ['OMP_WAIT_POLICY'])"
    assert python(code, OMP_WAIT_POLICY="ACTIVE").stdout.strip() == "ACTIVE"
