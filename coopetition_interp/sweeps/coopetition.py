"""Every run of the coopetition paper, as data, at the scale of a preset.

Which checkpoint ends a strategy, and which heads carry previous-token attention, is measured on
the main run; the runs that hang on it wait for it.

Names, in the order they are run (a moment is in sequences seen):

    main                              bursty data (Figures 1b, 2, 3, 5b, 12, 14, 15)
    ciwl_only                         CIWL alone is possible
    icl_only                          ICL alone is possible (4a)
    grafts/main-end                   icl_only, block 1 and unembedding fixed to main's end (4a)
    grafts/main-MOMENT                the same from main's checkpoints, at the paper's scale
    grafts/ciwl-only-MOMENT           the same from ciwl_only's checkpoints (4b)
    resumed/ciwl-only-MOMENT          bursty data from ciwl_only's checkpoints (4c)
    matched                           the query exemplar itself is in context (6)
    one-layer                         (13)
    previous-token-blocked            layer 0 cannot attend to previous tokens from labels (18a)
    previous-token-heads-ablated      main's ICL heads off throughout (18b)
    seeds/init-S/...                  all of those from other initialisations
    seeds/data-S/main                 other training data (7)
    rotary, sinusoidal                other positions (8)
    sizes/CLASSESxEXEMPLARS           fewer classes or exemplars (9)
    mlps/CLASSESxEXEMPLARS            with MLPs (10)
    long                              five times as long, at the paper's scale (11)
    twelve-layers, twelve-layers-matched   at the paper's scale (6)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from coopetition_interp.analysis.icl_heads import icl_heads
from coopetition_interp.analysis.landmarks import landmarks
from coopetition_interp.interventions import AblateHeads, BlockPreviousToken, GraftOut
from coopetition_interp.sweeps.sweep import MakeConfig, PlannedRun
from coopetition_interp.tasks.exemplar_label import preset
from coopetition_interp.tasks.exemplar_label.features import (
    FeatureFile,
    FeatureSource,
    OmniglotFeatures,
)
from coopetition_interp.tasks.exemplar_label.sequences import standard_evaluators
from coopetition_interp.tasks.exemplar_label.sequences.sequence_config import SequenceKind
from coopetition_interp.training import ConfigError, Run, RunConfig, Schedule

MAIN_INIT_SEED, MAIN_DATA_SEED = 5, 2
OTHER_INIT_SEEDS = (6, 7)
OTHER_DATA_SEEDS = (3, 4)

FULL_SIZE = (12_800, 20)
SIZES = ((12_800, 5), (1_600, 20), (1_600, 5))
"""(classes, exemplars) of Figure 9; those of 1600 classes are unrotated characters."""

Moment = int | Literal["last"]
"""Of a checkpoint, in sequences seen."""


@dataclass(frozen=True)
class CoopetitionScale:
    """Lengths and moments of the sweep's runs, in sequences seen.

    Attributes:
        main: Length of the main run, whose checkpoints every `main_every` are analysed.
        main_every: See `main`.
        bursty: Length of the other runs that must show ICL come and fade, or not fade: the matched
            exemplars', the ablated heads', other data's, with MLPs at full size.
        icl_only: Length of the run on ICL-only data, without graft.
        grafted: Length of runs with a graft.
        resumed: Length of runs that start from a CIWL-only checkpoint.
        graft_from: Checkpoints of the CIWL-only run that are grafted from; it is as long as the
            last of them and of `resume_from`.
        resume_from: Checkpoints of it that bursty training starts from.
        graft_from_main: Checkpoints of the main run, besides its last, that are grafted from.
        evaluate_every: Between evaluations.
        n_evaluation_sequences: Of each evaluator, in all runs but the main one.
        long: Length of the long main run; 0 for none.
        twelve_layers: Length of the 12-layer runs; 0 for none.
        full_size: (classes, exemplars) of the main run.
        sizes: Those of the runs with fewer.
        seeds_graft_from: Those of `graft_from` that other seeds do too; None for all.
        seeds_resume_from: Those of `resume_from` that other seeds do too; None for all.
        seeds_bursty: `bursty` of other initialisations, and of their mains; None for the same.
        short: Length of the runs on bursty data that tell earlier; None for `bursty`.
    """

    main: int
    main_every: int
    bursty: int
    icl_only: int
    grafted: int
    resumed: int
    graft_from: tuple[int, ...]
    resume_from: tuple[int, ...]
    evaluate_every: int
    n_evaluation_sequences: int
    graft_from_main: tuple[int, ...] = ()
    long: int = 0
    twelve_layers: int = 0
    full_size: tuple[int, int] = FULL_SIZE
    sizes: tuple[tuple[int, int], ...] = SIZES
    seeds_graft_from: tuple[int, ...] | None = None
    seeds_resume_from: tuple[int, ...] | None = None
    seeds_bursty: int | None = None
    short: int | None = None


SCALES: dict[str, CoopetitionScale] = {
    # In a few thousand sequences, to try the machinery. In-context learning never dominates here,
    # so the runs without the heads that carry it fail, and say so.
    "tiny": CoopetitionScale(
        main=32_000,
        main_every=3_200,
        bursty=16_000,
        icl_only=6_400,
        grafted=6_400,
        resumed=6_400,
        graft_from=(1_600, 6_400, 16_000),
        resume_from=(1_600, 6_400),
        evaluate_every=3_200,
        n_evaluation_sequences=200,
        full_size=(64, 5),
        sizes=((64, 3), (32, 5), (32, 3)),
    ),
    # The preset's ICL comes at 0.15M; Flip peaks soon after, and is back at 0.5 between 0.4M and
    # 1.4M, by the initialisation.
    "laptop": CoopetitionScale(
        main=2_000_000,
        main_every=5_000,
        bursty=1_600_000,
        icl_only=400_000,
        grafted=400_000,
        resumed=400_000,
        graft_from=(100_000, 200_000, 400_000, 800_000, 1_600_000),
        resume_from=(20_000, 50_000, 100_000, 200_000, 400_000, 800_000),
        seeds_graft_from=(100_000, 400_000, 800_000),
        seeds_resume_from=(20_000, 400_000),
        seeds_bursty=1_200_000,
        short=500_000,
        evaluate_every=20_000,
        n_evaluation_sequences=2_000,
    ),
    # The real features' ICL comes at 0.15M and lasts to 2.8M.
    "omniglot": CoopetitionScale(
        main=5_000_000,
        main_every=100_000,
        bursty=3_200_000,
        icl_only=600_000,
        grafted=600_000,
        resumed=600_000,
        graft_from=(100_000, 300_000, 600_000),
        resume_from=(100_000, 300_000, 600_000),
        short=1_200_000,
        evaluate_every=50_000,
        n_evaluation_sequences=2_000,
    ),
    # Section 2 and Appendix B; where the released code's "12M" resume loads 10M, here it is 12M.
    # The paper shows main to 20M, and grafts from it there.
    "paper": CoopetitionScale(
        main=64_000_000,
        main_every=50_000,
        bursty=64_000_000,
        icl_only=64_000_000,
        grafted=64_000_000,
        resumed=64_000_000,
        graft_from=tuple(
            round(millions * 1_000_000)
            for millions in (4, 8, 9.75, 9.8, 15, 20, 25, 31.5, 32, 48, 64)
        ),
        resume_from=tuple(millions * 1_000_000 for millions in (4, 5, 6, 7, 8, 9, 10, 12, 16)),
        evaluate_every=50_000,
        n_evaluation_sequences=5_000,
        graft_from_main=(20_000_000,),
        long=320_000_000,
        twelve_layers=400_000_000,
    ),
}


def moment_name(sequences_seen: int) -> str:
    """A moment in a run's name, such as "0.40M"."""
    return f"{sequences_seen / 1e6:.4f}".rstrip("0").ljust(4, "0") + "M"


