"""What a script sends to a process that is not its own child is found there and called."""

import subprocess
import sys
from dataclasses import dataclass

import pytest
from own_task import FirstTokenConfig

from coopetition_interp.sweeps import PlannedRun, run_sweep_with_submitit
from coopetition_interp.sweeps.sent_call import SentCall
from coopetition_interp.training import ConfigError

BESIDE = """
def doubled(number):
    return 2 * number.value
"""
SCRIPT = """
import pickle
from dataclasses import dataclass
from beside import doubled
from coopetition_interp.sweeps.sent_call import SentCall

@dataclass
class Number:
    value: int

def send():
    with open("sent", "wb") as file:
        pickle.dump(SentCall.of(doubled, Number(21)), file)
"""
GUARD = 'if __name__ == "__main__":\n    send()\n'
CALL = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))())"


def call_of_script(script, tmp_path):
    """Runs a script that sends a call, and makes that in a process of another folder."""
    folder, elsewhere = tmp_path / "scripts", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "beside.py").write_text(BESIDE)
    (folder / "script.py").write_text(script)
    subprocess.run([sys.executable, folder / "script.py"], cwd=tmp_path, check=True, timeout=600)
    return subprocess.run(
        [sys.executable, "-c", CALL, tmp_path / "sent"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_what_a_script_defines_and_what_lies_beside_it_is_found(tmp_path):
    called = call_of_script(SCRIPT + GUARD, tmp_path)
    assert called.stdout == "42\n", called.stderr


def test_a_script_without_a_guard_does_not_send_again(tmp_path):
    called = call_of_script(SCRIPT + "send()\n", tmp_path)
    assert called.returncode == 1
    assert 'under `if __name__ == "__main__":`' in called.stderr.strip().splitlines()[-1]


def test_what_no_process_could_import_is_refused():
    @dataclass
    class Local:
        value: int = 1

    with pytest.raises(ConfigError, match="cannot be sent"):
        SentCall.of(repr, Local())


def test_a_sweep_of_what_no_job_could_import_is_refused_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(FirstTokenConfig, "__module__", "no_such_module")
    monkeypatch.setitem(sys.modules, "no_such_module", sys.modules["own_task"])
    plan = [PlannedRun("a", FirstTokenConfig())]
    with pytest.raises(ConfigError, match=r"a: FirstTokenConfig is defined in .*own_task\.py"):
        run_sweep_with_submitit(plan, tmp_path / "out", "local", 1)
    assert not (tmp_path / "out").exists()
