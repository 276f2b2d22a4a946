"""Rules of chapters 2 and 3 on curves that cannot tell, or tell otherwise."""

import math

import numpy as np
import pandas as pd
import pytest

from analyses.chapters_2_and_3.curves import in_order, less, shapes
from analyses.data_properties import (
    fig2_2_burstiness,
    fig2_3_variation,
    fig2_4_labels,
    fig2_5_classes,
    fig2_7_architectures,
    figA_1_training_classes,
    figA_2_architectures_iwl,
)
from analyses.transience_at_scale import (
    fig3_2_transience,
    fig3_3_depth,
    fig3_4_drawings,
    fig3_5_sizes,
    fig3_6_figB_1_figB_2_tokens,
    fig3_8_l2,
    fig3_10_l2_parts,
    figB_3_large_l2,
    figB_4_total_loss,
)
from analyses.transience_at_scale.beside_default import beside_default
from analyses.transience_at_scale.runs import PARTS
from coopetition_interp.reporting.packed_index import StudyError

SEEDS = (5, 6, 7)
SEEN = np.arange(0, 1_000_001, 20_000)
CHANCE = [0.5, 0.5]
FADES = [0.5, 0.9, 0.6]
RISES = [0.5, 0.5, 0.5, 0.5, 0.5, 0.9]
STAYS = [0.5, 0.9, 0.9]


def run(icl, iwl=(0.0, 0.3), **about):
    """Metrics of a run whose curves go through these values at equal distances."""
    tables = []
    for name, corners in {"icl": icl, "held_out_icl": icl, "iwl": iwl, "train": (3, 1)}.items():
        curve = np.interp(SEEN, np.linspace(0, 1e6, len(corners)), corners)
        table = {"sequences_seen": SEEN, "evaluator": name, "accuracy": curve}
        in_context = curve if name.endswith("icl") else np.nan
        tables.append(pd.DataFrame({**table, "in_context_accuracy": in_context, **about}))
    return pd.concat(tables)


def runs(of_seed, seeds=SEEDS):
    """One under the other what `of_seed` gives for each seed: a list of runs."""
    return pd.concat([one for seed in seeds for one in of_seed(seed)], ignore_index=True)


def by_statement(module, tables):
    return {rule.statement: rule for rule in module.rules(tables)}


@pytest.mark.parametrize("curve", [CHANCE, RISES])
@pytest.mark.parametrize("module", [fig3_2_transience, fig3_3_depth, fig3_4_drawings])
def test_what_did_not_emerge_or_still_rises_is_not_contradicted(module, curve):
    def of_seed(seed):
        about = {"init_seed": seed, "role": "default", "training_loss": 1.0}
        return [
            run(curve if n == 3 else FADES, **about, n_layers=n, n_exemplars=n)
            for n in ((3,) if module is fig3_2_transience else (3, 5))
        ]

    curves = runs(of_seed)
    by = "n_layers" if module is fig3_3_depth else "n_exemplars"
    found = by_statement(module, {"": curves, "icl": shapes(curves, by)})
    (rule,) = (found[statement] for statement in found if "transient" in statement)
    assert rule.holds == dict.fromkeys(SEEDS)
    assert rule.verdict() == "undecided"


def test_burstiness_that_brings_nothing_does_not_say_that_nothing_is_lost():
    def rule(of_half):
        curves = runs(lambda seed: [run(of_half, init_seed=seed, p_bursty=p) for p in (0.5, 0.9)])
        icl = shapes(curves, "p_bursty", "held_out_icl")
        found = by_statement(fig2_2_burstiness, {"icl": icl, "iwl": icl})
        return found["ICL is lost again at some p(bursty) below 1"].verdict()

    assert rule(CHANCE) == rule(RISES) == "undecided"
    assert rule(STAYS) == "contradicted"
    assert rule(FADES) == "reproduced"


