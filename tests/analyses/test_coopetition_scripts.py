"""The scripts of the coopetition study, run as a person would, without a browser."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from small_coopetition import packed_small_coopetition

from coopetition_interp.figures.coopetition.all_figures import STUDY_FIGURES

ANALYSES = Path(__file__).parents[2] / "analyses"
OF_ANY_RUN = "fig01b_transience"  # takes a run, not a study, and has tests of its own
SCRIPTS = [name for name in STUDY_FIGURES if name != OF_ANY_RUN]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return packed_small_coopetition(tmp_path_factory.getbasetemp())


def test_there_is_a_script_for_every_figure_and_no_other():
    of_study = {
        file.stem
        for file in ANALYSES.glob("*.py")
        if 'sweep="coopetition"' in file.read_text(encoding="utf-8")
    }
    assert of_study == set(SCRIPTS)
    assert (ANALYSES / f"{OF_ANY_RUN}.py").is_file()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_writes_its_figure_and_numbers_beside_the_papers(
    name, run_script, packed, tmp_path, capsys
):
    out = tmp_path / "figures"
    run_script(name, "--run", packed.path, "--out", out)
    printed = capsys.readouterr().out
    assert "plotly" in (out / f"{name}.html").read_text(encoding="utf-8").lower()
    numbers = pd.read_csv(out / f"{name}_numbers.csv", dtype=str)
    assert list(numbers.columns) == ["quantity", "paper", "ours"]
    assert len(numbers) > 0
    for row in numbers.itertuples():
        assert row.ours in printed
    assert re.search(r"^(reproduced|differs|not testable at this scale)\. ", printed, re.MULTILINE)
    tables = [file for file in out.glob("*.csv") if not file.stem.endswith("_numbers")]
    assert tables
    assert all(len(pd.read_csv(table)) > 0 for table in tables)


def test_figures_go_into_the_study_by_default(run_script, packed, tmp_path):
    copy = shutil.copytree(packed.path, tmp_path / "study")
    run_script("figC_1_embedding", "--study", copy)
    assert (copy / "figures" / "figC_1_embedding.html").is_file()


def test_the_study_of_the_repository_is_the_default(run_script, packed, tmp_path, monkeypatch):
    shutil.copytree(packed.path, tmp_path / "checkpoints" / "coopetition")
    monkeypatch.chdir(tmp_path)
    run_script("figC_1_embedding", "--out", "figures")
    assert (tmp_path / "figures" / "figC_1_embedding.csv").is_file()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_missing_study_says_which_command_makes_it(name, run_script, tmp_path, capsys):
    missing = tmp_path / "none"
    with pytest.raises(SystemExit) as exit_:
        run_script(name, "--run", missing)
    assert exit_.value.code == 2
    command = f"`coopetition-interp sweep coopetition --out {missing} --workers 2`"
    assert command in capsys.readouterr().err
    assert not missing.exists()
