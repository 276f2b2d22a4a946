"""Figures of the coopetition study: all are drawn, and every claim about curves can fail."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
from small_coopetition import (
    ABLATED,
    BURSTY,
    CHANCE,
    NO_ICL,
    SEEDS,
    Corners,
    Curves,
    changed,
    curves_of,
    icl_only,
    in_every_seed,
    packed_small_coopetition,
    resumed,
)

from coopetition_interp.figures.coopetition import claims
from coopetition_interp.figures.coopetition.all_figures import STUDY_FIGURES
from coopetition_interp.studies.contents import COOPETITION
from coopetition_interp.studies.coopetition_layers import WEIGHT_SWAPS

OF_CURVES = (
    "fig01b_transience",
    "fig04a_graft",
    "fig04b_graft_window",
    "fig04c_resumed",
    "fig05b_divot",
    "fig06_matched",
    "fig07_seeds",
    "fig08_positions",
    "fig09_sizes",
    "fig10_mlps",
    "fig18a_previous_token_blocked",
    "fig18b_icl_heads_ablated",
)
"""Figures whose claims are about metrics alone."""

OF_SINGLE_RUNS = ("fig07_seeds", "fig08_positions", "fig09_sizes", "fig10_mlps", "fig11_long_run")
"""Figures each of whose runs the sweep does once: their claims have no interval."""

OVER_SEEDS = [name for name in STUDY_FIGURES if name not in OF_SINGLE_RUNS]

ALSO_OF_ONE_SEED = (
    "fig01b_transience",
    "sec4_composition",
    "fig03_weight_swaps",
    "fig04b_graft_window",
    "fig05b_divot",
    "fig13_one_layer",
    "fig15_superposition",
    "fig18b_icl_heads_ablated",
)
"""Figures drawn of one seed, too: of curves and tables, and what is peculiar."""

NEVER: Corners = ((0, 0.5), (8, 0.07))
"""Flip where in-context learning never dominates."""


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return packed_small_coopetition(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def drawn(packed):
    """Draws a figure of the study, once."""
    return cache(lambda name: STUDY_FIGURES[name](packed))


@pytest.fixture(scope="module")
def one_seed(packed, tmp_path_factory):
    """The study before the other seeds' runs are done."""
    tables = {}
    for table in COOPETITION.tables:
        whole = packed.table(table)
        if "seed" in whole:
            tables[table] = whole[whole["seed"] == SEEDS[0]]
    folder = tmp_path_factory.mktemp("one-seed") / "study"
    return changed(packed, folder, tables=tables, without="seeds/")


def check_of(note, rule):
    """Whether the check whose rule holds this text holds, as the note tells it."""
    (told,) = [check for check in re.split(r"; |hold\. ", note) if rule in check]
    return re.search(r": (yes|NO)\b", told).group(1)


# Drawing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STUDY_FIGURES)
def test_a_figure_is_drawn_with_its_claim_numbers_and_verdict(name, drawn):
    made = drawn(name)
    entry = made.entry
    assert len(entry.figure.data) > 0
    for trace in entry.figure.data:
        assert len(trace.x) == len(trace.y) > 0, trace.name
    assert len(entry.claim) > 40
    assert len(entry.numbers) > 0
    assert not entry.numbers["ours"].str.contains("nan").any()
    for table in made.tables.values():
        assert len(table) > 0
    if name == "fig11_long_run":
        assert entry.verdict == "not testable at this scale"
    else:
        assert entry.note.startswith("Reproduced if all of these hold. ")
        assert entry.verdict == ("differs" if ": NO" in entry.note else "reproduced")


def test_titles_are_all_different(drawn):
    titles = [drawn(name).entry.title for name in STUDY_FIGURES]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", OVER_SEEDS)
def test_a_claim_over_seeds_carries_its_interval(name, drawn, one_seed):
    def told(entry):
        return " ".join([entry.note, *entry.numbers["ours"]])

    whole = told(drawn(name).entry)
    if name == "fig05b_divot":  # a share of seeds, not a mean over them
        assert "in 3 of 3 (95% interval" in whole
    else:
        assert re.search(r"95% interval \S+ to \S+, 3 seeds", whole)
    if name not in ALSO_OF_ONE_SEED:
        return
    alone = told(STUDY_FIGURES[name](one_seed).entry)
    assert "3 seeds" not in alone
    assert ("in 1 of 1 (95% interval" if name == "fig05b_divot" else "one seed") in alone


@pytest.mark.parametrize("name", OF_CURVES)
def test_curves_like_the_papers_reproduce_its_claims(name, drawn):
    entry = drawn(name).entry
    assert entry.verdict == "reproduced", entry.note


def test_a_missing_figure_of_single_runs_says_which_runs(packed, tmp_path):
    less = changed(packed, tmp_path / "less", without="mlps/")
    with pytest.raises(RuntimeError, match="mlps/12800x20, mlps/12800x5, mlps/1600x20, mlps/1600x"):
        STUDY_FIGURES["fig10_mlps"](less)


