"""A plan's file is run."""

from pathlib import Path

import pytest

from coopetition_interp.command_line.main import main
from coopetition_interp.training import load_run

PLAN = '''
"""Two learning rates."""
from coopetition_interp.sweeps import PlannedRun
from coopetition_interp.tasks.exemplar_label import preset


def plan(preset_name="tiny"):
    base = preset(preset_name).with_overrides(["n_sequences=640", "evaluate_at={}"])
    return [
        PlannedRun(f"rate-{rate}", base.replace(optimizer={"learning_rate": rate}))
        for rate in (1e-3, 1e-2)
    ]
'''


@pytest.fixture
def plan(tmp_path):
    file = tmp_path / "rates.py"
    file.write_text(PLAN)
    return file


def test_every_run_of_a_users_plan_is_done(plan, tmp_path, capsys):
    assert main(["sweep", str(plan), "--out", str(tmp_path / "out")]) == 0
    assert load_run(tmp_path / "out" / "rate-0.001").config.optimizer.learning_rate == 1e-3
    assert capsys.readouterr().out.count(": finished") == 2


def test_the_coopetition_studys_plan_is_such_a_file(tmp_path, capsys):
    file = Path(__file__).parents[2] / "analyses" / "coopetition" / "runs.py"
    words = ["sweep", str(file), "--preset", "tiny", "--out", str(tmp_path), "--status"]
    assert main(words) == 0
    assert "init-5/ciwl-only" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.py"], "'nothing.py' is not there: give the file of a plan"),
        (["transience"], "'transience' is not there: give the file of a plan"),
    ],
)
def test_what_is_no_plan_is_refused(words, message, tmp_path, capsys):
    assert main(["sweep", *words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_option_that_the_plan_does_not_take_is_refused(plan, tmp_path, capsys):
    plan.write_text(PLAN.replace('preset_name="tiny"', "").replace("preset_name", '"tiny"'))
    words = ["sweep", str(plan), "--preset", "tiny", "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "takes no preset_name" in capsys.readouterr().err
