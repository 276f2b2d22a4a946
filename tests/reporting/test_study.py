"""A study gives the runs that its plan has, and no others."""

import pytest

from coopetition_interp.reporting.pack import pack_study
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.sweeps import PlannedRun
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
