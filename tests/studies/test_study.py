"""A study gives the same tables from a sweep's directory and from its packed copy."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from small_study import LATE, LOG_2, count_few_sequences, packed_small_study, small_study

from coopetition_interp.analysis.ablation import layer_to_output_ablation
from coopetition_interp.studies import MissingRunsError, Study, StudyError, StudyTable, pack_study
from coopetition_interp.studies import induction_curves as curves
from coopetition_interp.studies import induction_heads_of as heads_of
from coopetition_interp.studies import induction_weights as weights
from coopetition_interp.studies.contents import INDUCTION_HEADS
from coopetition_interp.sweeps import induction_heads as sweep
from coopetition_interp.sweeps import induction_heads_plan
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.sequences import summarise

FEW = 64


@pytest.fixture(scope="module", autouse=True)
def few_sequences():
    with pytest.MonkeyPatch.context() as patch:
        count_few_sequences(patch)
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return small_study(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return packed_small_study(tmp_path_factory.getbasetemp())


# Runs ---------------------------------------------------------------------------------------


def test_the_tables_are_made_from_exactly_the_runs_that_are_planned(study):
    planned = {run.name for run in induction_heads_plan(study.config("main").features)}
    assert {name for table in INDUCTION_HEADS.tables for name in table.runs(study)} == planned
    assert study.runs == sorted(planned)


def test_heads_are_ranked_as_the_sweep_ranked_those_it_clamped(study):
    main = study.run("main")
    assert heads_of.strongest_heads(study) == sweep.strongest_heads(main)
    ranked = sweep.previous_token_heads(main)
    chosen = heads_of.previous_token_heads(study)
    assert chosen == ranked[: len(chosen)]
    assert len(chosen) >= 1
    pair = curves.active_heads(study.config("pairs/strongest-and-rank-3"))
    strongest = sweep.strongest_heads(main)
    assert set(pair) == {strongest[0], strongest[2]}
    assert curves.active_heads(study.config("main")) == list(range(sweep.N_HEADS))


def test_all_missing_and_unfinished_runs_are_named_with_the_command_that_makes_them(
    study, tmp_path
):
    copy = Study(shutil.copytree(study.path, tmp_path / "sweep", copy_function=os.link))
    shutil.rmtree(copy.path / "clamps" / "match")
    status = copy.path / "clamps" / "copy" / "status.json"
    status.unlink()  # a hard link to the other study's
    status.write_text('{"state": "running", "sequences_seen": 320, "message": ""}')
    (copy.path / "tables" / "fig4_6b_clamps.csv").unlink(missing_ok=True)
    with pytest.raises(MissingRunsError) as missing:
        copy.table(curves.CLAMPS)
    assert missing.value.names == ["clamps/match", "clamps/copy"]
    assert f"`coopetition-interp sweep induction-heads --out {copy.path} " in str(missing.value)
    assert len(copy.table(curves.PAIRS)) > 0


def test_a_directory_without_runs_is_a_missing_main_run(tmp_path):
    with pytest.raises(MissingRunsError, match="main"):
        Study(tmp_path / "none").table(heads_of.HEADS)


def test_seeds_are_those_of_which_every_run_is_finished(study, tmp_path):
    copy = Study(shutil.copytree(study.path, tmp_path / "sweep", copy_function=os.link))
    (copy.path / "seeds" / "seed-7" / "single-head" / "head-2" / "status.json").unlink()
    assert weights.seeds_there(study) == [5, 6, 7, 8, 9]
    assert weights.seeds_there(copy) == [5, 6, 8, 9]


# Keeping tables -----------------------------------------------------------------------------


def test_a_table_is_computed_once_and_again_when_a_run_is_newer(study):
    computed = []

    def compute(study):
        computed.append(1)
        return pd.DataFrame({"third": [1 / 3], "seen": [1_000_000]})

    table = StudyTable("counted", lambda study: ["main"], compute)
    first, second = study.table(table), study.table(table)
    assert len(computed) == 1
    pd.testing.assert_frame_equal(first, second)
    assert first["third"][0] == pytest.approx(1 / 3, rel=1e-5)
    assert first["seen"][0] == 1_000_000
    made = study.table_path(table).stat().st_mtime_ns
    os.utime(study.path / "main" / "status.json", ns=(made + 10**9, made + 10**9))
    study.table(table)
    assert len(computed) == 2
    os.utime(study.path / "main" / "status.json", ns=(0, 0))
    study.table_path(table).unlink()


# Curves -------------------------------------------------------------------------------------


def test_learning_time_is_when_the_loss_falls_below_the_mark():
    seen = np.array([0.0, 100.0, 200.0])
    losses = np.array([1.0, 0.5, 0.1]) * LOG_2
    # From 0.5 to 0.1 over 100 sequences: at 0.4 a quarter of the way.
    assert curves.learning_time(seen, losses) == pytest.approx(125.0)
    assert np.isnan(curves.learning_time(seen, losses * 10))
    assert curves.learning_time(seen, losses / 10) == 0.0


def test_shapes_of_made_up_curves(study):
    shapes = study.table(curves.CLAMP_SHAPES).set_index("curve")
    expected = {"match": "exponential", "steps-1-2-and-copy": "exponential"}
    for steps in sweep.CLAMPED_STEPS:
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


# Tables from weights ------------------------------------------------------------------------


def test_layer_ablations_are_those_of_the_networks_at_their_checkpoints(study):
    table = study.table(weights.LAYER_ABLATIONS)
    main = study.run("main")
    sequences = weights.training_sequences(main, FEW)
    for seen in (main.checkpoints[1], main.checkpoints[-1]):
        for layer in (0, 1):
            alone = layer_to_output_ablation(main.model(seen), sequences, layer).iloc[0]
            row = table[(table.sequences_seen == seen) & (table.cut_layer == layer)].iloc[0]
            for column in ("loss", "accuracy", "loss_change", "accuracy_change"):
                assert row[column] == pytest.approx(alone[column], rel=1e-3, abs=1e-5)


def test_progress_measures_hold_the_clamps_of_the_clamped_runs(study):
    table = study.table(weights.PROGRESS_MEASURES)
    strongest = heads_of.strongest_heads(study)[0]
    run = study.run(f"single-head/head-{strongest}")
    seen = run.checkpoints[-1]
    for steps in ("step-1", "match"):
        clamps = study.config(f"clamps/{steps}").clamps
        sequences = weights.training_sequences(run, FEW)
        scores = summarise(score_model(run.model(seen), sequences, clamps))
        row = table[(table.sequences_seen == seen) & (table.curve == steps)].iloc[0]
        assert row["loss"] == pytest.approx(scores["loss"], rel=1e-4)


def test_attention_patterns_are_causal_rows_that_sum_to_one_over_named_tokens(study):
    table = study.table(weights.ATTENTION_PATTERNS)
    sums = table.groupby(["sequence", "layer", "head", "row"])["attention"].sum()
    np.testing.assert_allclose(sums, 1.0, atol=1e-4)
    assert (table["column"] <= table["row"]).all()
    sequences = weights.training_sequences(study.run("main"), 2)
    for place in range(2):
        texts = weights.token_texts(sequences, place)
        kept = table[(table["sequence"] == place)].drop_duplicates("column")
        assert kept.sort_values("column")["token"].astype(str).tolist() == texts
        # The label that follows the query's letter is the right one.
        follows = texts[texts.index(texts[-1].rstrip("?")) + 1]
        assert follows == str(int(sequences.right_labels[place]))


def test_spread_checkpoints_keep_both_ends(study):
    main = study.run("main")
    assert weights.spread_checkpoints(main, 100) == main.checkpoints
    assert weights.spread_checkpoints(main, 2) == [main.checkpoints[0], main.checkpoints[-1]]


# Packing ------------------------------------------------------------------------------------


def test_a_packed_study_gives_the_same_tables_and_metrics(study, packed):
    assert packed.packed
    assert not study.packed
    assert packed.runs == study.runs
    for table in INDUCTION_HEADS.tables:
        pd.testing.assert_frame_equal(packed.table(table), study.table(table))
    for name in ("main", "clamps/match"):
        ours, theirs = packed.metrics(name), study.metrics(name)
        pd.testing.assert_frame_equal(ours, theirs[list(ours.columns)], rtol=1e-5)
    assert packed.config("clamps/match") == study.config("clamps/match")


def test_a_packed_study_holds_no_path_of_the_machine(study, packed):
    texts = [file for file in packed.path.rglob("*") if file.suffix in (".json", ".csv")]
    assert len(texts) > len(INDUCTION_HEADS.tables)
    for file in texts:
        assert str(study.path.parent) not in file.read_text(encoding="utf-8"), file
    donor = packed.config("grafts/layer-0-of-seed-6").clamps[0].checkpoint
    assert donor.startswith("seeds/seed-6/main/checkpoints/")
    assert (study.path / donor).is_file()


def test_feature_files_are_told_by_name_alone(study, tmp_path):
    copy = Study(shutil.copytree(study.path, tmp_path / "sweep", copy_function=os.link))
    file = copy.path / "clamps" / "match" / "config.json"
    config = json.loads(file.read_text())
    config["features"] = {"kind": "feature_file", "path": str(tmp_path / "omniglot.h5")}
    file.unlink()
    file.write_text(json.dumps(config))
    pack_study(copy, tmp_path / "packed")
    assert Study(tmp_path / "packed").config("clamps/match").features.path == "omniglot.h5"


def test_the_thin_main_run_has_the_same_weights_in_half_precision(study, packed):
    thin, whole = packed.run("main"), study.run("main")
    assert set(thin.checkpoints) < set(whole.checkpoints) or thin.checkpoints == whole.checkpoints
    for name, weight in thin.weights("last").items():
        np.testing.assert_allclose(weight, whole.weights("last")[name], rtol=1e-3, atol=1e-4)
    with pytest.raises(MissingRunsError):
        packed.run("clamps/match")  # its weights were not packed


def test_packing_again_replaces_the_copy_and_spares_anything_else(study, packed, tmp_path):
    (packed.path / "tables" / "left-over.csv").write_text("a\n")
    pack_study(study, packed.path)
    assert not (packed.path / "tables" / "left-over.csv").exists()
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(StudyError, match="something else"):
        pack_study(study, tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "mine"
    with pytest.raises(StudyError, match="packed already"):
        pack_study(packed, tmp_path / "twice")


def test_tables_whose_runs_are_missing_are_left_out_only_if_allowed(study, tmp_path):
    copy = Study(shutil.copytree(study.path, tmp_path / "sweep", copy_function=os.link))
    shutil.rmtree(copy.path / "pairs")
    with pytest.raises(MissingRunsError, match="pairs/strongest-and-rank-2"):
        pack_study(copy, tmp_path / "refused")
    left_out = pack_study(copy, tmp_path / "packed", allow_missing=True)
    assert left_out == ["figC_2_pairs", "figC_2_pairs_shapes"]
    with pytest.raises(StudyError, match=r"packed without .*figC_2_pairs\.csv"):
        Study(tmp_path / "packed").table(curves.PAIRS)