def test_variation_that_brings_nothing_has_no_least_noise():
    def rule(curve):
        curves = runs(
            lambda seed: [
                run(curve(p, noise), init_seed=seed, p_bursty=p, noise=noise)
                for p in (0.5, 1.0)
                for noise in (0.0, 0.4)
            ]
        )
        icl = shapes(curves, ["p_bursty", "noise"], "held_out_icl")
        found = by_statement(fig2_3_variation, {"icl": icl, "iwl": icl})
        return found["the least noise with ICL falls as p(bursty) rises"].verdict()

    assert rule(lambda p, noise: CHANCE) == "undecided"
    assert rule(lambda p, noise: STAYS if p == 0.5 else CHANCE) == "contradicted"
    assert rule(lambda p, noise: STAYS if p == 1 else CHANCE) == "reproduced"


def test_one_number_of_classes_is_in_no_order():
    assert in_order([0.3]) is None
    assert in_order([0.3, 0.5]) is True
    assert in_order([0.3, 0.3]) is False
    curves = runs(lambda seed: [run(STAYS, init_seed=seed, n_classes=100)])
    shape = shapes(curves, "n_classes")
    found = by_statement(fig2_5_classes, {"": curves, "icl": shape, "iwl": shape})
    rises, falls, matched = list(fig2_5_classes.PUBLISHED)[1:]
    assert found[rises].holds == found[falls].holds == dict.fromkeys(SEEDS)
    assert all(math.isnan(value) for value in found[matched].values.values())


def architectures(lstm, lacking=()):
    """Two draws of each architecture; those in `lacking` are rows without metrics."""
    found = []
    for kind, top in {"transformer": 0.9, "rnn": 0.5, "lstm": lstm}.items():
        for draw in (0, 1):
            about = {"kind": kind, "draw": draw, "depth": 2, "init_seed": 100 * draw}
            height = top if draw else 0.5
            one = run([0.5, height, height], (0, height - 0.4), **about)
            found.append(pd.DataFrame([about]) if (kind, draw) in lacking else one)
    return pd.concat(found, ignore_index=True)


@pytest.mark.parametrize(
    ("lstm", "lacking", "verdict"),
    [
        (0.5, [], None),
        (0.57, [], None),
        (0.67, [], False),
        (0.5, [("rnn", 1)], None),
        (0.67, [("rnn", 1)], False),
        (0.5, [("rnn", 0), ("rnn", 1)], None),
        (0.67, [("rnn", 0), ("rnn", 1)], False),
    ],
)
def test_the_best_draw_decides_and_is_told(lstm, lacking, verdict):
    curves = architectures(lstm, lacking)
    none_learns, some_learn = fig2_7_architectures.rules({"": curves})
    decided = verdict if lacking or lstm > 0.5 else True
    assert set(none_learns.holds.values()) == {decided}
    assert none_learns.found == f"{lstm:.3f} at the highest"
    assert some_learn.found == "0.900"
    (iwl,) = figA_2_architectures_iwl.rules({"": curves})
    assert "draws" not in iwl.found
    assert set(iwl.holds.values()) == ({None} if lacking else {True})


def test_one_seed_without_icl_at_one_depth_says_nothing_of_the_others():
    def of_seed(seed):
        sign = 1 if seed % 2 else -1
        tops = {2: 0.8 + 0.02 * sign, 3: 0.8}
        if seed == 8:
            tops[3] = 0.5  # does not emerge
        return [run([0.5, top, top - 0.2], init_seed=seed, n_layers=n) for n, top in tops.items()]

    icl = shapes(runs(of_seed, (*SEEDS, 8)), "n_layers")
    found = by_statement(fig3_3_depth, {"icl": icl})
    assert found["no trend of ICL's height with depth"].holds == {
        5: True,
        6: True,
        7: True,
        8: None,
    }


def test_the_larger_of_a_number_and_nothing_is_nothing():
    def of_seed(seed):
        tops = {"default": 0.8, "as drawings": 0.5, "as classes": 0.95}
        return [
            run([0.5, top, 0.5], init_seed=seed, transforms=kind, n_classes=40)
            for kind, top in tops.items()
        ]

    curves = runs(of_seed)
    rule = fig3_5_sizes.rules({"": curves, "icl": shapes(curves, "transforms")})[1]
    assert all(math.isnan(value) for value in rule.values.values())


def test_a_seed_that_one_of_two_lacks_has_no_difference():
    assert less({5: 1.0, 6: 2.0}, {5: 0.5})[5] == 0.5
    assert math.isnan(less({5: 1.0, 6: 2.0}, {5: 0.5})[6])