def coopetition_plan(
    preset_name: str = "laptop", features: FeatureSource | None = None
) -> list[PlannedRun]:
    """The paper's runs (its section 2 and appendices), most important first.

    Args:
        preset_name: "laptop", "omniglot" or "paper" (or "tiny", to try the machinery): the
            features, the optimizer and the lengths, which are `SCALES`.
        features: Instead of the preset's.

    Raises:
        ConfigError: No scale of that name.
    """
    if preset_name not in SCALES:
        raise ConfigError(
            f"the coopetition sweep has no preset {preset_name!r}: choose from {', '.join(SCALES)}"
        )
    scale = SCALES[preset_name]
    base = preset(preset_name)
    if preset_name != "paper":  # runs go side by side, one thread each
        base = base.replace(n_threads=1)
    if features is not None:
        base = base.replace(features=features)
    main = base.replace(
        n_sequences=scale.main,
        checkpoint_at=Schedule(every=scale.main_every),
        evaluate_at=Schedule(every=scale.evaluate_every),
        evaluators=standard_evaluators(n_sequences=base.evaluators[0].n_sequences),
    )
    measured = base.replace(
        evaluate_at=Schedule(every=scale.evaluate_every),
        evaluators=standard_evaluators(n_sequences=scale.n_evaluation_sequences),
    )
    light = _lasting(measured, scale.bursty)
    of_seeds = _lasting(light, scale.seeds_bursty or scale.bursty)
    seeded_main = of_seeds.replace(checkpoint_at=Schedule(every=scale.evaluate_every))
    short = _lasting(light, scale.short or scale.bursty)
    return [
        PlannedRun("main", main),
        *_runs_of_one_seed(light, short, scale, ""),
        *(
            planned
            for seed in OTHER_INIT_SEEDS
            for planned in (
                PlannedRun(
                    f"seeds/init-{seed}/main", seeded_main.replace(model={"init_seed": seed})
                ),
                *_runs_of_one_seed(
                    of_seeds.replace(model={"init_seed": seed}),
                    short.replace(model={"init_seed": seed}),
                    scale,
                    f"seeds/init-{seed}/",
                ),
            )
        ),
        *(
            PlannedRun(f"seeds/data-{seed}/main", light.replace(data_seed=seed))
            for seed in OTHER_DATA_SEEDS
        ),
        PlannedRun("rotary", short.replace(model={"positions": "rotary"})),
        PlannedRun("sinusoidal", short.replace(model={"positions": "sinusoidal"})),
        *(
            PlannedRun(f"sizes/{classes}x{exemplars}", _resized(short, classes, exemplars))
            for classes, exemplars in scale.sizes
        ),
        *(
            PlannedRun(
                f"mlps/{classes}x{exemplars}",
                _resized(
                    light if (classes, exemplars) == scale.full_size else short, classes, exemplars
                ).replace(model={"mlps": True}),
            )
            for classes, exemplars in (scale.full_size, *scale.sizes)
        ),
        *_runs_at_the_papers_scale(light, scale),
    ]


