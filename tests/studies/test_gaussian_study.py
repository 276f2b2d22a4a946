"""The coopetition study: which runs its tables are of, and what they hold, packed or not."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from small_coopetition import (
    FEW,
    SEEDS,
    changed,
    count_few_sequences,
    in_every_seed,
    packed_small_coopetition,
    small_coopetition,
    small_plan,
)

from coopetition_interp.analysis.landmarks import landmarks
from coopetition_interp.figures.coopetition.all_figures import STUDY_FIGURES
from coopetition_interp.interventions import GraftOut
from coopetition_interp.studies import STUDIES, MissingRunsError, Study, StudyError, pack_study
from coopetition_interp.studies import coopetition_heads as heads
from coopetition_interp.studies import coopetition_layers as layers
from coopetition_interp.studies.coopetition_runs import (
    first_and_seeds,
    landmarks_of,
    of_seeds,
    starting_with,
)
from coopetition_interp.tasks.exemplar_label.evaluation import score_model
from coopetition_interp.tasks.exemplar_label.sequences import summarise

COOPETITION = STUDIES["coopetition"]
TABLES = [pytest.param(table, id=table.name) for table in COOPETITION.tables]


@pytest.fixture(scope="module", autouse=True)
def few_sequences():
    with pytest.MonkeyPatch.context() as patch:
        count_few_sequences(patch)
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return small_coopetition(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return packed_small_coopetition(tmp_path_factory.getbasetemp())


@pytest.fixture
def copy(study, tmp_path):
    """A copy of the sweep's directory whose runs may be removed."""
    return Study(
        shutil.copytree(study.path, tmp_path / "sweep", copy_function=os.link), "coopetition"
    )


# Runs ---------------------------------------------------------------------------------------


def test_the_study_has_every_planned_run_and_tables_are_of_main_and_one_layer(study):
    assert study.runs == sorted(small_plan())
    used = {name for table in COOPETITION.tables for name in table.runs(study)}
    assert used == {*in_every_seed("main"), *in_every_seed("one-layer")}


def test_runs_of_the_same_name_by_seed(study, copy):
    for name in ("main", "grafts/main-end"):
        runs = dict(zip(SEEDS, in_every_seed(name), strict=True))
        assert of_seeds(study, name) == runs
        assert first_and_seeds(study, name) == list(runs.values())
    shutil.rmtree(copy.path / "seeds" / "init-6" / "main")
    assert of_seeds(copy, "main") == {5: "main", 7: "seeds/init-7/main"}
    shutil.rmtree(copy.path / "main")
    assert of_seeds(copy, "main") == {7: "seeds/init-7/main"}
    # What is missing of the main seed is asked for, so that it is told.
    assert first_and_seeds(copy, "main") == ["main", "seeds/init-7/main"]
    for seed, run in of_seeds(study, "main").items():
        assert study.config(run).model.init_seed == seed


def test_runs_of_one_seed_by_what_follows_a_prefix(study):
    assert starting_with(study, "resumed/ciwl-only-") == {
        f"{moment}M": f"resumed/ciwl-only-{moment}M" for moment in ("0.0016", "0.0032", "0.0064")
    }
    assert starting_with(study, "resumed/ciwl-only-", "seeds/init-7/") == {
        f"{moment}M": f"seeds/init-7/resumed/ciwl-only-{moment}M" for moment in ("0.0016", "0.0064")
    }
    assert starting_with(study, "no-such-run") == {}


def test_landmarks_are_those_of_the_runs_metrics(study):
    found = landmarks_of(study, "seeds/init-6/main")
    assert found == landmarks(study.run("seeds/init-6/main").metrics)
    assert found.crossing > landmarks_of(study, "main").crossing


@pytest.mark.parametrize("table", TABLES)
def test_a_table_names_its_missing_run_and_the_command(table, tmp_path):
    with pytest.raises(MissingRunsError) as missing:
        Study(tmp_path / "none", "coopetition").table(table)
    assert missing.value.names == ["one-layer" if "one_layer" in table.name else "main"]
    command = f"`coopetition-interp sweep coopetition --out {tmp_path / 'none'} --workers 2`"
    assert command in str(missing.value)


