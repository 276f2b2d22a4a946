"""A measure's tables are kept by its name, which two functions cannot share."""

import pytest

from coopetition_interp.reporting.pack import pack_study
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.sweeps import PlannedRun
from coopetition_interp.sweeps.plan_file import load_module

MEASURE = """
import pandas as pd
from coopetition_interp.reporting.measure import measure


@measure()
def told(run):
    return pd.DataFrame({{"word": ["{word}"]}})
"""


def measure_of(folder, file, word):
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(MEASURE.format(word=word))
    return load_module(folder / file).told


def study_of(run):
    about = {"role": "main", "init_seed": 5}
    return Study(run.path.parent, [PlannedRun(run.path.name, run.config, about=about)])


def word(study, measure):
    return study.measured(measure, "main")["word"].item()


@pytest.fixture
def run(short_run, tmp_path):
    """A run in a directory of this test's own."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "short").symlink_to(short_run.path)
    return type(short_run)(tmp_path / "runs" / "short", short_run.config, short_run.resolved)


def test_a_function_of_another_file_is_not_given_the_table_of_the_first(run, tmp_path):
    first, second = (measure_of(tmp_path, f"fig{n}.py", f"of {n}") for n in (1, 2))
    study = study_of(run)
    assert word(study, first) == "of 1"
    for later in (study, study_of(run)):  # in the same process, and in another's
        with pytest.raises(StudyError, match=r"of told of fig1\.py, and told of fig2\.py") as error:
            word(later, second)
        assert "rename one of the two" in str(error.value)
        assert word(later, first) == "of 1"
    packed = pack_study(study, tmp_path / "packed")
    assert word(packed, first) == "of 1"
    with pytest.raises(StudyError, match=r"told of fig1\.py, and told of fig2\.py"):
        word(packed, second)


def test_the_table_is_kept_when_the_figures_folder_is_moved(run, tmp_path):
    here, there = (measure_of(tmp_path / name, "fig1.py", name) for name in ("here", "there"))
    assert word(study_of(run), here) == "here"
    assert word(study_of(run), there) == "here"


def test_a_moved_function_has_its_tables_again_once_the_folder_is_removed(run, tmp_path):
    first, second = (measure_of(tmp_path, f"fig{n}.py", f"of {n}") for n in (1, 2))
    word(study_of(run), first)
    for file in (run.path.parent / "tables" / "told").iterdir():
        file.unlink()
    assert word(study_of(run), second) == "of 2"
