"""Every run of the induction-head study (thesis chapter 4), as data.

Which head is the strongest, and which are previous-token heads, is measured on the main run; the
runs that hold those heads wait for it.

Names, in the order they are run:

    main                             all heads, a checkpoint every 1000 sequences (4.3-4.5, tables)
    single-head/head-H               only head H of layer 1 (4.5b)
    clamps/...                       only the strongest head, and clamped steps (4.6b, 4.8)
    pairs/strongest-and-rank-R       the strongest head and the one of rank R (C.2)
    seeds/seed-S/main                other initialisations (C.4, C.6)
    grafts/layer-0-of-seed-S         layer 0 fixed to that of a trained network (C.4)
    previous-token/...               other sets of heads clamped to the previous token (C.5)
    scaling/classes-C-labels-L/...   all, and what one or two subcircuits left alone do (4.9)
    seeds/seed-S/single-head/head-H  (C.6)
"""

from __future__ import annotations

from collections.abc import Mapping

from coopetition_interp.analysis.attention_strengths import (
    induction_strength,
    previous_token_strength,
)
from coopetition_interp.interventions import (
    AblateHeads,
    Clamp,
    CopyFromHead,
    GraftIn,
    InductionHeads,
    PerfectLayer0,
    PreviousTokenHeads,
)
from coopetition_interp.sweeps.sweep import MakeConfig, PlannedRun
from coopetition_interp.tasks.exemplar_label import ClassesConfig, preset
from coopetition_interp.tasks.exemplar_label.features import FeatureSource
from coopetition_interp.tasks.exemplar_label.sequences import induction_evaluators
from coopetition_interp.training import Run, RunConfig, Schedule

N_HEADS = 8
MAIN_SEED = 5
OTHER_SEEDS = (6, 7, 8, 9)
GRAFT_SEEDS = (5, 6, 7)

CLAMPED_STEPS = ("step-1", "steps-1-2", "match", "copy", "steps-1-2-and-copy")
"""Which of the five computations of an induction circuit are clamped (thesis 4.4.1).

"match" is steps 1, 2, 3qk, 4; "copy" is steps 3v, 5.
"""

SCALING = ((50, 5), (100, 5), (200, 5), (50, 10), (50, 15))
"""(classes, labels) of Figure 4.9."""

SUBCIRCUITS_LEFT = {
    "match-left": "steps-1-2-and-copy",
    "copy-left": "match",
    "both-left": "steps-1-2",
}
"""What is learned in Figure 4.9, by what is clamped: subcircuit B, C, or both."""


def strongest_heads(main: Run) -> list[int]:
    """Heads of layer 1 by induction strength at the main run's end, the strongest first."""
    table = induction_strength(main.model("last"), main.evaluation_sequences["train"])
    layer_1 = table[table.layer == 1].sort_values("strength", ascending=False)
    return layer_1["head"].tolist()


def previous_token_heads(main: Run) -> list[int]:
    """Heads of layer 0 by previous-token strength at the main run's end, the strongest first."""
    table = previous_token_strength(main.model("last"), main.evaluation_sequences["train"])
    layer_0 = table[table.layer == 0].sort_values("strength", ascending=False)
    return layer_0["head"].tolist()


def only_heads(kept: list[int]) -> AblateHeads:
    """Every head of layer 1 off, but these."""
    return AblateHeads([(1, head) for head in range(N_HEADS) if head not in kept])


def steps_clamped(steps: str, strongest: int, previous_token: int) -> tuple[Clamp, ...]:
    """The clamps that hold a set of steps, with the strongest head alone in layer 1."""
    held: dict[str, tuple[Clamp, ...]] = {
        "step-1": (PreviousTokenHeads([(0, previous_token)]),),
        "steps-1-2": (PerfectLayer0(),),
        "match": (InductionHeads([(1, strongest)]),),
        "copy": (CopyFromHead((1, strongest)),),
        "steps-1-2-and-copy": (PerfectLayer0(), CopyFromHead((1, strongest))),
    }
    return (only_heads([strongest]), *held[steps])


def base_config(features: FeatureSource) -> RunConfig:
    """The main run (thesis 4.2.1): 50 classes x 1 exemplar, 5 labels, 1M sequences at lr 1e-5."""
    return preset("induction").replace(
        features=features,
        n_threads=1,
        compile="yes",
        evaluators=induction_evaluators(n_sequences=500),
        evaluate_at=Schedule(every=10_000),
        checkpoint_at=Schedule(),
    )


