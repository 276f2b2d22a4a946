"""Every run of the study of data properties (thesis, chapter 2), as data.

    coopetition-interp sweep analyses/data_properties/runs.py --out runs/data-properties

Each run says what it is (`about`): its role, the seeds, and

    role          more                        what is varied
    burstiness    p_bursty                    share of bursty sequences (2.2, A.1; also of 2.3, 2.5)
    variation     n_exemplars, noise, p_bursty  one drawing of each class, with noise (2.3)
    labels        n_labels                    labels a class owns (2.4)
    classes       n_classes                   classes at p(bursty) 0.9 (2.5)
    zipf          exponent                    law of class frequencies (2.6)
    architecture  kind, draw                  transformers and recurrent nets at random rates (2.7)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analyses.chapters_2_and_3.setting import (
    PUBLISHED_SCALE,
    Setting,
    base_config,
    common_and_rare,
    evaluators,
    require_scale,
    runs_of_seeds,
    with_classes,
)
from coopetition_interp.sweeps import PlannedRun
from coopetition_interp.tasks.exemplar_label import ExemplarLabelConfig
from coopetition_interp.tasks.exemplar_label.features import FeatureSource

__all__ = ["PUBLISHED_SCALE", "plan"]

P_BURSTY = (0.0, 0.5, 0.75, 0.9, 1.0)
P_OF_VARIATION = (0.5, 0.9, 1.0)
NOISES = (0.0, 0.2, 0.4, 0.8)
"""Drawings of a character differ by 0.75 a coordinate, characters by 0.97 (embedded bank)."""
LABELS = (1, 2, 4)
EXPONENTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
KINDS = ("transformer", "rnn", "lstm")
MOSTLY_BURSTY = 0.9

M = 1_000_000


@dataclass(frozen=True)
class Scale:
    """Lengths (in sequences seen), seeds and class counts.

    Attributes:
        lengths: Of a run, by role.
        seeds: Initial seeds, by role.
        classes: Numbers of classes of Figure 2.5, besides the setting's own.
        label_classes: Classes of Figure 2.4, whose readout grows with the labels.
        draws: Random learning rates and warm-ups for each architecture.
        depths: Layers of each architecture.
        architecture_p: p(bursty) of the comparison of architectures.
    """

    lengths: Mapping[str, int]
    seeds: Mapping[str, tuple[int, ...]]
    classes: tuple[int, ...]
    label_classes: int
    draws: int
    depths: tuple[int, ...]
    architecture_p: float


FIVE, THREE = (5, 6, 7, 8, 9), (5, 6, 7)
ROLES = ("burstiness", "variation", "labels", "classes", "zipf", "architecture")

SCALES: dict[str, Scale] = {
    "tiny": Scale(
        dict.fromkeys(ROLES, 4_000),
        {**dict.fromkeys(ROLES, THREE), "architecture": (5,)},
        (10, 20, 60),
        20,
        3,
        (2,),
        1.0,
    ),
    "laptop": Scale(
        lengths={
            "burstiness": 600_000,
            "variation": 400_000,
            "labels": 600_000,
            "classes": 600_000,
            "zipf": 1 * M,
            "architecture": 300_000,
        },
        seeds={
            "burstiness": FIVE,
            "variation": THREE,
            "labels": FIVE,
            "classes": FIVE,
            "zipf": THREE,
            "architecture": (5,),
        },
        classes=(100, 800, 12_800),
        label_classes=800,
        draws=12,
        depths=(2,),
        architecture_p=1.0,  # two layers learn little in context at 0.9
    ),
    "published": Scale(
        dict.fromkeys(ROLES, 16 * M),
        {**dict.fromkeys(ROLES, THREE), "architecture": (5,)},
        (100, 200, 400, 800, 12_800),
        1_600,
        15,
        (2, 12),
        0.9,
    ),
}


def plan(preset_name: str = "laptop", features: FeatureSource | None = None) -> list[PlannedRun]:
    """The study's runs, the most important first.

    Arguments and errors are those of `base_config`.
    """
    setting = require_scale(preset_name)
    base, scale = base_config(preset_name, features), SCALES[preset_name]
    return [
        *_burstiness(base, scale),
        *_classes(base, scale),
        *_zipf(base, scale, setting),
        *_variation(base, scale, setting),
        *_labels(base, scale, setting),
        *_architectures(base, scale, setting),
    ]


def _burstiness(base: ExemplarLabelConfig, scale: Scale) -> Iterator[PlannedRun]:
    for p in P_BURSTY:
        config = base.replace(sequences={"p_bursty": p})
        yield from _seeds("burstiness", config, scale, p_bursty=p)


def _classes(base: ExemplarLabelConfig, scale: Scale) -> Iterator[PlannedRun]:
    for n_classes in scale.classes:
        config = with_classes(base, n_classes).replace(sequences={"p_bursty": MOSTLY_BURSTY})
        yield from _seeds("classes", config, scale, n_classes=n_classes)


def _zipf(base: ExemplarLabelConfig, scale: Scale, setting: Setting) -> Iterator[PlannedRun]:
    many = with_classes(base, setting.many_classes)
    for exponent in EXPONENTS:
        config = many.replace(
            sequences={"p_bursty": MOSTLY_BURSTY, "zipf_exponent": exponent},
            evaluators=(*base.evaluators, *common_and_rare(setting)),
        )
        yield from _seeds("zipf", config, scale, exponent=exponent)


def _variation(base: ExemplarLabelConfig, scale: Scale, setting: Setting) -> Iterator[PlannedRun]:
    """One drawing; those of all drawings are among the runs on burstiness."""
    for p in P_OF_VARIATION:
        for noise in NOISES:
            config = base.replace(
                classes={"n_train_exemplars": 1},
                sequences={"p_bursty": p, "input_noise_sd": noise},
                evaluators=evaluators(setting, input_noise_sd=noise),
            )
            about = {"n_exemplars": 1, "noise": noise, "p_bursty": p}
            yield from _seeds("variation", config, scale, **about)


def _labels(base: ExemplarLabelConfig, scale: Scale, setting: Setting) -> Iterator[PlannedRun]:
    fewer = with_classes(base, scale.label_classes)
    for n_labels in LABELS:
        config = fewer.replace(
            sequences={"p_bursty": MOSTLY_BURSTY, "n_labels_per_class": n_labels},
            evaluators=evaluators(setting, n_labels),
        )
        yield from _seeds("labels", config, scale, n_labels=n_labels)


def _architectures(
    base: ExemplarLabelConfig, scale: Scale, setting: Setting
) -> Iterator[PlannedRun]:
    """Every architecture gets the same draws: rate 1e-5..0.1 and warm-up, both log-uniform."""
    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-5, -1, scale.draws)
    warmups = setting.warmup_steps ** rng.uniform(0, 1, scale.draws)
    for depth in scale.depths:
        for draw in range(scale.draws):
            for kind in KINDS:
                config = base.replace(
                    sequences={"p_bursty": scale.architecture_p},
                    model={
                        "kind": kind,
                        "mlps": kind == "transformer",
                        "attention_biases": base.model.attention_biases and kind == "transformer",
                        "n_layers": depth,
                    },
                    optimizer={
                        "learning_rate": float(rates[draw]),
                        "schedule": "inverse_sqrt",
                        "warmup_steps": round(float(warmups[draw])),
                    },
                )
                about = {"kind": kind, "depth": depth, "draw": draw}
                yield from _seeds("architecture", config, scale, **about)


def _seeds(
    role: str, config: ExemplarLabelConfig, scale: Scale, **about: Any
) -> Iterator[PlannedRun]:
    of_its_length = config.replace(n_sequences=scale.lengths[role])
    return runs_of_seeds(role, of_its_length, scale.seeds[role], **about)
