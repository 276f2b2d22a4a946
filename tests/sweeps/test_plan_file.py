"""What a plan's file may be made of, and what is told before a run is begun."""

import dataclasses
import json
import pickle
import sys
from pathlib import Path

import own_task
import pytest
from own_task import FirstTokenConfig
from unchecked import without_shape_checks

from coopetition_interp.sweeps import PlannedRun, only_named, run_sweep_locally, sweep_status
from coopetition_interp.sweeps.plan_file import load_module, read_plan
from coopetition_interp.sweeps.processes import Processes
from coopetition_interp.sweeps.sendable import require_sendable
from coopetition_interp.training import ConfigError

PLAN = """
from coopetition_interp.sweeps import PlannedRun
from {module} import FirstTokenConfig


def plan():
    from lengths_beside import LENGTH  # as late as a script may
    return [PlannedRun("a", FirstTokenConfig(n_sequences=LENGTH))]
"""


@pytest.fixture(autouse=True)
def same_path(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])


def plan_beside(folder, length, module="own_task"):
    folder.mkdir()
    (folder / "lengths_beside.py").write_text(f"LENGTH = {length}\n")
    (folder / "plan.py").write_text(PLAN.format(module=module))
    return folder / "plan.py"


def length_of(plan_file):
    (planned,) = read_plan(plan_file)
    return planned.config.n_sequences


def test_a_plan_imports_what_lies_beside_it_and_not_beside_another(tmp_path):
    first, second = plan_beside(tmp_path / "1", 64), plan_beside(tmp_path / "2", 96)
    assert [length_of(file) for file in (first, second, first, first)] == [64, 96, 64, 64]


def test_what_lies_beside_a_plan_shadows_no_library(tmp_path):
    file = plan_beside(tmp_path / "1", 64)
    (file.parent / "json.py").write_text("raise ImportError('not this one')\n")
    (file.parent / "plan.py").write_text("import json\n" + file.read_text())
    assert load_module(file).json is json


def test_a_task_in_a_module_beside_the_plan_can_be_sent_to_a_process(tmp_path):
    file = plan_beside(tmp_path / "1", 64, module="task_beside")
    own = Path(own_task.__file__).read_text(encoding="utf-8")
    (file.parent / "task_beside.py").write_text(own.replace("first_token", "first_of_module"))
    (planned,) = read_plan(file)
    require_sendable(planned.config)
    assert pickle.loads(pickle.dumps(planned.config)) == planned.config


def refused(plan, out):
    with without_shape_checks(), pytest.raises(ConfigError) as error:
        run_sweep_locally(plan, out, progress=False)
    assert not Path(out).exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_task_in_the_plans_own_file_is_refused_before_a_process_is_begun(tmp_path):
    own = Path(own_task.__file__).read_text(encoding="utf-8")
    (tmp_path / "plan.py").write_text(own.replace("first_token", "first_of_file"))
    config = load_module(tmp_path / "plan.py").FirstTokenConfig(n_sequences=64)
    plan = [PlannedRun("fine", FirstTokenConfig(n_sequences=64)), PlannedRun("own", config)]
    said = refused(plan, tmp_path / "out")
    assert said.startswith(f"own: FirstTokenConfig is defined in {tmp_path / 'plan.py'}, which")
    assert "put it into a .py file of its own and import it from there" in said
    with pytest.raises(ConfigError, match="cannot import"), Processes() as processes:
        processes.submit(print, config)  # as of a config that was made from other runs


def test_what_a_notebook_or_a_function_defines_is_refused_likewise(tmp_path, monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Local:
        n: int = 3

    with pytest.raises(ConfigError, match="is defined in a function or a notebook, put it into"):
        require_sendable(Local())
    Local.__module__, Local.__qualname__ = "__main__", "Local"
    monkeypatch.setattr(sys.modules["__main__"], "Local", Local, raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "script.py", raising=False)
    require_sendable(Local())  # a script's, which each process runs again
    monkeypatch.delattr(sys.modules["__main__"], "__file__")
    with pytest.raises(ConfigError, match="Local is defined in a notebook, which the process"):
        require_sendable(Local())


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda config: {"a": config}, "dict"),
        (lambda config: [config, config], "list of FirstTokenConfig"),
        (lambda config: [PlannedRun("a", config), None], "list of PlannedRun, NoneType"),
        (lambda config: config, "FirstTokenConfig"),
        (lambda config: None, "NoneType"),
    ],
)
def test_what_is_no_plan_is_one_clear_error(make, got, tmp_path):
    plan = make(FirstTokenConfig(n_sequences=64))
    said = f"a plan is a list of PlannedRun(name, config); got {got}"
    assert refused(plan, tmp_path / "out") == said
    for use in (lambda: sweep_status(plan, tmp_path), lambda: only_named(plan, ["a"])):
        with without_shape_checks(), pytest.raises(ConfigError) as error:
            use()
        assert str(error.value) == said
    (tmp_path / "plan.py").write_text("def plan():\n    return None\n")
    with pytest.raises(ConfigError, match=r"plan\(\) of .*plan\.py: a plan is a list"):
        read_plan(tmp_path / "plan.py")