def _runs_of_one_seed(
    light: RunConfig, short: RunConfig, scale: CoopetitionScale, prefix: str
) -> list[PlannedRun]:
    """The runs behind the paper's claims, but main, from one initialisation."""
    main, ciwl_only = f"{prefix}main", f"{prefix}ciwl_only"
    graft_from, resume_from = scale.graft_from, scale.resume_from
    if prefix and scale.seeds_graft_from is not None:
        graft_from = scale.seeds_graft_from
    if prefix and scale.seeds_resume_from is not None:
        resume_from = scale.seeds_resume_from
    icl = _on(light, "icl_only")
    grafted = icl.replace(n_sequences=scale.grafted, checkpoint_at=Schedule())
    resumed = light.replace(n_sequences=scale.resumed, checkpoint_at=Schedule())
    heads_of_layer_0 = [(0, head) for head in range(light.model.n_heads)]
    no_previous_token = BlockPreviousToken(heads_of_layer_0, label_rows_only=True)

    def graft(name: str, donor: str, moment: Moment) -> PlannedRun:
        return PlannedRun(f"{prefix}grafts/{name}", _grafted(grafted, donor, moment), (donor,))

    return [
        PlannedRun(
            ciwl_only,
            _on(light, "ciwl_only").replace(
                n_sequences=max(*graft_from, *resume_from),
                checkpoint_at=Schedule(
                    every=scale.evaluate_every,
                    at=tuple(sorted({*graft_from, *resume_from})),
                ),
            ),
        ),
        PlannedRun(
            f"{prefix}icl_only",
            icl.replace(n_sequences=scale.icl_only, checkpoint_at=Schedule()),
        ),
        graft("main-end", main, "last"),
        *(graft(f"main-{moment_name(at)}", main, at) for at in scale.graft_from_main),
        *(graft(f"ciwl-only-{moment_name(at)}", ciwl_only, at) for at in graft_from),
        *(
            PlannedRun(
                f"{prefix}resumed/ciwl-only-{moment_name(at)}",
                _resumed(resumed, ciwl_only, at),
                (ciwl_only,),
            )
            for at in resume_from
        ),
        PlannedRun(f"{prefix}matched", _on(light, "matched")),
        PlannedRun(f"{prefix}one-layer", short.replace(model={"n_layers": 1})),
        PlannedRun(f"{prefix}previous-token-blocked", short.replace(clamps=(no_previous_token,))),
        PlannedRun(
            f"{prefix}previous-token-heads-ablated",
            lambda runs: light.replace(clamps=(_without_icl_heads(runs[main]),)),
            (main,),
        ),
    ]