def test_a_figure_names_all_its_missing_runs_at_once(copy):
    shutil.rmtree(copy.path / "seeds" / "init-7" / "main")
    status = copy.path / "seeds" / "data-3" / "main" / "status.json"
    status.unlink()  # a hard link to the other study's
    status.write_text('{"state": "running", "sequences_seen": 320, "message": ""}')
    with pytest.raises(MissingRunsError) as missing:
        STUDY_FIGURES["fig07_seeds"](copy)
    assert missing.value.names == ["seeds/init-7/main", "seeds/data-3/main"]
    assert f"`coopetition-interp sweep coopetition --out {copy.path} " in str(missing.value)


# Tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_tables_per_seed_are_of_every_seed_and_not_one_run_thrice(table, study):
    computed = study.table(table)
    assert len(computed) > 0
    if "seed" in computed:
        assert tuple(computed["seed"].unique()) == SEEDS
        values = computed.select_dtypes("float").columns[-1]
        first, second, third = (
            computed[computed["seed"] == seed][values].to_numpy() for seed in SEEDS
        )
        for one, other in ((first, second), (second, third)):
            assert len(one) != len(other) or not np.array_equal(one, other)
    else:
        assert table.runs(study) == ["main"]


def in_context_accuracy(model, sequences):
    return summarise(score_model(model, sequences))["in_context_accuracy"]


@pytest.mark.parametrize("run_name", in_every_seed("main"))
def test_a_network_without_heads_is_one_whose_heads_write_nothing(run_name, study):
    run = study.run(run_name)
    model, sequences = run.model("last"), run.evaluation_sequences["ciwl"][:FEW]
    table = study.table(layers.EMBEDDING_ABLATIONS)
    rows = table[
        (table["seed"] == run.config.model.init_seed) & (table["evaluator"] == "ciwl")
    ].set_index("ablated")["in_context_accuracy"]
    assert rows["nothing"] == pytest.approx(in_context_accuracy(model, sequences), rel=1e-5)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.W_O.zero_()
    assert rows["heads"] == pytest.approx(in_context_accuracy(model, sequences), rel=1e-5)


def test_an_intact_network_is_scored_as_it_is(study):
    run = study.run("seeds/init-6/main")
    table = study.table(layers.LAYER_ABLATIONS)
    rows = table[(table["seed"] == 6) & (table["cut"] == "nothing")].set_index("evaluator")
    assert set(rows.index) == {"ciwl", "train", "flip"}
    for name, row in rows.iterrows():
        own = in_context_accuracy(run.model("last"), run.evaluation_sequences[name][:FEW])
        assert row["in_context_accuracy"] == pytest.approx(own, rel=1e-5)


def is_second_half(name):
    return name.startswith(("blocks.1", "ln_final", "unembed"))


@pytest.mark.parametrize("fixed", ["first half", "second half"])
def test_weight_swaps_are_networks_put_together_by_hand(fixed, study):
    run = study.run("seeds/init-7/main")
    table = study.table(layers.WEIGHT_SWAPS)
    of_run = table[(table["seed"] == 7) & (table["fixed"] == fixed)]
    of_moment = of_run[of_run["moment"] == of_run["moment"].iloc[0]]
    at = int(of_moment["fixed_at"].iloc[0])
    changing = int(of_moment["sequences_seen"].unique()[-2])
    assert at != changing
    first, second = (at, changing) if fixed == "first half" else (changing, at)
    model = run.model(first)
    late = run.weights(second)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_second_half(name):
                parameter.copy_(late[name])
    rows = of_moment[of_moment["sequences_seen"] == changing].set_index("evaluator")
    assert set(rows.index) == set(layers.IN_CONTEXT_EVALUATORS)
    for name, row in rows.iterrows():
        own = in_context_accuracy(model, run.evaluation_sequences[name])
        assert row["in_context_accuracy"] == pytest.approx(own, rel=1e-5)


