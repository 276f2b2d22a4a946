"""The induction-head house: its plan, its measures on a small study, its figures."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_induction import (
    FEW,
    FIGURES,
    LATE,
    LOG_2,
    SEEDS,
    load,
    packed_small_study,
    small_study,
)

from analyses.induction_heads import attention_patterns as patterns
from analyses.induction_heads import heads, runs
from analyses.induction_heads.curves import curve_shapes, learning_time, thousands
from analyses.induction_heads.each_seed import each_seed, mean_and_range
from coopetition_interp.analysis.ablation import layer_to_output_cut
from coopetition_interp.interventions import AblateHeads, GraftIn
from coopetition_interp.reporting.pack import pack_study
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study
from coopetition_interp.sweeps.plan import check_plan
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.sequences import summarise

COMMITTED = Path(__file__).parents[2] / "checkpoints" / "induction-heads"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return small_study(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return packed_small_study(tmp_path_factory.getbasetemp())


@pytest.fixture
def copy(study, tmp_path):
    """A copy of the sweep's directory whose runs may be removed."""
    path = shutil.copytree(study.path, tmp_path / "sweep", copy_function=os.link)
    return Study(path, study.plan)


# Plan ---------------------------------------------------------------------------------------


def test_the_plan_has_260_runs_each_after_those_it_needs_told_apart_by_what_they_are():
    plan = runs.plan()
    check_plan(plan)
    assert len(plan) == 260
    told = [tuple(sorted(run.about.items())) for run in plan]
    assert len(set(told)) == 260
    for run in plan:
        if not run.needs:
            assert run.resolve({}).model.init_seed == run.about["init_seed"]


def test_figures_are_drawn_from_exactly_the_runs_that_are_planned(study):
    used = set()

    class Recorded(Study):
        def require(self, role, **about):
            found = super().require(role, **about)
            used.update(run.name for run in found)
            return found

    for name in FIGURES:
        load(name).draw(Recorded(study.path, study.plan))
    assert used == {run.name for run in study.plan}


def active_heads(study, name):
    """Heads of layer 1 that a run did not hold at 0."""
    clamps = study.config(name).clamps
    off = {h for clamp in clamps if isinstance(clamp, AblateHeads) for layer, h in clamp.heads}
    return set(range(runs.N_HEADS)) - off