def _runs_at_the_papers_scale(light: RunConfig, scale: CoopetitionScale) -> list[PlannedRun]:
    runs = []
    if scale.long:
        runs.append(PlannedRun("long", light.replace(n_sequences=scale.long)))
    if scale.twelve_layers:
        deep = light.replace(
            n_sequences=scale.twelve_layers,
            model={"n_layers": 12, "mlps": True, "positions": "sinusoidal", "position_base": 30.0},
            optimizer={"learning_rate": 3e-4},
            sequences={"n_pairs": 8},
            evaluators=standard_evaluators(n_pairs=8, n_sequences=scale.n_evaluation_sequences),
        )
        runs += [
            PlannedRun("twelve-layers", deep),
            PlannedRun("twelve-layers-matched", _on(deep, "matched")),
        ]
    return runs


def _lasting(config: RunConfig, n_sequences: int) -> RunConfig:
    """As long as that, with a checkpoint at its end."""
    return config.replace(n_sequences=n_sequences, checkpoint_at=Schedule(at=(n_sequences,)))


def _on(config: RunConfig, kind: SequenceKind) -> RunConfig:
    return config.replace(sequences={"kind": kind})


def _grafted(config: RunConfig, donor: str, moment: Moment) -> MakeConfig:
    """Block 1 and the unembedding fixed to a checkpoint's (paper, section 5.1)."""

    def make(runs: Mapping[str, Run]) -> RunConfig:
        return config.replace(clamps=(GraftOut(_checkpoint(runs[donor], moment), layer=0),))

    return make


def _resumed(config: RunConfig, donor: str, moment: Moment) -> MakeConfig:
    """From a checkpoint's weights, with a fresh optimizer (paper, section 5.2)."""

    def make(runs: Mapping[str, Run]) -> RunConfig:
        return config.replace(start_from=_checkpoint(runs[donor], moment))

    return make


def _checkpoint(run: Run, moment: Moment) -> str:
    """File of the checkpoint at a moment, which falls on the end of a step.

    Raises:
        ConfigError: The run kept none there, so that another moment's would be taken for it.
    """
    if moment == "last":
        return str(run.checkpoint_path("last").resolve())
    nearest = run.nearest_checkpoint(float(moment))
    if not 0 <= nearest - moment < run.config.batch_size:
        raise ConfigError(
            f"{run.path} has no checkpoint at {moment} sequences seen, the nearest is at {nearest}"
        )
    return str(run.checkpoint_path(nearest).resolve())


def _without_icl_heads(main: Run) -> AblateHeads:
    peak = landmarks(main.metrics).flip_peak
    if peak is None:
        raise ConfigError(
            f"{main.path}: in-context learning never dominates, so no head carries it: nothing to "
            "ablate"
        )
    model = main.model(main.nearest_checkpoint(peak.sequences_seen))
    heads = icl_heads(model, main.evaluation_sequences["icl"])
    return AblateHeads([(0, head) for head in heads])


def _resized(config: RunConfig, n_classes: int, n_exemplars: int) -> RunConfig:
    """Fewer classes or exemplars; 1600 classes are those of 1600 characters, unrotated."""
    features = config.features
    if n_classes <= 1_600 and isinstance(features, FeatureFile | OmniglotFeatures):
        features = features.replace(transforms="unrotated")
    smaller = config.classes.n_train is not None and config.classes.n_train < n_classes
    classes = {"n_train_exemplars": n_exemplars} | ({} if smaller else {"n_train": n_classes})
    return config.replace(features=features, classes=classes)


def moment_in_name(name: str) -> int:
    """Sequences seen, from the end of a run's name that `moment_name` made."""
    return round(float(name.rpartition("-")[2].removesuffix("M")) * 1e6)
