"""The coopetition figures' rules on runs that are missing, too short or otherwise untold."""

import importlib
import math

import pandas as pd
import pytest
from made_up_study import BURSTY, CHANCE, LEARNS, NO_ICL, made_up_metrics

LENGTH = 32_000


def figure(name):
    return importlib.import_module(f"analyses.coopetition.{name}")


def runs(*curves, n_sequences=LENGTH, **about):
    """Metrics of one run for each of the curves, from seeds 5, 6, ..."""
    tables = [
        made_up_metrics(each, n_sequences).assign(init_seed=seed, data_seed=2, **about)
        for seed, each in enumerate(curves, start=5)
    ]
    return pd.concat(tables, ignore_index=True)


def by_statement(rules):
    return {rule.statement: rule for rule in rules}


def test_a_run_that_never_learns_tells_only_if_it_is_long_enough():
    rules = figure("fig04a_graft").rules
    tables = {"with_graft": runs(LEARNS), "main": runs(BURSTY)}
    statement = "times sooner with the graft than from scratch"
    long = {**tables, "from_scratch": runs(NO_ICL)}
    short = {**tables, "from_scratch": runs(NO_ICL, n_sequences=5_000)}
    assert by_statement(rules(long))[statement].values[5] > 3
    assert math.isnan(by_statement(rules(short))[statement].values[5])
    quick = {**tables, "from_scratch": runs(LEARNS), "with_graft": runs(NO_ICL)}
    neither = {**long, "with_graft": runs(NO_ICL)}
    assert by_statement(rules(quick))[statement].values[5] < 3
    assert math.isnan(by_statement(rules(neither))[statement].values[5])


@pytest.mark.parametrize("missing", [1_000, 3_000, 0])
def test_a_graft_that_is_missing_tells_nothing_of_its_moment(missing):
    rules = figure("fig04b_graft_window").rules
    moments = {0: NO_ICL, 1_000: NO_ICL, 2_000: LEARNS, 3_000: NO_ICL}
    whole = pd.concat([runs(c, c, moment=moment) for moment, c in moments.items()])
    assert all(rule.holds == {5: True, 6: True} for rule in rules({"": whole}))
    gone = (whole["moment"] == missing) & (whole["init_seed"] == 6)
    holds = [rule.holds for rule in rules({"": whole[~gone]})]
    assert sum(of_seed[6] is None for of_seed in holds) == 1
    assert all(of_seed[5] for of_seed in holds)


def test_a_seed_without_the_latest_resumed_run_has_no_number_for_it():
    rules = figure("fig04c_resumed").rules
    early, late = runs(BURSTY, BURSTY, moment=1_000), runs(NO_ICL, moment=9_000)
    first, last = rules({"": pd.concat([early, late])})
    assert set(first.values) == set(last.values) == {5, 6}
    assert math.isnan(last.values[6])


def test_seeds_are_judged_by_the_rules_of_figure_1b():
    rules = figure("fig07_seeds").rules
    with_iwl = {**BURSTY, "iwl": ((0, 0.3),)}
    initialised, drawn, _ = rules({"": runs(BURSTY, with_iwl, BURSTY)})
    assert initialised.holds == {5: True, 6: False, 7: True}
    assert drawn.verdict() == drawn.verdict(single_run=True) == "undecided"


def test_a_main_run_too_short_for_its_end_tells_neither_way():
    rules = figure("fig07_seeds").rules
    assert rules({"": runs(BURSTY, n_sequences=9_000)})[0].holds == {5: None}
    never = {**BURSTY, "flip": CHANCE}
    assert rules({"": runs(never)})[0].holds == {5: False}


def test_other_data_are_judged_beside_the_first():
    rules = figure("fig07_seeds").rules
    other = runs(BURSTY).assign(data_seed=3)
    _, drawn, spread = rules({"": pd.concat([runs(BURSTY), other])})
    assert drawn.holds == {2: True, 3: True}
    assert spread.holds == {0: True, 1: True}
    half = other[other["sequences_seen"] < 5_000]
    assert rules({"": pd.concat([runs(BURSTY), half])})[2].holds == {0: None, 1: None}