# Claims can fail ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Spoiling:
    """Some runs lack what a figure claims of them.

    Attributes:
        figure: Whose claims they are.
        rules: Parts of the rules that then fail.
        runs: Names of the runs, with what becomes of their curves.
    """

    figure: str
    rules: tuple[str, ...]
    runs: dict[str, Callable[[Curves], Curves]]


def of_all(names, change):
    """The same change in some runs."""
    return dict.fromkeys(names, change)


def grafts_from(moment):
    return in_every_seed(f"grafts/ciwl-only-{moment}M")


def resumed_from(moment):
    return in_every_seed(f"resumed/ciwl-only-{moment}M")


MAINS = in_every_seed("main")
LATE_DIVOT: Corners = ((0, 4.2), (10.5, 1.0), (11.2, 1.2), (12, 0.9), (20, 0.2))

SPOILINGS = [
    Spoiling(
        "fig01b_transience",
        ("Flip's peak is", "ICL itself fades", "CIWL's accuracy"),
        of_all(MAINS, lambda c: c.but(flip=NEVER, icl=((3, 0.5), (8, 0.89)), ciwl=CHANCE)),
    ),
    Spoiling(
        "fig01b_transience",
        ("Flip's fall from its peak",),
        of_all(MAINS, lambda c: c.but(flip=((3, 0.5), (4.3, 0.71)))),
    ),
    # One seed of three that goes another way is enough to widen the interval.
    Spoiling(
        "fig01b_transience", ("Flip's peak is",), {"seeds/init-7/main": lambda c: c.but(flip=NEVER)}
    ),
    Spoiling(
        "fig04a_graft",
        ("at the end with the graft",),
        of_all(in_every_seed("grafts/main-end"), lambda c: icl_only(0.5)),
    ),
    Spoiling(
        "fig04a_graft",
        ("doublings",),
        of_all(in_every_seed("icl_only"), lambda c: icl_only(0.99)),
    ),
    Spoiling(
        "fig04b_graft_window",
        ("from the best checkpoint",),
        of_all([*grafts_from("0.0064"), *grafts_from("0.0032")], lambda c: icl_only(0.6)),
    ),
    Spoiling(
        "fig04b_graft_window",
        ("opens", "closes"),
        of_all([*grafts_from("0.0016"), *grafts_from("0.016")], lambda c: icl_only(0.97)),
    ),
    Spoiling(
        "fig04c_resumed",
        ("the earliest", "the latest", "after a checkpoint"),
        of_all(resumed_from("0.0016"), lambda c: resumed(0.45))
        | of_all(resumed_from("0.0064"), lambda c: resumed(0.6)),
    ),
    Spoiling(
        "fig05b_divot",
        ("a divot in every seed",),
        {"seeds/init-6/main": lambda c: c.but(ciwl_loss=NO_ICL.ciwl_loss)},
    ),
    Spoiling("fig05b_divot", ("it coincides",), {"main": lambda c: c.but(ciwl_loss=LATE_DIVOT)}),
    Spoiling(
        "fig06_matched",
        ("ICL dominates at the end", "does not fade"),
        of_all(in_every_seed("matched"), lambda c: c.but(flip=BURSTY.flip)),
    ),
    Spoiling(
        "fig06_matched",
        ("does not fade",),
        of_all(in_every_seed("matched"), lambda c: c.but(flip=((3, 0.5), (5, 0.95), (14, 0.8)))),
    ),
    Spoiling(
        "fig07_seeds",
        ("in every run", "data's seed"),
        {
            "seeds/init-7/main": lambda c: c.but(flip=NEVER),
            "seeds/data-4/main": lambda c: c.but(slower=1.4),
        },
    ),
    Spoiling(
        "fig08_positions",
        ("learned", "rotary", "sinusoidal"),
        {
            "main": lambda c: c.but(flip=NEVER),
            "rotary": lambda c: BURSTY,
            "sinusoidal": lambda c: BURSTY,
        },
    ),
    Spoiling(
        "fig09_sizes",
        ("12800 classes x 5", "1600 classes", "ICL stays under 0.6"),
        {
            "sizes/12800x5": lambda c: NO_ICL,
            "sizes/1600x20": lambda c: BURSTY,
            "sizes/1600x5": lambda c: c.but(icl=BURSTY.icl),
        },
    ),
    Spoiling(
        "fig10_mlps",
        ("12800 x 20", "12800 x 5", "more IWL"),
        {
            "mlps/12800x20": lambda c: NO_ICL,
            "mlps/12800x5": lambda c: BURSTY,
            "mlps/1600x5": lambda c: c.but(iwl=((0, 0.0), (16, 0.05))),
        },
    ),
    Spoiling(
        "fig18a_previous_token_blocked",
        ("highest ICL accuracy", "highest Flip", "CIWL lost"),
        of_all(
            in_every_seed("previous-token-blocked"),
            lambda c: c.but(icl=BURSTY.icl, flip=BURSTY.flip, ciwl=CHANCE),
        ),
    ),
    Spoiling(
        "fig18b_icl_heads_ablated",
        ("Flip's highest point",),
        of_all(
            in_every_seed("previous-token-heads-ablated"),
            lambda c: c.but(flip=((0, 0.45), (8, 0.07))),
        ),
    ),
    Spoiling(
        "fig18b_icl_heads_ablated",
        ("Flip at the end",),
        of_all(
            in_every_seed("previous-token-heads-ablated"),
            lambda c: c.but(flip=((0, 0.45), (8, 0.9))),
        ),
    ),
    Spoiling(
        "fig18b_icl_heads_ablated",
        ("delay of ICL's rise",),
        of_all(in_every_seed("previous-token-heads-ablated"), lambda c: c.but(slower=c.slower / 2)),
    ),
    Spoiling(
        "fig13_one_layer",
        ("CIWL at the end", "highest ICL accuracy"),
        of_all(in_every_seed("one-layer"), lambda c: c.but(icl=BURSTY.icl, ciwl=CHANCE)),
    ),
]


