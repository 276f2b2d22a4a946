"""Every run of the induction-head study (thesis, chapter 4), as data.

    coopetition-interp sweep analyses/induction_heads/runs.py --out runs/induction-heads

Which head is the strongest, and which are previous-token heads, is measured on the main run; the
runs that hold those heads wait for it. Each run says what it is (`about`): its role, the seeds, and

    role            more            what is trained
    main                            all heads; other initialisations (4.3 to 4.5, tables, C.4, C.6)
    single_head     head            only that head of layer 1 (4.5b, C.6)
    clamped         steps           only the strongest head, with steps of its circuit held (4.6b)
    pair            rank            the strongest head and the one of that rank (C.2)
    graft           donor_seed      layer 0 fixed to that of a trained network (C.4)
    previous_token  held            other sets of heads clamped to the previous token (C.5)
    scaling         n_classes, n_labels, left: all, or what one or two subcircuits left do (4.9)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

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
from coopetition_interp.sweeps.plan import MakeConfig, PlannedRun
from coopetition_interp.tasks.exemplar_label import ClassesConfig, ExemplarLabelConfig, preset
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

PREVIOUS_TOKEN_SETS = {
    "strongest-three": slice(0, 3),
    "weakest": slice(N_HEADS - 1, N_HEADS),
    "weakest-three": slice(N_HEADS - 3, N_HEADS),
    "all": slice(0, N_HEADS),
}
"""Of layer 0's heads by previous-token strength; "step-1" holds the strongest."""

SCALING = ((50, 5), (100, 5), (200, 5), (50, 10), (50, 15))
"""(classes, labels) of Figure 4.9."""

SUBCIRCUITS_LEFT = {
    "match-left": "steps-1-2-and-copy",
    "copy-left": "match",
    "both-left": "steps-1-2",
}
"""What is learned in Figure 4.9, by what is clamped: subcircuit B, C, or both."""


