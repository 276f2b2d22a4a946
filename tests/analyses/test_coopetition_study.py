"""The coopetition figures' files, on a study with made-up curves that are as the paper has them."""

import importlib
import shutil
from pathlib import Path

import pytest
from made_up_study import made_up_study

from coopetition_interp.reporting.figure_file import FigureFile, FigureFileError, figure_files
from coopetition_interp.reporting.load_study import load_study
from coopetition_interp.reporting.pack import pack_study
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study

FOLDER = Path(__file__).parents[2] / "analyses" / "coopetition"
WITHOUT_RUNS = ("fig11_long_run", "fig18b_icl_heads_ablated")  # this study has none of theirs
MADE_UP_ALONE = (
    "fig01b_transience",
    "fig04a_graft",
    "fig04b_graft_window",
    "fig04c_resumed",
    "fig06_matched",
    "fig07_seeds",
    "fig08_positions",
    "fig13_one_layer",
)
"""Figures of curves alone, whose every rule the made-up curves meet."""

DRAWN = [path.stem for path in figure_files(FOLDER) if path.stem not in WITHOUT_RUNS]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return made_up_study(tmp_path_factory.getbasetemp())


def load(name):
    return FigureFile.load(FOLDER / f"{name}.py")


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_drawn_with_its_rules_and_numbers(name, study, tmp_path):
    drawn = load(name).draw(study)
    assert len(drawn.figure.data) > 0
    assert drawn.title
    assert drawn.claim
    assert list(drawn.numbers["rule"]) == [row.rule for row in [*drawn.rules, *drawn.beside]]
    for axis in (drawn.figure.layout.xaxis, drawn.figure.layout.yaxis):
        assert axis.title.text or axis.tickvals is None
    written = drawn.write(tmp_path, images=False)
    assert all(path.stat().st_size > 0 for path in written)


@pytest.mark.parametrize("name", MADE_UP_ALONE)
def test_curves_as_in_the_paper_meet_every_rule(name, study):
    for rule in load(name).draw(study).rules:
        values = getattr(rule, "values", None)
        if values is None:
            assert all(rule.holds.values()), rule.statement
        else:
            mean = rule.interval.mean
            over = rule.side == "over"
            assert mean > rule.threshold if over else mean < rule.threshold, rule.statement


def test_two_seeds_are_too_few_for_a_verdict(study):
    claims = load("fig01b_transience").draw(study).claims
    assert list(claims) == ["emerges", "fades", "CIWL, not IWL"]
    assert {claim.verdict for claim in claims.values()} == {"undecided"}


@pytest.mark.parametrize("name", WITHOUT_RUNS)
def test_a_missing_role_is_told(name, study):
    with pytest.raises(StudyError, match="role"):
        load(name).draw(study)


def test_the_command_that_makes_missing_runs_names_the_preset(tmp_path):
    plan_file = FOLDER / "runs.py"
    study = load_study(tmp_path, plan_file, "tiny")
    command = rf"sweep {plan_file} --preset tiny --out {tmp_path}`"
    with pytest.raises(StudyError, match=command):
        study.require("main")


def test_a_packed_copy_knows_of_which_preset_it_is(study, tmp_path):
    of_preset = Study(study.path, study.plan, preset="my tiny")
    packed = pack_study(of_preset, tmp_path / "packed")
    with pytest.raises(StudyError, match="--preset 'my tiny' --out DIR`"):
        packed.require("main", data_seed=99)


def test_a_packed_study_gives_the_same_figures(study, tmp_path):
    name = "sec4_composition"
    whole = load(name).draw(study)
    packed = pack_study(study, tmp_path / "packed", ("in_context_accuracy", "accuracy", "loss"))
    assert packed.packed
    again = load(name).draw(Study(tmp_path / "packed"))
    assert again.numbers.equals(whole.numbers)
    assert again.figure.to_json() == whole.figure.to_json()
    with pytest.raises(StudyError, match="without the weights"):
        packed.require("main", data_seed=2)[0].run  # noqa: B018


def test_an_earlier_copy_stands_in_for_runs_that_are_not_there(study, tmp_path):
    earlier = pack_study(study, tmp_path / "earlier")
    (tmp_path / "none finished").mkdir()
    completed = Study(tmp_path / "none finished", study.plan, earlier=earlier)
    name = "fig01b_transience"
    assert load(name).draw(completed).numbers.equals(load(name).draw(earlier).numbers)
    again = pack_study(completed, tmp_path / "again")
    assert again.index == earlier.index
    with pytest.raises(StudyError, match="without the weights"):
        completed.require("main", data_seed=2)[0].run  # noqa: B018


def test_seeds_whose_weights_are_gone_have_no_null(study, tmp_path):
    swaps = load("fig03_weight_swaps")
    assert "null" in swaps.draw(study).tables
    assert set(swaps.draw(study).claims) == {"3a", "3b", "3c"}
    packed = pack_study(study, tmp_path / "packed")
    assert swaps.draw(packed).numbers.equals(swaps.draw(study).numbers)
    shutil.rmtree(packed.path / "tables" / "another_seeds_half")
    without = swaps.draw(packed)
    assert "null" not in without.tables
    assert without.claims["3b"].verdict == "undecided"


def test_own_runs_count_before_those_of_an_earlier_copy(study, tmp_path):
    earlier = pack_study(study, tmp_path / "earlier")
    completed = Study(study.path, study.plan, earlier=earlier)
    assert all(run.study is completed for run in completed.require("main"))


def test_an_earlier_copy_of_another_plan_is_refused(study, tmp_path):
    earlier = pack_study(study, tmp_path / "earlier")
    with pytest.raises(StudyError, match="the same plan"):
        Study(study.path, study.plan[:1], earlier=earlier)
    with pytest.raises(StudyError, match="only a packed copy"):
        Study(study.path, study.plan, earlier=study)
    with pytest.raises(StudyError, match="another preset"):
        Study(study.path, study.plan, at_published_scale=True, earlier=earlier)


def test_an_earlier_copy_is_not_passed_over_where_it_can_complete_nothing(study, tmp_path):
    earlier = pack_study(study, tmp_path / "earlier").path
    first_run = study.path / study.require("main")[0].name
    for path in (earlier, first_run):
        with pytest.raises(StudyError, match=r"only a packed copy|the same plan"):
            load_study(path, FOLDER / "runs.py", "tiny", earlier)


def test_a_file_that_is_no_figure_says_what_it_lacks(tmp_path):
    (tmp_path / "fig99_nothing.py").write_text('"""A figure."""\nPUBLISHED = {}\n')
    with pytest.raises(FigureFileError, match="lacks table, draw, rules"):
        FigureFile.load(tmp_path / "fig99_nothing.py")


def test_every_scale_makes_a_plan_whose_needs_come_first():
    runs = importlib.import_module("analyses.coopetition.runs")
    from coopetition_interp.sweeps.plan import check_plan

    for name in runs.SCALES:
        plan = runs.plan(name)
        check_plan(plan)
        assert all({"role", "init_seed", "data_seed"} <= run.about.keys() for run in plan)
