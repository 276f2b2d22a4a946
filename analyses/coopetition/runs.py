"""Every run of the coopetition study, as data.

    coopetition-interp sweep analyses/coopetition/runs.py --preset laptop --out runs/laptop

Each run says what it is (`about`): its role, the seeds, and for grafts and resumed runs the moment,
in sequences seen, of the checkpoint it takes. Figures select runs by that, never by their names.

    role              what is trained
    main              bursty data (Figures 1b, 2, 3, 5b, 7, 12, 14, 15)
    ciwl_only         CIWL alone is possible
    icl_only          ICL alone is possible (4a)
    graft_of_main     icl_only, block 1 and unembedding fixed to those of main's end (4a)
    graft             the same from a checkpoint of ciwl_only (4b); at moment 0 they are random
    resumed           bursty data from a checkpoint of ciwl_only, with a fresh optimizer (4c)
    matched           the query exemplar itself is in context (6)
    blocked           labels cannot attend to the previous token in layer 0 (18a)
    self_attending    labels attend to themselves alone in layer 0 (18a)
    ablated           main's ICL heads off throughout (18b)
    one_layer         (13)
    positions         rotary or sinusoidal, plain or with one perfect previous-token head (8)
    size              fewer classes or exemplars (9), or with MLPs (10)
    long              many times as long (11)
    twelve_layers     12 layers with MLPs and 8 pairs, bursty or matched: for a cluster (6)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from coopetition_interp.analysis.icl_heads import icl_heads
from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.interventions import (
    AblateHeads,
    BlockPreviousToken,
    GraftOut,
    PreviousTokenHeads,
    SelfAttentionHeads,
)
from coopetition_interp.sweeps.sweep import MakeConfig, PlannedRun
from coopetition_interp.tasks.exemplar_label import ExemplarLabelConfig, preset
from coopetition_interp.tasks.exemplar_label.features import EmbeddedOmniglot, FeatureSource
from coopetition_interp.tasks.exemplar_label.sequences import (
    matched_evaluators,
    standard_evaluators,
)
from coopetition_interp.training import ConfigError, Run, Schedule

FULL_SIZE = (12_800, 20)
SMALLER_SIZES = ((12_800, 5), (1_600, 20), (1_600, 5))
"""(classes, exemplars) of Figures 9 and 10; those of 1600 classes are unrotated characters."""

MAIN_DATA_SEED = 2
OTHER_DATA_SEEDS = (3, 4)
AT_THE_END = -1
"""Moment that stands for a run's last checkpoint."""


@dataclass(frozen=True)
class Scale:
    """How long the runs are and from which seeds they are made. Lengths are in sequences seen.

    Attributes:
        main: Length by initial seed.
        checkpoint_main_every: Checkpoints of main that are analysed.
        dense: From, until and step of the additional checkpoints of main around ICL's rise, on
            which Figure 5b is scored sequence by sequence.
        other_data: Length of main from other data seeds; 0 for none.
        ciwl_only: Length of the run that grafts and resumed runs are taken from.
        graft_from, graft: Its checkpoints that are grafted, and how long on.
        resume_from, resumed: Its checkpoints that bursty training starts from, and how long.
        donated_seeds: Initial seeds of ciwl_only, graft and resumed.
        seeds: Initial seeds of the runs that stand beside main.
        icl_only, graft_of_main, matched, blocked, ablated, one_layer: Lengths.
        positions, size, mlps_at_full_size, small_seeds: Lengths, and initial seeds, of the runs of
            Figures 8 to 10; 0 for none.
        long: Length of the long main run; 0 for none.
        twelve_layers: Length of the 12-layer runs; 0 for none.
        evaluate_every: Between evaluations.
        n_evaluation_sequences: Of each evaluator.
        full_size, smaller_sizes: (classes, exemplars) of main, and of the runs with fewer.
    """

    main: Mapping[int, int]
    checkpoint_main_every: int
    dense: tuple[int, int, int]
    other_data: int
    ciwl_only: int
    graft_from: tuple[int, ...]
    graft: int
    resume_from: tuple[int, ...]
    resumed: int
    donated_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    icl_only: int
    graft_of_main: int
    matched: int
    blocked: int
    ablated: int
    one_layer: int
    positions: int
    size: int
    mlps_at_full_size: int
    small_seeds: tuple[int, ...]
    long: int
    twelve_layers: int
    evaluate_every: int
    n_evaluation_sequences: int
    full_size: tuple[int, int] = FULL_SIZE
    smaller_sizes: tuple[tuple[int, int], ...] = SMALLER_SIZES