@pytest.mark.parametrize(
    ("iwl", "share"),
    [
        ([0, 0.3, 0.2], 0.33),
        ([0, 0.05, 0.1, 0.15, 0.2, 0.3], math.nan),
        ([0, 0, 0, 0, 0, 0.3], math.nan),
        ([0, 0.004, 0.0], math.nan),
        ([0, 0.02, 0.017], math.nan),
        ([0, 0.5, 0.49], 0.0),
    ],
)
def test_iwl_is_transient_if_it_falls_after_a_peak_beyond_noise(iwl, share):
    curves = runs(lambda seed: [run(STAYS, iwl, init_seed=seed, weight=w) for w in (0.0, 1e-4)])
    tables = {"icl": shapes(curves, "weight"), "iwl": shapes(curves, "weight", "iwl")}
    found = fig3_8_l2.rules(tables)[1].values
    assert list(found.values()) == pytest.approx([share] * 3, abs=0.04, nan_ok=True)


def test_a_penalty_has_nothing_to_keep_where_nothing_falls():
    curves = runs(lambda seed: [run(STAYS, init_seed=seed, weight=w) for w in (0.0, 1e-4)])
    tables = {"icl": shapes(curves, "weight"), "iwl": shapes(curves, "weight", "iwl")}
    assert all(math.isnan(value) for value in fig3_8_l2.rules(tables)[0].values.values())
    curves = runs(lambda seed: [run(STAYS, init_seed=seed, part=p) for p in ("nothing", *PARTS)])
    found = fig3_10_l2_parts.rules({"icl": shapes(curves, "part")})
    assert all(math.isnan(value) for rule in found for value in rule.values.values())


def test_a_large_penalty_keeps_nothing_off_that_does_not_come_without_it():
    curves = runs(lambda seed: [run(CHANCE, (0, 0), init_seed=seed, weight=w) for w in (0.0, 1e-2)])
    tables = {"icl": shapes(curves, "weight"), "iwl": shapes(curves, "weight", "iwl")}
    fades, none = figB_3_large_l2.rules(tables)
    assert fades.holds == dict.fromkeys(SEEDS)
    assert all(math.isnan(value) for value in none.values.values())


@pytest.mark.parametrize("module", [fig3_3_depth, fig3_4_drawings])
def test_a_default_run_that_peaks_after_the_others_end_has_not_shown_that_it_stays(module):
    role, column = ("depth", "n_layers") if module is fig3_3_depth else ("drawings", "n_exemplars")
    slow = np.interp(SEEN, [0, 2e5, 4e5, 9e5, 1e6], [0.5, 0.8, 0.9, 0.92, 0.6])
    default = runs(lambda seed: [run(FADES, init_seed=seed, role="default", training_loss=1.0)])
    default.loc[default["evaluator"] == "icl", "in_context_accuracy"] = np.tile(slow, len(SEEDS))
    varied = runs(lambda seed: [run(FADES, init_seed=seed, role=role, **{column: 3})])
    varied["sequences_seen"] *= 0.5
    both = OneRole(pd.concat([default, varied]))
    curves = beside_default(both, role, {column: 2})
    assert curves["sequences_seen"].max() == 500_000
    icl = shapes(curves, column)
    of_default = icl[icl[column] == 2]
    assert of_default["rising"].all()
    assert of_default["transient"].isna().all()
    found = by_statement(module, {"icl": icl})
    (rule,) = (found[statement] for statement in found if "transient" in statement)
    assert rule.verdict() == "undecided"


def test_a_curve_that_is_cut_before_its_peak_is_rising():
    curves = runs(lambda seed: [run([0.5, 0.6, 0.9, 0.7], init_seed=seed, role="default")])
    for until, rising in ((400_000, True), (900_000, False), (2_000_000, False), (None, False)):
        icl = shapes(curves, "role", until=until)
        assert (icl["rising"] == rising).all()
        assert (icl["last"] == min(until or 1e6, 1e6)).all()