@pytest.mark.parametrize(
    "spoiling", [pytest.param(each, id=f"{each.figure}-{each.rules[0]}") for each in SPOILINGS]
)
def test_claims_fail_where_their_effect_is_absent(spoiling, packed, drawn, tmp_path):
    for rule in spoiling.rules:
        assert check_of(drawn(spoiling.figure).entry.note, rule) == "yes"
    there = [name for name in spoiling.runs if name in packed.runs]  # other seeds have fewer
    assert there
    curves = {name: spoiling.runs[name](curves_of(name)) for name in there}
    entry = STUDY_FIGURES[spoiling.figure](changed(packed, tmp_path / "study", curves)).entry
    for rule in spoiling.rules:
        assert check_of(entry.note, rule) == "NO"
    assert entry.verdict == "differs"


def test_every_check_of_a_claim_about_curves_is_spoilt_above(drawn):
    for name in OF_CURVES:
        checks = re.findall(r"(?:; |hold\. )([^;]*?): yes", drawn(name).entry.note)
        rules = [rule for each in SPOILINGS if each.figure == name for rule in each.rules]
        assert len(checks) > 0
        for check in checks:
            assert any(rule in check for rule in rules), (name, check)


# What figures say of special cases ----------------------------------------------------------


def test_without_any_in_context_learning_layers_differ_and_are_drawn(packed, tmp_path):
    flat = {name: curves_of(name).but(flip=NEVER) for name in MAINS}
    swaps = packed.table(WEIGHT_SWAPS)
    study = changed(
        packed, tmp_path / "study", flat, {WEIGHT_SWAPS: swaps[swaps["moment"] == "end"]}
    )
    for name in ("fig03_weight_swaps", "fig14_label_attention"):
        made = STUDY_FIGURES[name](study)
        assert made.entry.verdict == "differs"
        assert claims.NO_SEED in made.entry.note
        assert len(made.entry.figure.data) > 0


def test_flip_that_never_falls_has_no_fall_to_prevent(packed, tmp_path):
    """However little Flip moves with layer 0 fixed, a rise is no fall that this prevents."""
    rising = {name: curves_of(name).but(flip=((3, 0.5), (4.3, 0.71), (16, 0.9))) for name in MAINS}
    entry = STUDY_FIGURES["fig03_weight_swaps"](changed(packed, tmp_path / "study", rising)).entry
    assert check_of(entry.note, "c) Flip's fall") == "NO"


def test_the_long_run_is_judged_where_it_is_there(packed, tmp_path):
    saturated = NO_ICL.but(ciwl=((0, 0.0), (20, 0.9948)))
    study = changed(packed, tmp_path / "long", {"long": saturated})
    entry = STUDY_FIGURES["fig11_long_run"](study).entry
    assert (entry.verdict, entry.run) == ("reproduced", "long")
    for name, curves in {
        "iwl": saturated.but(iwl=((0, 0.0), (10, 0.2))),
        "ciwl": saturated.but(ciwl=((0, 0.5), (20, 0.9))),
    }.items():
        spoilt = changed(packed, tmp_path / name, {"long": curves})
        assert STUDY_FIGURES["fig11_long_run"](spoilt).entry.verdict == "differs"


def test_numbers_of_a_checkpoint_are_of_the_seeds_that_have_it(drawn):
    numbers = drawn("fig04b_graft_window").entry.numbers.set_index("quantity")
    of_moment = numbers["ours"].filter(like="from the checkpoint at")
    assert [len(text.split(", ")) for text in of_moment] == [3, 1, 3, 3]
    window = numbers.loc["checkpoints that let ICL form", "ours"]
    assert window == "0.0032M to 0.0064M of 0.0016M to 0.016M"


def test_the_ablated_heads_are_told(drawn):
    numbers = drawn("fig18b_icl_heads_ablated").entry.numbers.set_index("quantity")
    told = ", ".join(map(str, ABLATED))
    for seed in SEEDS:
        assert numbers.loc[f"heads ablated, seed {seed}", "ours"] == told


def test_iwl_is_drawn_by_its_accuracy_over_all_labels(drawn):
    figure = drawn("fig10_mlps").entry.figure
    ends = [trace.y[-1] for trace in figure.data if trace.name == "IWL"]
    assert ends == pytest.approx([0.0008, 0.0008, 0.0008, 0.4])