M = 1_000_000

PUBLISHED_SCALE = "paper"

SCALES: dict[str, Scale] = {
    # To try the machinery in a few thousand sequences; nothing is claimed of it.
    "tiny": Scale(
        main={5: 32_000, 6: 16_000},
        checkpoint_main_every=3_200,
        dense=(3_200, 9_600, 640),
        other_data=0,
        ciwl_only=16_000,
        graft_from=(0, 1_600, 16_000),
        graft=6_400,
        resume_from=(1_600, 6_400),
        resumed=6_400,
        donated_seeds=(5,),
        seeds=(5,),
        icl_only=6_400,
        graft_of_main=6_400,
        matched=16_000,
        blocked=16_000,
        ablated=16_000,
        one_layer=16_000,
        positions=6_400,
        size=6_400,
        mlps_at_full_size=6_400,
        small_seeds=(5,),
        long=0,
        twelve_layers=0,
        evaluate_every=3_200,
        n_evaluation_sequences=200,
        full_size=(64, 5),
        smaller_sizes=((64, 3), (32, 5), (32, 3)),
    ),
    # The embedded bank at a learning rate of 1e-4: one run crossed at 2.45M, and main is three
    # times as long.
    "laptop": Scale(
        main=dict.fromkeys(range(5, 10), 7_500_000),
        checkpoint_main_every=25_000,
        dense=(200_000, 800_000, 2_000),
        other_data=2_500_000,
        ciwl_only=6 * M,
        graft_from=(0, 100_000, 300_000, 600_000, 1_200_000, 2_400_000, 4_000_000, 6_000_000),
        graft=1 * M,
        resume_from=(5_000, 20_000, 100_000, 400_000, 1_200_000, 4_000_000),
        resumed=1_500_000,
        donated_seeds=(5, 6, 7),
        seeds=(5, 6, 7, 8, 9),
        icl_only=2 * M,
        graft_of_main=1 * M,
        matched=2_500_000,
        blocked=2_500_000,
        ablated=2_500_000,
        one_layer=2 * M,
        positions=1_500_000,
        size=2 * M,
        mlps_at_full_size=5 * M,
        small_seeds=(5, 6, 7),
        long=20 * M,
        twelve_layers=0,
        evaluate_every=20_000,
        n_evaluation_sequences=2_000,
    ),
    # The paper's learning rate of 1e-5. The 12-layer runs are for a cluster: its 400M sequences.
    "paper": Scale(
        main={5: 20 * M, 6: 12 * M, 7: 12 * M},
        checkpoint_main_every=50_000,
        dense=(2_400_000, 4_800_000, 8_000),
        other_data=0,
        ciwl_only=32 * M,
        graft_from=(0, 4 * M, 8 * M, 9_800_000, 15 * M, 20 * M, 31_500_000),
        graft=3 * M,
        resume_from=(4 * M, 6 * M, 8 * M, 10 * M, 16 * M),
        resumed=6 * M,
        donated_seeds=(5,),
        seeds=(5,),
        icl_only=8 * M,
        graft_of_main=4 * M,
        matched=8 * M,
        blocked=8 * M,
        ablated=8 * M,
        one_layer=8 * M,
        positions=0,
        size=0,
        mlps_at_full_size=0,
        small_seeds=(),
        long=0,
        twelve_layers=400 * M,
        evaluate_every=50_000,
        n_evaluation_sequences=2_000,
    ),
}