def plan(features: FeatureSource | None = None) -> list[PlannedRun]:
    """The study's runs, most important first, each after those it needs.

    Args:
        features: Instead of the preset's; at least 350 classes (200 trained on, 100 held out) and
            two exemplars of each.
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
    return list(_runs(base))


def _runs(base: ExemplarLabelConfig) -> Iterator[PlannedRun]:
    yield _run("main", base.replace(checkpoint_at=Schedule(every=1_000)), "main")
    for head in range(N_HEADS):
        yield _single_head(base.replace(checkpoint_at=Schedule(every=5_000)), head, "")
    for steps in CLAMPED_STEPS:
        config = _with_steps_clamped(base, steps)
        yield _run(f"clamps/{steps}", config, "clamped", ("main",), steps=steps)
    for rank in range(2, N_HEADS + 1):
        config = _with_pair(base, rank)
        yield _run(f"pairs/strongest-and-rank-{rank}", config, "pair", ("main",), rank=rank)
    for seed in OTHER_SEEDS:
        yield _run(_main_of(seed), base.replace(model={"init_seed": seed}), "main", seed=seed)
    for seed in GRAFT_SEEDS:
        name, donor = f"grafts/layer-0-of-seed-{seed}", _main_of(seed)
        yield _run(name, _with_graft(base, donor), "graft", (donor,), donor_seed=seed)
    for held, which in PREVIOUS_TOKEN_SETS.items():
        config = _with_previous_tokens(base, which)
        yield _run(f"previous-token/{held}", config, "previous_token", ("main",), held=held)
    for n_classes, n_labels in SCALING:
        yield from _scaling_runs(base, n_classes, n_labels)
    for seed in OTHER_SEEDS:
        for head in range(N_HEADS):
            yield _single_head(base.replace(model={"init_seed": seed}), head, f"seeds/seed-{seed}/")


def _run(
    name: str,
    config: RunConfig | MakeConfig,
    role: str,
    needs: tuple[str, ...] = (),
    seed: int = MAIN_SEED,
    **about: Any,
) -> PlannedRun:
    return PlannedRun(name, config, needs, {"role": role, "init_seed": seed, **about})


def _main_of(seed: int) -> str:
    return "main" if seed == MAIN_SEED else f"seeds/seed-{seed}/main"


def _only_heads(kept: list[int]) -> AblateHeads:
    """Every head of layer 1 off, but these."""
    return AblateHeads([(1, head) for head in range(N_HEADS) if head not in kept])


def _single_head(base: ExemplarLabelConfig, head: int, where: str) -> PlannedRun:
    config = base.replace(clamps=(_only_heads([head]),))
    name, seed = f"{where}single-head/head-{head}", base.model.init_seed
    return _run(name, config, "single_head", seed=seed, head=head)


def _with_steps_clamped(base: ExemplarLabelConfig, steps: str) -> MakeConfig:
    """The strongest head alone in layer 1, and a set of steps held."""

    def make(runs: Mapping[str, Run]) -> RunConfig:
        heads = heads_at_end(runs["main"])
        strongest = strongest_heads(heads)[0]
        previous_token = by_strength(heads, 0, "previous_token_strength")[0]
        held: dict[str, tuple[Clamp, ...]] = {
            "step-1": (PreviousTokenHeads([(0, previous_token)]),),
            "steps-1-2": (PerfectLayer0(),),
            "match": (InductionHeads([(1, strongest)]),),
            "copy": (CopyFromHead((1, strongest)),),
            "steps-1-2-and-copy": (PerfectLayer0(), CopyFromHead((1, strongest))),
        }
        return base.replace(clamps=(_only_heads([strongest]), *held[steps]))

    return make


def _with_pair(base: ExemplarLabelConfig, rank: int) -> MakeConfig:
    def make(runs: Mapping[str, Run]) -> RunConfig:
        heads = strongest_heads(heads_at_end(runs["main"]))
        return base.replace(clamps=(_only_heads([heads[0], heads[rank - 1]]),))

    return make


def _with_graft(base: ExemplarLabelConfig, donor: str) -> MakeConfig:
    def make(runs: Mapping[str, Run]) -> RunConfig:
        checkpoint = str(runs[donor].checkpoint_path("last"))
        return base.replace(clamps=(GraftIn(checkpoint, layer=0),))

    return make


def _with_previous_tokens(base: ExemplarLabelConfig, which: slice) -> MakeConfig:
    def make(runs: Mapping[str, Run]) -> RunConfig:
        heads = heads_at_end(runs["main"])
        held = [(0, head) for head in by_strength(heads, 0, "previous_token_strength")[which]]
        alone = _only_heads(strongest_heads(heads)[:1])
        return base.replace(clamps=(alone, PreviousTokenHeads(held)))

    return make


def _scaling_runs(base: ExemplarLabelConfig, n_classes: int, n_labels: int) -> Iterator[PlannedRun]:
    """Figure 4.9 at one number of classes and labels: 2M sequences, or 300k with clamps."""
    scaled = base.replace(
        classes=ClassesConfig(
            n_train=n_classes, n_train_exemplars=1, n_held_out=100, shuffle_seed=0
        ),
        sequences={"n_sequence_labels": n_labels},
        evaluators=induction_evaluators(n_sequences=500, n_sequence_labels=n_labels),
    )
    short = scaled.replace(n_sequences=300_000, evaluate_at=Schedule(every=3_000))
    configs: dict[str, RunConfig | MakeConfig] = {
        "full": scaled.replace(n_sequences=2_000_000, evaluate_at=Schedule(every=20_000)),
        **{left: _with_steps_clamped(short, steps) for left, steps in SUBCIRCUITS_LEFT.items()},
    }
    for left, config in configs.items():
        yield _run(
            f"scaling/classes-{n_classes}-labels-{n_labels}/{left}",
            config,
            "scaling",
            () if left == "full" else ("main",),
            n_classes=n_classes,
            n_labels=n_labels,
            left=left,
        )