def test_an_ablated_run_may_be_too_short_to_cross():
    rules = figure("fig18b_icl_heads_ablated").rules
    stays = {**BURSTY, "flip": ((3, 0.5), (5, 0.7))}
    main = runs(BURSTY)
    for length, crosses in ((12_000, None), (LENGTH, False)):
        ablated = runs(stays, n_sequences=length)
        found = by_statement(rules({"ablated": ablated, "main": main}))
        assert found["Flip crosses 0.5"].holds == {5: crosses}


def test_without_clamped_runs_the_control_is_undecided():
    rules = figure("fig08_positions").rules
    plain = pd.concat(
        [
            runs(NO_ICL, NO_ICL, NO_ICL, positions=positions, clamped=False)
            for positions in ("rotary", "sinusoidal")
        ]
    )
    verdicts = [rule.verdict() for rule in rules({"": plain})]
    assert verdicts == ["reproduced", "reproduced", "undecided", "undecided"]


def test_noise_is_no_resurgence_of_the_smoothed_curve():
    fig10 = figure("fig10_mlps")
    noisy = runs(BURSTY, n_classes=12_800, n_exemplars=20)
    icl = noisy["evaluator"] == "icl"
    late = icl & (noisy["sequences_seen"] > 20_000)
    noisy.loc[late, "in_context_accuracy"] += 0.06 * (noisy[late].index % 2)
    again = {**BURSTY, "icl": ((3, 0.5), (8, 0.89), (14, 0.6), (24, 0.8))}
    back = runs(again, n_classes=12_800, n_exemplars=5)
    found = {row.statement: row.found for row in fig10.beside({"": pd.concat([noisy, back])})}
    assert list(found.values()) == ["in 1 of 1 seeds", "in 0 of 1 seeds"]


def test_a_run_with_mlps_that_ends_before_its_fall_tells_neither_way():
    full, five = {"n_classes": 12_800, "n_exemplars": 20}, {"n_classes": 12_800, "n_exemplars": 5}

    def found(curves, n_sequences=LENGTH):
        tables = [runs(curves, n_sequences=n_sequences, **size) for size in (full, five)]
        rules = by_statement(figure("fig10_mlps").rules({"": pd.concat(tables)}))
        names = ("transient at 12,800 x 20", "resurgent at 12,800 x 5")
        return tuple(rules[name].holds[5] for name in names)

    comes_back = {**BURSTY, "icl": ((3, 0.5), (8, 0.89), (14, 0.6), (24, 0.8))}
    assert found(comes_back) == (True, True)
    assert found(BURSTY) == (True, False)
    assert found(LEARNS) == (None, None)
    assert found(BURSTY, n_sequences=6_000) == (None, None)
    assert found(NO_ICL) == (False, False)


def swapped(fixed, difference, seen):
    rows = [
        {
            "init_seed": 5,
            "sequences_seen": at,
            "evaluator": evaluator,
            "in_context_accuracy": at / 100 + difference,
            "fixed": fixed,
            "moment": "end" if fixed == "second half" else "",
            "rise": 20.0,
            "end_state": "end",
        }
        for at in seen
        for evaluator in ("flip", "icl")
    ]
    return pd.DataFrame(rows)


def test_a_swap_is_compared_with_the_run_between_its_checkpoints():
    fig03 = figure("fig03_weight_swaps")
    itself = swapped("nothing", 0.0, range(0, 101, 10))
    null = swapped("second half", 0.25, range(5, 100, 20))
    assert fig03._null({"": itself, "null": null}) == {5: pytest.approx(0.25)}
    assert math.isnan(fig03._null({"": itself})[5])


def test_an_end_that_did_not_come_is_no_number():
    at_end = figure("at_end")
    table = pd.DataFrame(
        {"init_seed": [5, 6, 7], "end_state": ["end", "too short", "no crossing"], "value": 1.0}
    )
    numbers = at_end.by_seed_at_end(table, lambda rows: rows["value"].iloc[0])
    assert numbers[5] == 1.0
    assert math.isnan(numbers[6])
    assert math.isnan(numbers[7])