def plan(
    preset_name: str = "laptop",
    features: FeatureSource | None = None,
    scale: Scale | None = None,
) -> list[PlannedRun]:
    """The study's runs, most important first, each after those it needs.

    Args:
        preset_name: A key of `SCALES`: the features and the optimizer of that preset, and lengths.
        features: Instead of the preset's.
        scale: Instead of that of `SCALES`.

    Raises:
        ConfigError: No scale of that name.
    """
    if preset_name not in SCALES:
        raise ConfigError(
            f"the coopetition study has no scale {preset_name!r}: choose from {', '.join(SCALES)}"
        )
    scale = SCALES[preset_name] if scale is None else scale
    base = _base(preset_name).replace(
        n_threads=1,  # runs go side by side
        evaluators=standard_evaluators(n_sequences=scale.n_evaluation_sequences),
        evaluate_at=Schedule(every=scale.evaluate_every),
        checkpoint_at=Schedule(every=scale.evaluate_every * 5),
    )
    if features is not None:
        base = base.replace(features=features)
    runs = list(_runs(base, scale))
    return sorted(runs, key=_importance)


def _base(preset_name: str) -> ExemplarLabelConfig:
    """Features and learning rate: embedded characters at 1e-4, or a feature file at 1e-5."""
    if preset_name == "tiny":
        return preset("tiny")
    characters = preset("omniglot")
    if preset_name == "paper":
        return characters
    return characters.replace(features=EmbeddedOmniglot(), optimizer={"learning_rate": 1e-4})


def _importance(run: PlannedRun) -> int:
    """Main and its donors first, then what stands beside them, then what is for a cluster."""
    order = (
        ("main", "ciwl_only"),
        ("icl_only", "graft_of_main", "graft", "resumed", "matched", "blocked", "ablated"),
        ("self_attending", "one_layer", "positions", "size"),
        ("long", "twelve_layers"),
    )
    return next(place for place, roles in enumerate(order) if run.about["role"] in roles)


def _runs(base: ExemplarLabelConfig, scale: Scale) -> Iterator[PlannedRun]:
    first = next(iter(scale.main))
    for seed, length in scale.main.items():
        yield _main(base, scale, seed, MAIN_DATA_SEED, length)
    if scale.other_data:
        for data_seed in OTHER_DATA_SEEDS:
            yield _main(base, scale, first, data_seed, scale.other_data)
    for seed in scale.donated_seeds:
        yield from _donated(base, scale, seed)
    for seed in scale.seeds:
        yield from _beside_main(base, scale, seed)
    for seed in scale.small_seeds:
        yield from _positions(base, scale, seed)
        yield from _sizes(base, scale, seed)
    if scale.long:
        yield _run("long", base.replace(n_sequences=scale.long), first)
    if scale.twelve_layers:
        yield from _twelve_layers(base, scale, first)


def _main(
    base: ExemplarLabelConfig, scale: Scale, seed: int, data_seed: int, length: int
) -> PlannedRun:
    start, until, step = scale.dense
    dense = tuple(range(start, min(until, length) + 1, step))
    config = base.replace(
        n_sequences=length,
        data_seed=data_seed,
        checkpoint_at=Schedule(every=scale.checkpoint_main_every, at=dense),
    )
    return _run("main", config, seed)


def _donated(base: ExemplarLabelConfig, scale: Scale, seed: int) -> Iterator[PlannedRun]:
    """The run on CIWL-only data, and those that begin with a part of it."""
    moments = tuple(sorted({*scale.graft_from, *scale.resume_from}))
    ciwl_only = _run(
        "ciwl_only",
        base.replace(
            n_sequences=scale.ciwl_only,
            sequences={"kind": "ciwl_only"},
            checkpoint_at=Schedule(every=scale.evaluate_every * 10, at=moments),
        ),
        seed,
    )
    yield ciwl_only
    on_icl_only = base.replace(n_sequences=scale.graft, sequences={"kind": "icl_only"})
    for moment in scale.graft_from:
        yield _grafted("graft", on_icl_only, ciwl_only.name, moment, seed)
    for moment in scale.resume_from:
        resumed = base.replace(n_sequences=scale.resumed)
        yield _resumed(resumed, ciwl_only.name, moment, seed)


