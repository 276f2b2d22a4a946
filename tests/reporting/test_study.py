"""A study gives the runs that its plan has, and no others."""

from pathlib import Path

import own_task
import pytest
from own_task import FirstTokenConfig

from coopetition_interp.reporting.load_study import load_study
from coopetition_interp.reporting.pack import pack_study
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.sweeps import PlannedRun
from coopetition_interp.sweeps.plan_file import read_plan
from coopetition_interp.training import RunConfig, train
from coopetition_interp.training.run_directory import RunDirectory


def planned(name, config, needs=(), seed=5):
    return PlannedRun(name, config, needs, {"role": name, "init_seed": seed})


@pytest.fixture
def sweep(short_run, tmp_path):
    """A directory with a donor, and a run that is made from it."""
    for name in ("donor", "made"):
        with RunDirectory(tmp_path / "sweep" / name) as directory:
            directory.write_config(short_run.config.replace(name=name), short_run.resolved)
            directory.write_metrics(short_run.metrics)
            directory.write_status("finished", 1_920)
    return tmp_path / "sweep"


def plan_of(config):
    return [planned("donor", config), planned("made", lambda runs: 1 / 0, ("donor",))]


def test_runs_of_another_config_than_planned_are_refused_and_so_are_those_made_from_them(
    sweep, short_config, tmp_path
):
    as_planned = Study(sweep, plan_of(short_config))
    assert as_planned.curves("donor")["evaluator"].nunique() == 5
    as_planned.require("made")
    other = Study(sweep, plan_of(short_config.replace(data_seed=9)))
    for role in ("donor", "made"):
        with pytest.raises(StudyError, match=r"donor was begun .*data_seed") as error:
            other.curves(role)
        assert "name that by --preset" in str(error.value)
    with pytest.raises(StudyError, match=r"donor was begun with another config .*data_seed"):
        pack_study(other, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_run_measured_otherwise_or_on_features_given_to_its_sweep_is_the_planned_one(
    sweep, short_config
):
    elsewhere = short_config.with_overrides(
        ['evaluate_at={"every": 64}', "n_threads=2", "features.n_classes=4000"]
    )
    assert len(Study(sweep, plan_of(elsewhere)).require("donor")) == 1


def test_a_single_run_of_a_task_of_ones_own_is_a_study_of_one(tmp_path):
    run = train(FirstTokenConfig(n_sequences=64, data_seed=9), tmp_path / "run", progress=False)
    (tmp_path / "plan.py").write_text(
        "from own_task import FirstTokenConfig\n"
        "from coopetition_interp.sweeps import PlannedRun\n\n\n"
        "def plan():\n"
        "    about = {'role': 'main', 'init_seed': 5, 'data_seed': 2}\n"
        "    return [PlannedRun('first', FirstTokenConfig(), about=about)]\n"
    )
    study = load_study(run.path, tmp_path / "plan.py")
    curves = study.curves("main")
    assert curves["init_seed"].unique().tolist() == [5]
    assert curves["data_seed"].unique().tolist() == [9]


def test_a_task_defined_in_the_plans_file_is_known_when_a_single_run_of_it_is_loaded(tmp_path):
    own = Path(own_task.__file__).read_text(encoding="utf-8")
    (tmp_path / "plan.py").write_text(
        own.replace("first_token", "first_of_plan")
        .replace("d_vocab: int", "features: int")
        .replace("self.d_vocab", "self.features")
        .replace("config.d_vocab", "config.features")
        + "\n\nfrom coopetition_interp.sweeps import PlannedRun\n\n\n"
        "def plan():\n"
        "    config = FirstTokenConfig(n_sequences=64)\n"
        "    return [PlannedRun('first', config, about={'role': 'main', 'init_seed': 5})]\n"
    )
    (first,) = read_plan(tmp_path / "plan.py")
    run = train(first.config, tmp_path / "run", progress=False)
    del RunConfig.classes_of_tasks["first_of_plan"]  # as in a process that has not seen it
    study = load_study(run.path, tmp_path / "plan.py")
    assert len(study.curves("main")) == 2
    assert study.setting == "learning rate 1e-05"  # such features are not ours
