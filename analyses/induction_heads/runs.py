"""Every run of the induction-head study (thesis, chapter 4), as data.

    coopetition-interp sweep analyses/induction_heads/runs.py --out runs/induction-heads

Everything is trained from five initialisations. Which head is the strongest, and which are
previous-token heads, is measured on the main run of the same one; the runs that hold those heads
wait for it. Each run says what it is (`about`): its role, the seeds, and

    role            more            what is trained
    main                            all heads (4.3, 4.4, tables)
    single_head     head            only that head of layer 1 (4.5b, C.6)
    clamped         steps           only the strongest head, with steps of its circuit held (4.6b)
    pair            rank            the strongest head and the one of that rank (C.2)
    graft           donor           layer 0 fixed to a trained one, its own or another seed's (C.4)
    previous_token  held            other sets of heads clamped to the previous token (C.5)
    scaling         n_classes, n_labels, left: all, or what one or two subcircuits left do (4.9)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analyses.induction_heads.heads import by_strength, heads_at_end, strongest_heads
from coopetition_interp.interventions import (
    AblateHeads,
    Clamp,
    CopyFromHead,
    GraftIn,
    InductionHeads,
    PerfectLayer0,
    PreviousTokenHeads,
)
from coopetition_interp.sweeps.plan import PlannedRun
from coopetition_interp.tasks.exemplar_label import ClassesConfig, ExemplarLabelConfig, preset
from coopetition_interp.tasks.exemplar_label.features import FeatureSource
from coopetition_interp.tasks.exemplar_label.sequences import induction_evaluators
from coopetition_interp.training import Run, RunConfig, Schedule

N_HEADS = 8
SEEDS = (5, 6, 7, 8, 9)
DONORS = ("own", "next", "second-next")
"""Whose layer 0 is grafted: of the same seed, and of the two after it, in a circle."""

CLAMPED_STEPS = ("step-1", "steps-1-2", "match", "copy", "steps-1-2-and-copy")
"""Which of the five computations of an induction circuit are clamped (thesis 4.4.1).

"match" is steps 1, 2, 3qk, 4; "copy" is steps 3v, 5.
"""

PREVIOUS_TOKEN_SETS = {
    "strongest-three": slice(0, 3),
    "weakest": slice(N_HEADS - 1, N_HEADS),
    "weakest-three": slice(N_HEADS - 3, N_HEADS),
    "all": slice(0, N_HEADS),
}
"""Of layer 0's heads by previous-token strength; "step-1" holds the strongest."""

SCALING = ((50, 5), (1_600, 5), (50, 15), (500, 5), (150, 5), (50, 10))
"""(classes, labels) of Figure 4.9."""
SCALING_HELD_OUT = 20
"""Classes held out there: 1,600 leave few of a bank of Omniglot's size."""

SUBCIRCUITS_LEFT = {
    "match-left": "steps-1-2-and-copy",
    "copy-left": "match",
    "both-left": "steps-1-2",
}
"""What is learned in Figure 4.9, by what is clamped: subcircuit B, C, or both."""


def plan(features: FeatureSource | None = None, seeds: Sequence[int] = SEEDS) -> list[PlannedRun]:
    """The study's runs: every main run, then the others seed by seed, each after those it needs.

    Args:
        features: Instead of the preset's; at least 1,620 classes (1,600 trained on, 20 held out)
            and two exemplars of each.
        seeds: Of the initialisations.
    """
    # The main run (thesis 4.2.1): 50 classes x 1 exemplar, 5 labels, 1M sequences at lr 1e-5.
    base = preset("induction").replace(
        n_threads=1,  # runs go side by side
        compile="yes",
        evaluators=induction_evaluators(n_sequences=500),
        evaluate_at=Schedule(every=10_000),
        checkpoint_at=Schedule(),
    )
    if features is not None:
        base = base.replace(features=features)
    of_seeds = [base.replace(model={"init_seed": seed}) for seed in seeds]
    mains = [_run("main", of.replace(checkpoint_at=_CHECKPOINTS), "main") for of in of_seeds]
    return [*mains, *(run for of in of_seeds for run in _runs_of_seed(of, seeds))]


_CHECKPOINTS = Schedule(every=5_000)


def _runs_of_seed(base: ExemplarLabelConfig, seeds: Sequence[int]) -> Iterator[PlannedRun]:
    """All that is trained from an initialisation, besides its main run."""
    for head in range(N_HEADS):
        config = base.replace(clamps=(_only_heads([head]),), checkpoint_at=_CHECKPOINTS)
        yield _run(f"single-head/head-{head}", config, "single_head", head=head)
    for steps in CLAMPED_STEPS:
        yield _holding(f"clamps/{steps}", base, _steps_clamped(steps), "clamped", steps=steps)
    for rank in range(2, N_HEADS + 1):
        name = f"pairs/strongest-and-rank-{rank}"
        yield _holding(name, base, _pair_of_rank(rank), "pair", rank=rank)
    place = seeds.index(base.model.init_seed)
    for after, donor in enumerate(DONORS):
        yield _grafted(base, donor, seeds[(place + after) % len(seeds)])
    for held, which in PREVIOUS_TOKEN_SETS.items():
        clamps = _previous_tokens(which)
        yield _holding(f"previous-token/{held}", base, clamps, "previous_token", held=held)
    for n_classes, n_labels in SCALING:
        yield from _scaling_runs(base, n_classes, n_labels)