def main_heads(study, seed):
    return study.measured(heads.heads_at_end, "main", init_seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_clamped_heads_are_those_that_the_seeds_main_run_ranks_first(study, seed):
    table = main_heads(study, seed)
    strongest = heads.strongest_heads(table)
    ranked = heads.with_strengths(table.loc[table["layer"] == 1, ["init_seed", "head"]], table)
    assert strongest == ranked.sort_values("rank")["head"].tolist()
    assert ranked.sort_values("rank")["induction_strength"].is_monotonic_decreasing
    pair = f"seed-{seed}/pairs/strongest-and-rank-3"
    assert active_heads(study, pair) == {strongest[0], strongest[2]}
    assert active_heads(study, f"seed-{seed}/main") == set(range(runs.N_HEADS))
    for steps in runs.CLAMPED_STEPS:
        assert active_heads(study, f"seed-{seed}/clamps/{steps}") == {strongest[0]}
    ranked = heads.by_strength(table, 0, "previous_token_strength")
    chosen = heads.previous_token_heads(table)
    assert len(chosen) >= 1
    assert chosen == ranked[: len(chosen)]
    assert study.config(f"seed-{seed}/clamps/step-1").clamps[1].heads == ((0, ranked[0]),)
    held = study.config(f"seed-{seed}/previous-token/weakest-three").clamps[1].heads
    assert {head for _, head in held} == set(ranked[-3:])


def test_the_strongest_head_is_not_the_same_in_every_seed(study):
    """So that the tests below would find a figure that takes one seed's heads for another's."""
    assert len({heads.strongest_heads(main_heads(study, seed))[0] for seed in SEEDS}) > 1


@pytest.mark.parametrize(("donor", "seed"), [("own", 7), ("next", 5), ("second-next", 6)])
def test_grafts_are_of_the_donors_last_checkpoint(study, donor, seed):
    (clamp,) = study.config(f"seed-7/grafts/layer-0-of-{donor}").clamps
    last = study.load(f"seed-{seed}/main").checkpoint_path("last")
    assert clamp == GraftIn(str(last), layer=0)


# Curves -------------------------------------------------------------------------------------


def test_learning_time_is_when_the_loss_falls_below_the_mark():
    def of(losses):
        seen = [0.0, 100.0, 200.0]
        return learning_time(pd.DataFrame({"sequences_seen": seen, "loss": losses * LOG_2}))

    losses = np.array([1.0, 0.5, 0.1])
    # From 0.5 to 0.1 over 100 sequences: at 0.4 a quarter of the way.
    assert of(losses) == pytest.approx(125.0)
    assert np.isnan(of(losses * 10))
    assert of(losses / 10) == 0.0


def test_shapes_of_made_up_curves(study):
    tables = load("fig4_6b_clamps").module.table(study)
    assert list(each_seed(tables)) == list(SEEDS)
    for of_seed in each_seed(tables).values():
        check_shapes(of_seed["shapes"].set_index("curve"))


def check_shapes(shapes):
    expected = {"match": "exponential", "steps-1-2-and-copy": "exponential"}
    for steps in runs.CLAMPED_STEPS:
        assert shapes.loc[steps, "kind"] == expected.get(steps, "phase change"), steps
    # A logistic fall is at 0.4 where it has gone log(0.6 / 0.4) widths past its middle.
    middle = 300_000
    assert shapes.loc["step-1", "learning_time"] == pytest.approx(
        middle + LATE * np.log(0.6 / 0.4), rel=0.01
    )
    assert shapes.loc["step-1", "fall_middle"] == pytest.approx(middle, abs=20_000)
    assert shapes.loc["steps-1-2", "duration"] < shapes.loc["step-1", "duration"]
    assert shapes.loc["match", "convexity_gap"] < 0.02
    # Made-up losses are proportional to the choice, and so is their shape.
    np.testing.assert_allclose(shapes["loss_gap"], shapes["convexity_gap"], atol=1e-3)
    assert shapes.loc["match", "last_accuracy"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    "name", ["fig4_6b_clamps", "figC_4_grafts", "figC_5_previous_token_clamps"]
)
def test_curves_as_in_the_thesis_meet_every_rule_in_every_seed(name, study):
    drawn = load(name).draw(study)
    assert all(rule.holds == dict.fromkeys(SEEDS, True) for rule in drawn.rules)
    assert drawn.claims[""].verdict == "reproduced"


def test_curves_that_are_as_late_whatever_the_size_are_not_delayed(study):
    module = load("fig4_9_data_scaling").module
    for rule, panel in zip(module.rules(module.table(study)), module.PANELS, strict=True):
        assert rule.holds == dict.fromkeys(SEEDS, panel in module.ALIKE)


def test_a_rule_fails_in_the_seed_whose_curve_is_wrong(study):
    """A phase change in the copy alone is another story than the thesis's."""
    module = load("fig4_6b_clamps").module
    curves = module.table(study)[""]
    of_seed = curves["init_seed"] == 6
    late = of_seed & (curves["curve"] == "step-1")
    columns = ["loss", "p_right_in_context"]
    curves.loc[of_seed & (curves["curve"] == "match"), columns] = curves.loc[
        late, columns
    ].to_numpy()
    rules = module.rules({"": curves, "shapes": curve_shapes(curves)})
    failing = [rule for rule in rules if not all(rule.holds.values())]
    assert [rule.statement for rule in failing] == ["1, 2, 3qk, 4 (match) clamped: exponential"]
    assert failing[0].holds == {5: True, 6: False, 7: True}
    assert failing[0].verdict() == "undecided"


def test_a_number_of_every_seed_is_told_by_its_mean_and_range():
    assert mean_and_range([0.5, 0.25, 0.75], "{:.2f}".format) == "0.50 (0.25 to 0.75)"
    assert mean_and_range([0.5], "{:.2f}".format) == "0.50"
    told = mean_and_range([100_000.0, 200_000.0, np.nan], thousands)
    assert told == "150k (100k to 200k); not reached in 1 of 3 seeds"
    assert mean_and_range([np.nan, np.nan], thousands) == "not reached"


# Measures -----------------------------------------------------------------------------------


def test_layer_ablations_are_those_of_the_networks_at_their_checkpoints(study):
    table = load("fig4_4_layer_ablations").module.table(study)
    table = table[table["init_seed"] == 6]
    main = study.load("seed-6/main")
    sequences = heads.training_sequences(main, FEW)
    for seen in (main.checkpoints[1], main.checkpoints[-1]):
        for layer in (0, 1):
            model = main.model(seen)
            intact, cut = (
                summarise(score_model(model, sequences, clamps))
                for clamps in ((), layer_to_output_cut(model, layer))
            )
            row = table[(table.sequences_seen == seen) & (table.cut_layer == layer)].iloc[0]
            for name in ("loss", "accuracy"):
                assert row[name] == pytest.approx(cut[name], rel=1e-3, abs=1e-5)
                change = cut[name] - intact[name]
                assert row[f"{name}_change"] == pytest.approx(change, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_progress_measures_hold_the_clamps_of_the_clamped_runs_on_the_seeds_own_head(study, seed):
    table = each_seed(load("fig4_8_progress_measures").module.table(study))[seed][""]
    strongest = heads.strongest_heads(main_heads(study, seed))[0]
    run = study.load(f"seed-{seed}/single-head/head-{strongest}")
    seen = run.checkpoints[-1]
    for steps in ("step-1", "match"):
        clamps = study.config(f"seed-{seed}/clamps/{steps}").clamps
        sequences = heads.training_sequences(run, FEW)
        scores = summarise(score_model(run.model(seen), sequences, clamps))
        measured = table[table["curve"] == f"progress measure: {steps}"]
        row = measured[measured["sequences_seen"] == seen].iloc[0]
        assert row["loss"] == pytest.approx(scores["loss"], rel=1e-4)


def test_heads_trained_alone_are_named_by_their_rank_in_the_main_run_of_their_seed(study):
    curves = load("fig4_5_heads").module.table(study)["single_heads"]
    for seed in SEEDS:
        for rank, head in enumerate(heads.strongest_heads(main_heads(study, seed)), start=1):
            metrics = study.metrics(f"seed-{seed}/single-head/head-{head}")
            of_seed = curves[curves["init_seed"] == seed]
            loss = of_seed.loc[of_seed["curve"] == f"rank {rank}", "loss"]
            np.testing.assert_array_equal(loss, metrics["loss"])


def test_attention_patterns_are_causal_rows_that_sum_to_one_over_named_tokens(study):
    table = study.measured(patterns.attention_patterns, "main", init_seed=6)
    sums = table.groupby(["sequence", "layer", "head", "row"])["attention"].sum()
    np.testing.assert_allclose(sums, 1.0, atol=1e-4)
    assert (table["column"] <= table["row"]).all()
    sequences = heads.training_sequences(study.load("seed-6/main"), 6)
    for place in range(6):
        texts = patterns.token_texts(sequences, place)
        kept = table[(table["sequence"] == place)].drop_duplicates("column")
        assert kept.sort_values("column")["token"].astype(str).tolist() == texts
        # The label that follows the query's letter is the right one.
        follows = texts[texts.index(texts[-1].rstrip("?")) + 1]
        assert follows == str(int(sequences.right_labels[place]))


UNFINISHED = {
    "fig4_5_heads": "single-head/head-2",
    "fig4_6b_clamps": "clamps/copy",
    "fig4_8_progress_measures": "clamps/match",
    "fig4_9_data_scaling": "scaling/classes-500-labels-5/both-left",
    "figC_2_pairs": "pairs/strongest-and-rank-8",
    "figC_4_grafts": "grafts/layer-0-of-next",
    "figC_5_previous_token_clamps": "previous-token/weakest",
    "figC_6_seeds": "single-head/head-7",
}
"""One of the runs that a seed needs for a figure, by the figure."""


def seeds_of(figure):
    """Those judged, and those drawn or told."""
    judged = {tuple(getattr(rule, "holds", None) or rule.values) for rule in figure.rules}
    return {*judged, *(tuple(table["init_seed"].unique()) for table in figure.tables.values())}


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_seed_with_an_unfinished_run_is_left_out_and_without_a_whole_seed_nothing_is_drawn(
    name, copy
):
    (copy.path / "seed-6" / UNFINISHED[name] / "status.json").unlink()
    assert seeds_of(load(name).draw(copy)) == {(5, 7)}
    for seed in (5, 7):
        (copy.path / f"seed-{seed}" / UNFINISHED[name] / "status.json").unlink()
    with pytest.raises(StudyError, match=r"no (seed has all the finished runs|finished run of)"):
        load(name).draw(copy)


def test_a_measure_of_two_runs_of_which_no_seed_has_both_is_told(copy):
    shutil.rmtree(copy.path / "seed-5" / "clamps")
    for seed in (6, 7):
        shutil.rmtree(copy.path / f"seed-{seed}" / "single-head")
    with pytest.raises(StudyError, match="is clamped with the one beside it"):
        load("fig4_8_progress_measures").draw(copy)


def test_seeds_whose_main_run_is_unfinished_are_left_out_of_the_tables(copy):
    (copy.path / "seed-5" / "main" / "status.json").unlink()
    for name in ("fig4_3_emergence", "figC_3_connectivity", "tableC_1_residual_heads"):
        assert seeds_of(load(name).draw(copy)) == {(6, 7)}


# Figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_with_its_numbers_and_the_same_from_the_packed_copy(
    name, study, packed, tmp_path
):
    drawn = load(name).draw(study)
    assert len(drawn.figure.data) > 0
    assert drawn.title
    assert drawn.claim
    assert seeds_of(drawn) == {SEEDS}
    assert set(drawn.published.values()) <= set(drawn.numbers["published"])
    written = drawn.write(tmp_path, images=False)
    assert all(len(pd.read_csv(file)) > 0 for file in written)
    again = load(name).draw(packed)
    assert again.numbers.equals(drawn.numbers)


def test_a_missing_run_is_told_and_the_other_figures_are_drawn(copy):
    for seed in SEEDS:
        shutil.rmtree(copy.path / f"seed-{seed}" / "pairs")
    with pytest.raises(StudyError, match=r"no finished run .* is pair: make it by"):
        load("figC_2_pairs").draw(copy)
    assert load("figC_4_grafts").draw(copy).numbers["ours"].str.len().min() > 0


def test_a_script_writes_its_figure_and_numbers_beside_the_thesis(
    run_script, packed, tmp_path, capsys
):
    name = "figC_5_previous_token_clamps"
    run_script(f"induction_heads/{name}", "--run", packed.path, "--out", tmp_path)
    printed = capsys.readouterr().out
    assert (tmp_path / f"{name}.html").is_file()
    numbers = pd.read_csv(tmp_path / f"{name}_numbers.csv")
    assert all(ours in printed for ours in numbers["ours"])
    assert "\nreproduced\n" in printed


def test_a_script_says_what_is_missing(run_script, tmp_path, capsys):
    for name in ("fig4_3_emergence", "attention_patterns"):
        with pytest.raises(SystemExit) as exit_:
            run_script(f"induction_heads/{name}", "--run", tmp_path)
        assert exit_.value.code == 2
        assert "no finished run" in capsys.readouterr().err
        with pytest.raises(SystemExit):
            run_script(f"induction_heads/{name}", "--run", tmp_path / "none")
        assert "is not there" in capsys.readouterr().err
        assert not (tmp_path / "none").exists()


# The committed study ------------------------------------------------------------------------


def test_the_committed_runs_are_as_planned():
    """All mains, everything but Figure 4.9 from three seeds, and that from one."""
    study = Study(COMMITTED)
    planned = {run.name: run for run in runs.plan(study.config("seed-5/main").features)}
    seeds_of_role = {"main": runs.SEEDS, "scaling": (5,)}
    made = {
        name
        for name, run in planned.items()
        if run.about["init_seed"] in seeds_of_role.get(run.about["role"], (5, 6, 7))
    }
    assert made <= set(study.index.runs) <= set(planned)
    for name, entry in study.index.runs.items():
        assert entry.about == planned[name].about
        if not planned[name].needs:
            assert study.config(name) == planned[name].resolve({})


def test_the_page_of_attention_patterns_holds_the_library_once(run_script, tmp_path):
    run_script("induction_heads/attention_patterns", "--run", COMMITTED, "--out", tmp_path)
    text = (tmp_path / "attention_patterns.html").read_text(encoding="utf-8")
    assert text.count("var CircuitsVis") == 1
    assert text.count("CircuitsVis.AttentionHeads") == 6
    assert "unpkg.com/circuitsvis" not in text


def test_a_packed_study_holds_no_path_of_the_machine_and_no_weights(study, packed):
    files = [file for file in packed.path.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".json", ".csv"}
    for name in ("seed-5/main", "seed-6/clamps/match"):
        ours, theirs = packed.metrics(name), study.metrics(name)
        pd.testing.assert_frame_equal(ours, theirs[list(ours.columns)], rtol=1e-5)
    assert packed.config("seed-6/clamps/match") == study.config("seed-6/clamps/match")
    with pytest.raises(StudyError, match="not empty"):
        pack_study(study, packed.path, ["loss"])
