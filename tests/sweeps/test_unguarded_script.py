"""A script that starts a sweep when it is imported, as each run's process does, is told so."""

import subprocess
import sys

SCRIPT = """
from coopetition_interp.sweeps import PlannedRun, run_sweep_locally
from coopetition_interp.tasks.exemplar_label import preset

config = preset("tiny").with_overrides(["n_sequences=640", "evaluate_at={}"])
run_sweep_locally([PlannedRun("a", config), PlannedRun("b", config)], "out", progress=False)
"""


def test_a_script_without_a_guard_is_told_what_to_add(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 1
    assert 'under `if __name__ == "__main__":`' in done.stderr.strip().splitlines()[-1]
    assert done.stderr.count("Traceback") == 1  # the caller's own, and no process's
    assert not (tmp_path / "out").exists()