def _beside_main(base: ExemplarLabelConfig, scale: Scale, seed: int) -> Iterator[PlannedRun]:
    main = _name("main", seed)
    layer_0 = [(0, head) for head in range(base.model.n_heads)]
    icl_only = base.replace(sequences={"kind": "icl_only"})
    yield _run("icl_only", icl_only.replace(n_sequences=scale.icl_only), seed)
    graft = icl_only.replace(n_sequences=scale.graft_of_main)
    yield _grafted("graft_of_main", graft, main, AT_THE_END, seed)
    yield _run(
        "matched",
        base.replace(
            n_sequences=scale.matched,
            sequences={"kind": "matched"},
            evaluators=(
                *base.evaluators,
                *matched_evaluators(n_sequences=scale.n_evaluation_sequences),
            ),
        ),
        seed,
    )
    for role, clamp in (
        ("blocked", BlockPreviousToken(layer_0, label_rows_only=True)),
        ("self_attending", SelfAttentionHeads(layer_0, label_rows_only=True)),
    ):
        yield _run(role, base.replace(n_sequences=scale.blocked, clamps=(clamp,)), seed)
    yield PlannedRun(
        _name("ablated", seed),
        lambda runs: _of_seed(
            base.replace(n_sequences=scale.ablated, clamps=(_icl_heads_off(runs[main]),)), seed
        ),
        (main,),
        about={"role": "ablated", "init_seed": seed, "data_seed": base.data_seed},
    )
    one_layer = base.replace(n_sequences=scale.one_layer, model={"n_layers": 1})
    yield _run("one_layer", one_layer, seed)


def _positions(base: ExemplarLabelConfig, scale: Scale, seed: int) -> Iterator[PlannedRun]:
    if not scale.positions:
        return
    perfect = PreviousTokenHeads([(0, 0)])
    for positions in ("rotary", "sinusoidal"):
        for clamps in ((), (perfect,)):
            config = base.replace(
                n_sequences=scale.positions, model={"positions": positions}, clamps=clamps
            )
            yield _run("positions", config, seed, positions=positions, clamped=bool(clamps))


def _sizes(base: ExemplarLabelConfig, scale: Scale, seed: int) -> Iterator[PlannedRun]:
    if not scale.size:
        return
    for mlps in (False, True):
        for size in scale.smaller_sizes:
            yield _sized(base.replace(n_sequences=scale.size), size, mlps, seed)
    longer = base.replace(n_sequences=scale.mlps_at_full_size)
    yield _sized(longer, scale.full_size, True, seed)


def _twelve_layers(base: ExemplarLabelConfig, scale: Scale, seed: int) -> Iterator[PlannedRun]:
    """The thesis's chapter 3 schedule: linear warm-up, then inverse square root."""
    deep = base.replace(
        n_sequences=scale.twelve_layers,
        model={"n_layers": 12, "mlps": True, "positions": "sinusoidal", "position_base": 30.0},
        optimizer={"learning_rate": 3e-4, "schedule": "inverse_sqrt", "warmup_steps": 4_000},
        sequences={"n_pairs": 8},
        evaluators=standard_evaluators(n_pairs=8, n_sequences=scale.n_evaluation_sequences),
    )
    for kind in ("bursty", "matched"):
        yield _run("twelve_layers", deep.replace(sequences={"kind": kind}), seed, kind=kind)