def test_weight_swaps_fix_the_second_half_to_the_end_and_the_first_to_its_moments(study):
    table = study.table(layers.WEIGHT_SWAPS)
    for seed, name in zip(SEEDS, in_every_seed("main"), strict=True):
        run, of_run = study.run(name), table[table["seed"] == seed]
        metrics = run.metrics
        moments = layers.first_half_moments(
            landmarks(metrics), metrics[metrics["evaluator"] == "flip"]
        )
        assert list(of_run["moment"].unique()) == ["end", *moments]
        fixed_at = of_run.groupby("moment")["fixed_at"].unique()
        assert fixed_at["end"] == run.checkpoints[-1]
        for moment, place in moments.items():
            assert fixed_at[moment] == run.nearest_checkpoint(place)
            later = of_run[of_run["moment"] == moment]["sequences_seen"]
            assert later.min() == run.nearest_checkpoint(place)


def test_attention_over_training_is_at_spread_checkpoints_with_both_ends(study):
    run = study.run("seeds/init-6/main")
    for table in (layers.INDUCTION_STRENGTH, layers.LABEL_ATTENTION):
        computed = study.table(table)
        moments = computed[computed["seed"] == 6]["sequences_seen"].unique()
        assert set(moments) <= set(run.checkpoints)
        assert {run.checkpoints[0], run.checkpoints[-1]} <= set(moments)
    # Label tokens of a two-pair context attend to at least themselves and their exemplar.
    attention = study.table(layers.LABEL_ATTENTION)
    whole = attention.groupby(["seed", "sequences_seen", "evaluator", "head"])["attention"].sum()
    assert ((whole > 0) & (whole <= 1 + 1e-6)).all()


def test_attention_from_the_query_sums_to_one_over_all_tokens(study):
    for table in (heads.QUERY_ATTENTION, heads.ONE_LAYER_ATTENTION):
        whole = study.table(table).groupby(["seed", "right_label_at", "head"])["attention"].sum()
        assert set(whole.index.get_level_values("right_label_at")) == {1, 3}
        np.testing.assert_allclose(whole, 1.0, atol=1e-5)


def flip(*values):
    """Flip evaluations, 1000 sequences apart, and their landmarks."""
    seen = np.arange(len(values)) * 1000
    rows = {"sequences_seen": seen, "in_context_accuracy": values, "n_sequences": 5000}
    metrics = pd.concat(
        pd.DataFrame({**rows, "evaluator": name}) for name in ("train", "icl", "flip")
    )
    return landmarks(metrics, window=1), metrics[metrics["evaluator"] == "flip"]


def test_first_halves_are_fixed_at_the_peak_the_crossing_and_where_flip_has_faded():
    moments = layers.first_half_moments(*flip(0.5, 0.7, 0.6, 0.4, 0.2, 0.08, 0.05))
    assert list(moments) == ["Flip's peak", "crossing", "faded"]
    assert moments["Flip's peak"] == 1000
    assert moments["crossing"] == pytest.approx(2500)
    assert moments["faded"] == 5000


def test_first_halves_are_fixed_only_at_moments_that_came():
    assert list(layers.first_half_moments(*flip(0.5, 0.7, 0.6, 0.4, 0.2))) == [
        "Flip's peak",
        "crossing",
    ]
    assert list(layers.first_half_moments(*flip(0.5, 0.7, 0.6))) == ["Flip's peak"]
    # A low value before the peak is not the end of in-context learning.
    assert "faded" not in layers.first_half_moments(*flip(0.5, 0.05, 0.7, 0.4, 0.3))
    assert layers.first_half_moments(*flip(0.5, 0.4, 0.05)) == {}


# A single run -------------------------------------------------------------------------------


def test_a_single_run_is_the_studys_main(study, tmp_path):
    run = shutil.copytree(study.path / "main", tmp_path / "run")
    single = Study(run, "coopetition")
    assert single.runs == ["main"]
    assert single.config("main") == study.config("main")
    for table in (heads.QUERY_ATTENTION, layers.WEIGHT_SWAPS):
        of_sweep = study.table(table)
        expected = of_sweep[of_sweep["seed"] == SEEDS[0]].reset_index(drop=True)
        pd.testing.assert_frame_equal(single.table(table), expected)
    entry = STUDY_FIGURES["fig01b_transience"](single).entry
    assert entry.verdict == "reproduced"
    assert "one seed" in entry.note