def _name(seed: int, what: str) -> str:
    return f"seed-{seed}/{what}"


def _run(what: str, config: ExemplarLabelConfig, role: str, **about: Any) -> PlannedRun:
    """A run that needs no other."""
    seed = config.model.init_seed
    return PlannedRun(_name(seed, what), config, (), {"role": role, "init_seed": seed, **about})


ClampsFor = Callable[[pd.DataFrame], tuple[Clamp, ...]]
"""From the main run's heads at its end to what is held."""


def _holding(
    what: str, base: ExemplarLabelConfig, clamps: ClampsFor, role: str, **about: Any
) -> PlannedRun:
    """A run that waits for its seed's main run, to see which heads are to be held."""
    seed = base.model.init_seed
    main = _name(seed, "main")

    def make(runs: Mapping[str, Run]) -> RunConfig:
        return base.replace(clamps=clamps(heads_at_end(runs[main])))

    about = {"role": role, "init_seed": seed, **about}
    return PlannedRun(_name(seed, what), make, (main,), about)


def _only_heads(kept: list[int]) -> AblateHeads:
    """Every head of layer 1 off, but these."""
    return AblateHeads([(1, head) for head in range(N_HEADS) if head not in kept])


def _steps_clamped(steps: str) -> ClampsFor:
    """The strongest head alone in layer 1, and a set of steps held."""

    def clamps(heads: pd.DataFrame) -> tuple[Clamp, ...]:
        strongest = strongest_heads(heads)[0]
        previous_token = by_strength(heads, 0, "previous_token_strength")[0]
        held: dict[str, tuple[Clamp, ...]] = {
            "step-1": (PreviousTokenHeads([(0, previous_token)]),),
            "steps-1-2": (PerfectLayer0(),),
            "match": (InductionHeads([(1, strongest)]),),
            "copy": (CopyFromHead((1, strongest)),),
            "steps-1-2-and-copy": (PerfectLayer0(), CopyFromHead((1, strongest))),
        }
        return _only_heads([strongest]), *held[steps]

    return clamps


def _pair_of_rank(rank: int) -> ClampsFor:
    def clamps(heads: pd.DataFrame) -> tuple[Clamp, ...]:
        ranked = strongest_heads(heads)
        return (_only_heads([ranked[0], ranked[rank - 1]]),)

    return clamps


def _previous_tokens(which: slice) -> ClampsFor:
    def clamps(heads: pd.DataFrame) -> tuple[Clamp, ...]:
        held = [(0, head) for head in by_strength(heads, 0, "previous_token_strength")[which]]
        return _only_heads(strongest_heads(heads)[:1]), PreviousTokenHeads(held)

    return clamps


def _grafted(base: ExemplarLabelConfig, donor: str, donor_seed: int) -> PlannedRun:
    seed = base.model.init_seed
    main = _name(donor_seed, "main")

    def make(runs: Mapping[str, Run]) -> RunConfig:
        return base.replace(clamps=(GraftIn(str(runs[main].checkpoint_path("last")), layer=0),))

    about = {"role": "graft", "init_seed": seed, "donor": donor}
    return PlannedRun(_name(seed, f"grafts/layer-0-of-{donor}"), make, (main,), about)


def _scaling_runs(base: ExemplarLabelConfig, n_classes: int, n_labels: int) -> Iterator[PlannedRun]:
    """Figure 4.9 at one number of classes and labels: 2M sequences, or 300k with clamps."""
    scaled = base.replace(
        classes=ClassesConfig(
            n_train=n_classes, n_train_exemplars=1, n_held_out=SCALING_HELD_OUT, shuffle_seed=0
        ),
        sequences={"n_sequence_labels": n_labels},
        evaluators=induction_evaluators(n_sequences=500, n_sequence_labels=n_labels),
    )
    where = f"scaling/classes-{n_classes}-labels-{n_labels}"
    about = {"n_classes": n_classes, "n_labels": n_labels}
    full = scaled.replace(n_sequences=2_000_000, evaluate_at=Schedule(every=20_000))
    yield _run(f"{where}/full", full, "scaling", **about, left="full")
    short = scaled.replace(n_sequences=300_000, evaluate_at=Schedule(every=3_000))
    for left, steps in SUBCIRCUITS_LEFT.items():
        clamps = _steps_clamped(steps)
        yield _holding(f"{where}/{left}", short, clamps, "scaling", **about, left=left)
