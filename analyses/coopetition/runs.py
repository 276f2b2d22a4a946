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

from collections.abc import Iterator

from analyses.coopetition.planned import (
    AT_THE_END,
    MAIN_DATA_SEED,
    grafted,
    of_seed,
    resumed_from,
    run_name,
    run_of,
)
from analyses.coopetition.scales import SCALES, Scale
from coopetition_interp.analysis.icl_heads import icl_heads
from coopetition_interp.analysis.moments import moments_of
from coopetition_interp.interventions import (
    AblateHeads,
    BlockPreviousToken,
    PreviousTokenHeads,
    SelfAttentionHeads,
)
from coopetition_interp.sweeps.plan import PlannedRun
from coopetition_interp.tasks.exemplar_label import ExemplarLabelConfig, preset
from coopetition_interp.tasks.exemplar_label.features import EmbeddedOmniglot, FeatureSource
from coopetition_interp.tasks.exemplar_label.sequences import (
    matched_evaluators,
    standard_evaluators,
)
from coopetition_interp.training import ConfigError, Run, Schedule

PUBLISHED_SCALE = "paper"

OTHER_DATA_SEEDS = (3, 4)


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
        yield run_of("long", base.replace(n_sequences=scale.long), first)
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
    return run_of("main", config, seed)


def _donated(base: ExemplarLabelConfig, scale: Scale, seed: int) -> Iterator[PlannedRun]:
    """The run on CIWL-only data, and those that begin with a part of it."""
    moments = tuple(sorted({*scale.graft_from, *scale.resume_from}))
    ciwl_only = run_of(
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
        yield grafted("graft", on_icl_only, ciwl_only.name, moment, seed)
    for moment in scale.resume_from:
        resumed = base.replace(n_sequences=scale.resumed)
        yield resumed_from(resumed, ciwl_only.name, moment, seed)


def _beside_main(base: ExemplarLabelConfig, scale: Scale, seed: int) -> Iterator[PlannedRun]:
    main = run_name("main", seed)
    layer_0 = [(0, head) for head in range(base.model.n_heads)]
    icl_only = base.replace(sequences={"kind": "icl_only"})
    yield run_of("icl_only", icl_only.replace(n_sequences=scale.icl_only), seed)
    graft = icl_only.replace(n_sequences=scale.graft_of_main)
    yield grafted("graft_of_main", graft, main, AT_THE_END, seed)
    yield run_of(
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
        yield run_of(role, base.replace(n_sequences=scale.blocked, clamps=(clamp,)), seed)
    yield PlannedRun(
        run_name("ablated", seed),
        lambda runs: of_seed(
            base.replace(n_sequences=scale.ablated, clamps=(_icl_heads_off(runs[main]),)), seed
        ),
        (main,),
        about={"role": "ablated", "init_seed": seed, "data_seed": base.data_seed},
    )
    one_layer = base.replace(n_sequences=scale.one_layer, model={"n_layers": 1})
    yield run_of("one_layer", one_layer, seed)


def _positions(base: ExemplarLabelConfig, scale: Scale, seed: int) -> Iterator[PlannedRun]:
    if not scale.positions:
        return
    perfect = PreviousTokenHeads([(0, 0)])
    for positions in ("rotary", "sinusoidal"):
        for clamps in ((), (perfect,)):
            config = base.replace(
                n_sequences=scale.positions, model={"positions": positions}, clamps=clamps
            )
            yield run_of("positions", config, seed, positions=positions, clamped=bool(clamps))


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
        yield run_of("twelve_layers", deep.replace(sequences={"kind": kind}), seed, kind=kind)


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
    return run_of("size", changed, seed, n_classes=n_classes, n_exemplars=n_exemplars, mlps=mlps)


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