def test_a_single_run_of_another_initialisation_goes_by_its_own_seed(study, tmp_path):
    run = shutil.copytree(study.path / "seeds" / "init-7" / "main", tmp_path / "run")
    single = Study(run, "coopetition")
    assert of_seeds(single, "main") == {7: "main"}
    assert set(single.table(layers.LABEL_ATTENTION)["seed"]) == {7}
    drawn = STUDY_FIGURES["fig14_label_attention"](single).entry.figure.data
    assert len(drawn) > 0
    assert all(len(curve.x) > 1 for curve in drawn)


def test_what_a_single_run_lacks_is_to_be_made_elsewhere(study):
    single = Study(study.path / "main", "coopetition")
    with pytest.raises(MissingRunsError, match="matched") as missing:
        STUDY_FIGURES["fig06_matched"](single)
    assert missing.value.names == ["matched"]
    assert "`coopetition-interp sweep coopetition --out DIR --workers 2`" in str(missing.value)


# Packing ------------------------------------------------------------------------------------


def test_a_packed_study_gives_the_same_tables_and_metrics(study, packed):
    assert packed.packed
    assert packed.runs == study.runs
    for table in COOPETITION.tables:
        pd.testing.assert_frame_equal(packed.table(table), study.table(table))
    for name in ("main", "seeds/init-6/grafts/main-end", "mlps/1600x5"):
        ours, theirs = packed.metrics(name), study.metrics(name)
        assert list(ours.columns) == list(COOPETITION.metric_columns)
        pd.testing.assert_frame_equal(ours, theirs[list(ours.columns)], rtol=1e-5)
        assert packed.config(name).model == study.config(name).model


def test_packed_configs_name_donors_by_their_place_in_the_study(study, packed):
    for file in packed.path.rglob("*"):
        if file.suffix in (".json", ".csv"):
            assert str(study.path.parent) not in file.read_text(encoding="utf-8"), file
    for prefix in ("", "seeds/init-6/"):
        donor = f"{prefix}ciwl_only/checkpoints/000000001600.safetensors"
        config = packed.config(f"{prefix}grafts/ciwl-only-0.0016M")
        assert config.clamps == (GraftOut(donor, layer=0),)
        assert packed.config(f"{prefix}resumed/ciwl-only-0.0016M").start_from == donor
        (clamp,) = packed.config(f"{prefix}grafts/main-end").clamps
        assert clamp.checkpoint.startswith(f"{prefix}main/checkpoints/")
        assert (study.path / clamp.checkpoint).is_file()
        assert (study.path / donor).is_file()


def test_the_packed_main_run_has_flips_peak_and_the_end(study, packed):
    main = study.run("main")
    peak = landmarks(main.metrics).flip_peak.sequences_seen
    thin = packed.run("main")
    assert thin.checkpoints == [main.nearest_checkpoint(peak), main.checkpoints[-1]]
    for name, weight in thin.weights("last").items():
        np.testing.assert_allclose(weight, main.weights("last")[name], rtol=1e-3, atol=1e-4)
    with pytest.raises(MissingRunsError):
        packed.run("matched")  # its weights were not packed


def test_tables_of_missing_runs_are_left_out_only_if_allowed(copy, tmp_path):
    shutil.rmtree(copy.path / "one-layer")
    with pytest.raises(MissingRunsError, match="one-layer"):
        pack_study(copy, tmp_path / "refused", contents=COOPETITION)
    left_out = pack_study(copy, tmp_path / "packed", allow_missing=True, contents=COOPETITION)
    assert left_out == ["one_layer_attention", "one_layer_copying"]
    with pytest.raises(StudyError, match=r"packed without .*one_layer_copying\.csv"):
        Study(tmp_path / "packed", "coopetition").table(heads.ONE_LAYER_COPYING)


def test_a_figure_from_a_packed_study_names_the_runs_that_were_not_packed(packed, tmp_path):
    less = changed(packed, tmp_path / "less", without="grafts/")
    assert json.loads((less.path / "study.json").read_text())["runs"].keys() < set(packed.runs)
    with pytest.raises(MissingRunsError, match=r"grafts/main-end\. Make them by .*--out DIR"):
        STUDY_FIGURES["fig04a_graft"](less)
    with pytest.raises(MissingRunsError, match="grafts/ciwl-only-"):
        STUDY_FIGURES["fig04b_graft_window"](less)