def _sized(config: ExemplarLabelConfig, size: tuple[int, int], mlps: bool, seed: int) -> PlannedRun:
    """1600 classes are those of 1600 characters, unrotated, where the features have transforms."""
    n_classes, n_exemplars = size
    features = config.features
    if n_classes <= 1_600 and hasattr(features, "transforms"):
        features = features.replace(transforms="unrotated")
    changed = config.replace(
        features=features,
        classes={"n_train": n_classes, "n_train_exemplars": n_exemplars},
        model={"mlps": mlps},
    )
    return _run("size", changed, seed, n_classes=n_classes, n_exemplars=n_exemplars, mlps=mlps)


def _run(role: str, config: ExemplarLabelConfig, seed: int, **about: Any) -> PlannedRun:
    return PlannedRun(
        _name(role, seed, config.data_seed, **about),
        _of_seed(config, seed),
        about={"role": role, "init_seed": seed, "data_seed": config.data_seed, **about},
    )


def _grafted(
    role: str, config: ExemplarLabelConfig, donor: str, moment: int, seed: int
) -> PlannedRun:
    """Block 1 and the unembedding fixed to a checkpoint's (paper, section 5.1)."""

    def make(runs: Mapping[str, Run]) -> ExemplarLabelConfig:
        graft = GraftOut(_checkpoint(runs[donor], moment), layer=0)
        return _of_seed(config.replace(clamps=(graft,)), seed)

    return _from_donor(role, make, donor, moment, seed, config.data_seed)


def _resumed(config: ExemplarLabelConfig, donor: str, moment: int, seed: int) -> PlannedRun:
    """From a checkpoint's weights, with a fresh optimizer (paper, section 5.2)."""

    def make(runs: Mapping[str, Run]) -> ExemplarLabelConfig:
        return _of_seed(config.replace(start_from=_checkpoint(runs[donor], moment)), seed)

    return _from_donor("resumed", make, donor, moment, seed, config.data_seed)


def _from_donor(
    role: str, make: MakeConfig, donor: str, moment: int, seed: int, data_seed: int
) -> PlannedRun:
    about = {} if moment == AT_THE_END else {"moment": moment}
    return PlannedRun(
        _name(role, seed, data_seed, **about),
        make,
        (donor,),
        about={"role": role, "init_seed": seed, "data_seed": data_seed, **about},
    )


def _of_seed(config: ExemplarLabelConfig, seed: int) -> ExemplarLabelConfig:
    return config.replace(model={"init_seed": seed})


def _name(role: str, seed: int, data_seed: int = MAIN_DATA_SEED, **about: Any) -> str:
    """A directory for the run, such as "init-5/graft/moment-100000"."""
    seeds = f"init-{seed}" if data_seed == MAIN_DATA_SEED else f"init-{seed}-data-{data_seed}"
    details = [f"{name}-{value}".lower().replace("_", "-") for name, value in about.items()]
    return "/".join([seeds, role.replace("_", "-"), *(["-".join(details)] if details else [])])


def _checkpoint(run: Run, moment: int) -> str:
    """File of the checkpoint at a moment, which falls on the end of a step.

    Raises:
        ConfigError: The run kept none there, so that another moment's would be taken for it.
    """
    if moment == AT_THE_END:
        return str(run.checkpoint_path("last").resolve())
    nearest = run.nearest_checkpoint(float(moment))
    if not 0 <= nearest - moment < run.config.batch_size:
        raise ConfigError(
            f"{run.path} has no checkpoint at {moment} sequences seen, the nearest is at {nearest}"
        )
    return str(run.checkpoint_path(nearest).resolve())


def _icl_heads_off(main: Run) -> AblateHeads:
    peak = moments_of(main.metrics).peak
    if peak is None:
        raise ConfigError(
            f"{main.path}: in-context learning does not emerge, so no head carries it: nothing to "
            "ablate"
        )
    model = main.model(main.nearest_checkpoint(peak))
    heads = icl_heads(model, main.evaluation_sequences["icl"])
    return AblateHeads([(0, head) for head in heads])
