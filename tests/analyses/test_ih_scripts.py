"""The scripts of the induction-head study, run as a person would, without a browser."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from small_study import packed_small_study

from coopetition_interp.figures.induction_heads import subcircuits
from coopetition_interp.figures.induction_heads.all_figures import STUDY_FIGURES, draw_all
from coopetition_interp.figures.study_figure import Check, study_figure
from coopetition_interp.studies import Study
from coopetition_interp.studies import induction_curves as curves

ANALYSES = Path(__file__).parents[2] / "analyses"
COMMITTED = Path(__file__).parents[2] / "checkpoints" / "induction-heads"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return packed_small_study(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("name", STUDY_FIGURES)
def test_a_script_writes_its_figure_and_numbers_beside_the_thesis(
    name, run_script, packed, tmp_path, capsys
):
    run_script(name, "--study", packed.path, "--out", tmp_path / "figures")
    printed = capsys.readouterr().out
    assert (tmp_path / "figures" / f"{name}.html").is_file()
    numbers = pd.read_csv(tmp_path / "figures" / f"{name}_numbers.csv")
    assert list(numbers.columns) == ["quantity", "paper", "ours"]
    assert len(numbers) > 0
    for row in numbers.itertuples():
        assert str(row.ours) in printed
    assert re.search(r"^(reproduced|differs)\. ", printed, re.MULTILINE)
    tables = set((tmp_path / "figures").glob("*.csv")) - {
        tmp_path / "figures" / f"{name}_numbers.csv"
    }
    assert tables
    assert all(len(pd.read_csv(table)) > 0 for table in tables)


def test_figures_go_into_the_study_by_default(run_script, packed, tmp_path):
    copy = shutil.copytree(packed.path, tmp_path / "study")
    run_script("ih_tableC_3_layer_0_heads", "--study", copy)
    assert (copy / "figures" / "ih_tableC_3_layer_0_heads.html").is_file()


@pytest.mark.parametrize("name", ["ih_fig4_3_emergence", "ih_attention_patterns", "ih_all"])
def test_a_missing_run_says_which_command_makes_it(name, run_script, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        run_script(name, "--study", tmp_path / "none")
    assert exit_.value.code == 2
    command = f"`coopetition-interp sweep induction-heads --out {tmp_path / 'none'} --workers 2`"
    assert command in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_page_has_every_figure_and_loads_nothing(packed, tmp_path):
    page, missing = draw_all(packed, tmp_path, page_only=True)
    assert missing == {}
    text = page.read_text(encoding="utf-8")
    assert text.count('<div class="figure"') == len(STUDY_FIGURES)
    assert "default-src 'none'" in text


def test_a_figure_that_cannot_be_drawn_is_told_and_the_rest_drawn(
    run_script, packed, tmp_path, capsys
):
    copy = shutil.copytree(packed.path, tmp_path / "study")
    (copy / "tables" / "figC_2_pairs.csv").unlink()
    with pytest.raises(SystemExit) as exit_:
        run_script("ih_all", "--study", copy, "--out", tmp_path / "figures", "--page-only")
    assert exit_.value.code == 2
    assert "ih_figC_2_pairs" in capsys.readouterr().err
    text = (tmp_path / "figures" / "index.html").read_text(encoding="utf-8")
    assert text.count('<div class="figure"') == len(STUDY_FIGURES) - 1


def test_the_page_of_attention_patterns_holds_the_library_once(run_script, packed, tmp_path):
    run_script("ih_attention_patterns", "--study", packed.path, "--out", tmp_path)
    text = (tmp_path / "ih_attention_patterns.html").read_text(encoding="utf-8")
    assert text.count("var CircuitsVis") == 1
    assert text.count("CircuitsVis.AttentionHeads") == 2  # of two sequences
    assert "unpkg.com/circuitsvis" not in text


def test_the_verdict_follows_the_curves(packed, tmp_path):
    """The made-up curves are the thesis's: a phase change in the copy alone is another story."""
    assert subcircuits.clamps(packed).entry.verdict == "reproduced"
    copy = Study(shutil.copytree(packed.path, tmp_path / "study"))
    table = copy.table(curves.CLAMPS)
    late = table.loc[table["curve"] == "step-1", ["loss", "p_right_in_context"]].to_numpy()
    table.loc[table["curve"] == "match", ["loss", "p_right_in_context"]] = late
    table.to_csv(copy.table_path(curves.CLAMPS), index=False)
    curves.curve_shapes(curves.split_curves(table)).to_csv(
        copy.table_path(curves.CLAMP_SHAPES), index=False
    )
    entry = subcircuits.clamps(copy).entry
    assert entry.verdict == "differs"
    assert "1, 2, 3qk, 4 (match): exponential: NO" in entry.note


def test_a_verdict_needs_every_check():
    def verdict(*holds):
        checks = [Check(f"check {place}", each) for place, each in enumerate(holds)]
        figure = subcircuits.loss_curves({}, {}, "empty")
        return study_figure("title", "claim", figure, [], checks, "run", {}).entry.verdict

    assert verdict(True, True) == "reproduced"
    assert verdict(True, False) == "differs"
    with pytest.raises(ValueError, match="no checks"):
        verdict()


@pytest.mark.skipif(not (COMMITTED / "study.json").is_file(), reason="no study is committed here")
def test_every_figure_regenerates_from_the_committed_study(tmp_path):
    page, missing = draw_all(Study(COMMITTED), tmp_path, page_only=True)
    assert missing == {}
    assert page.stat().st_size > 1_000_000