def induction_heads_plan(features: FeatureSource) -> list[PlannedRun]:
    """The study's runs on the given features, most important first.

    Args:
        features: A source with at least 350 classes (200 trained on, 100 held out) and two
            exemplars of each.
    """
    base = base_config(features)
    return [
        PlannedRun("main", base.replace(checkpoint_at=Schedule(every=1_000))),
        *(
            PlannedRun(
                f"single-head/head-{head}",
                base.replace(clamps=(only_heads([head]),), checkpoint_at=Schedule(every=5_000)),
            )
            for head in range(N_HEADS)
        ),
        *(
            PlannedRun(f"clamps/{steps}", _with_steps_clamped(base, steps), ("main",))
            for steps in CLAMPED_STEPS
        ),
        *(
            PlannedRun(f"pairs/strongest-and-rank-{rank}", _with_pair(base, rank), ("main",))
            for rank in range(2, N_HEADS + 1)
        ),
        *(
            PlannedRun(f"seeds/seed-{seed}/main", base.replace(model={"init_seed": seed}))
            for seed in OTHER_SEEDS
        ),
        *(
            PlannedRun(f"grafts/layer-0-of-seed-{seed}", _with_graft(base, seed), (_main_of(seed),))
            for seed in GRAFT_SEEDS
        ),
        *_previous_token_runs(base),
        *(run for classes, labels in SCALING for run in _scaling_runs(base, classes, labels)),
        *(
            PlannedRun(
                f"seeds/seed-{seed}/single-head/head-{head}",
                base.replace(model={"init_seed": seed}, clamps=(only_heads([head]),)),
            )
            for seed in OTHER_SEEDS
            for head in range(N_HEADS)
        ),
    ]


def _main_of(seed: int) -> str:
    return "main" if seed == MAIN_SEED else f"seeds/seed-{seed}/main"


def _with_steps_clamped(base: RunConfig, steps: str) -> MakeConfig:
    def make(runs: Mapping[str, Run]) -> RunConfig:
        main = runs["main"]
        held = steps_clamped(steps, strongest_heads(main)[0], previous_token_heads(main)[0])
        return base.replace(clamps=held)

    return make


def _with_pair(base: RunConfig, rank: int) -> MakeConfig:
    def make(runs: Mapping[str, Run]) -> RunConfig:
        heads = strongest_heads(runs["main"])
        return base.replace(clamps=(only_heads([heads[0], heads[rank - 1]]),))

    return make


def _with_graft(base: RunConfig, seed: int) -> MakeConfig:
    def make(runs: Mapping[str, Run]) -> RunConfig:
        donor = runs[_main_of(seed)].checkpoint_path("last")
        return base.replace(clamps=(GraftIn(str(donor), layer=0),))

    return make


def _previous_token_runs(base: RunConfig) -> list[PlannedRun]:
    """Other sets of layer-0 heads than the one of "clamps/step-1", with one head in layer 1."""
    sets = {
        "strongest-three": slice(0, 3),
        "weakest": slice(N_HEADS - 1, N_HEADS),
        "weakest-three": slice(N_HEADS - 3, N_HEADS),
        "all": slice(0, N_HEADS),
    }

    def with_heads(which: slice) -> MakeConfig:
        def make(runs: Mapping[str, Run]) -> RunConfig:
            main = runs["main"]
            held = [(0, head) for head in previous_token_heads(main)[which]]
            return base.replace(
                clamps=(only_heads(strongest_heads(main)[:1]), PreviousTokenHeads(held))
            )

        return make

    return [
        PlannedRun(f"previous-token/{name}", with_heads(which), ("main",))
        for name, which in sets.items()
    ]


def _scaling_runs(base: RunConfig, n_classes: int, n_labels: int) -> list[PlannedRun]:
    """Figure 4.9 at one number of classes and labels: 2M sequences, or 300k with clamps."""
    scaled = base.replace(
        classes=ClassesConfig(
            n_train=n_classes, n_train_exemplars=1, n_held_out=100, shuffle_seed=0
        ),
        sequences={"n_sequence_labels": n_labels},
        evaluators=induction_evaluators(n_sequences=500, n_sequence_labels=n_labels),
    )
    name = f"scaling/classes-{n_classes}-labels-{n_labels}"
    full = scaled.replace(n_sequences=2_000_000, evaluate_at=Schedule(every=20_000))
    short = scaled.replace(n_sequences=300_000, evaluate_at=Schedule(every=3_000))
    return [
        PlannedRun(f"{name}/full", full),
        *(
            PlannedRun(f"{name}/{left}", _with_steps_clamped(short, steps), ("main",))
            for left, steps in SUBCIRCUITS_LEFT.items()
        ),
    ]