def test_where_no_run_of_a_panel_is_finished_its_shapes_are_missing():
    about = [{"init_seed": seed, "d_model": width} for seed in SEEDS for width in (32, 64)]
    unfinished = pd.DataFrame(about).assign(evaluator=np.nan, sequences_seen=np.nan)
    found = shapes(unfinished, "d_model")
    assert not found["finished"].any()
    assert found[["height", "rising", "transient"]].isna().all(axis=None)
    assert len(shapes(unfinished[:0], "d_model")) == 0


def test_a_curve_that_still_rises_under_a_large_penalty_has_not_faded():
    curves = runs(lambda seed: [run(RISES, init_seed=seed, weight=w) for w in (0.0, 1e-2)])
    tables = {"icl": shapes(curves, "weight"), "iwl": shapes(curves, "weight", "iwl")}
    assert figB_3_large_l2.rules(tables)[0].holds == dict.fromkeys(SEEDS)


def test_seeds_of_token_runs_are_initialisations_and_sizes_are_judged_apart():
    def of_seed(seed):
        return [
            run(
                CHANCE if seed == 8 else FADES if size == 5 or clustering == 4 else STAYS,
                init_seed=0,
                initialisation=seed,
                n_exemplars=size,
                clustering=clustering,
            ).assign(init_seed=100 * seed + clustering)
            for size in (5, 10)
            for clustering in (4, 5)
        ]

    icl = shapes(runs(of_seed, (*SEEDS, 8)), ["n_exemplars", "initialisation"])
    default = shapes(
        runs(lambda s: [run([0.5, 0.97, 0.97], init_seed=s, role="d")], (*SEEDS, 8)), "role"
    )
    found = fig3_6_figB_1_figB_2_tokens.rules({"icl": icl, "default": default})
    told = {(rule.claim, rule.statement[:20]): rule for rule in found}
    assert told["Figure 3.6", "ICL is transient whe"].holds == dict.fromkeys(SEEDS, True)
    assert told["Figure B.2", "ICL is transient whe"].holds == dict.fromkeys(SEEDS, False)
    heights = told["Figure 3.6", "ICL's height less th"].values
    assert heights == pytest.approx(dict.fromkeys(SEEDS, -0.07), abs=0.02)
    one_size = fig3_6_figB_1_figB_2_tokens.rules(
        {"icl": icl[icl["n_exemplars"] == 10], "default": default}
    )
    assert {rule.claim for rule in one_size} == {"Figure B.2"}
    nowhere = fig3_6_figB_1_figB_2_tokens.rules(
        {"icl": icl[icl["initialisation"] == 8], "default": default}
    )
    assert [rule.holds for rule in nowhere if rule.claim == "Figure B.1"] == [{8: None}]
    without = told["Figure B.1", "ICL emerges in no se"]
    assert (without.verdict(), without.found) == ("reproduced", "from 1 of 4 initialisations")


class OneRole:
    """A study whose runs of any role are these."""

    def __init__(self, curves):
        self.of_role = curves

    def curves(self, role, **about):
        rows = self.of_role[self.of_role["role"] == role]
        return rows.dropna(axis=1, how="all").reset_index(drop=True)

    def planned(self):
        return iter(())


def test_what_is_not_measured_is_not_replaced_by_something_else():
    labels = pd.concat([run(STAYS, init_seed=5, role="labels", n_labels=n) for n in (1, 4)])
    with pytest.raises(StudyError, match="--column class_accuracy"):
        fig2_4_labels.table(OneRole(labels))
    penalised = run(STAYS, init_seed=5, role="l2", weight=1e-3, training_loss=1.0)
    default = run(STAYS, init_seed=5, role="default", training_loss=1.0)
    with pytest.raises(StudyError, match="--column l2_penalty"):
        figB_4_total_loss.table(OneRole(pd.concat([penalised, default])))


def test_training_classes_are_compared_in_both_figures_runs():
    one = runs(lambda s: [run(STAYS, init_seed=s, p_bursty=1.0, noise=n) for n in (0.0, 0.4)])
    one.loc[one["evaluator"] == "icl", "in_context_accuracy"] += 0.1
    every = runs(lambda s: [run(STAYS, init_seed=s, p_bursty=1.0)])
    found = figA_1_training_classes.rules({"": every, "one_drawing": one})
    assert [rule.interval.mean for rule in found] == pytest.approx([0, 0, 0.1, 0.1])
