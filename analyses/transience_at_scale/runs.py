"""Every run of the study of transience at scale (thesis, chapter 3), as data.

    coopetition-interp sweep analyses/transience_at_scale/runs.py --out runs/transience-at-scale

All data are bursty. Each run says what it is (`about`): its role, the seeds, and

    role      more          what is varied
    default                 nothing (3.2); what the others are compared with
    depth     n_layers      (3.3)
    drawings  n_exemplars   (3.4)
    sizes     n_classes, n_exemplars  all transforms of a character as one class, or 8 (3.5)
    tokens    n_classes, n_exemplars, clustering  clusters of token embeddings (3.6, B.1, B.2); at
              the published scale also model, whose embeddings they are
    zipf      exponent      law of class frequencies, at many classes (3.7, which does not say how
              many)
    l2        weight        L2 penalty on all weights (3.8, B.3, B.4)
    width     d_model, data on bursty, ICL-only or IWL-only data (3.9)
    l2_part   part          the best weight of `l2` on one part alone (3.10)

Clusters of tokens are read from files, which `coopetition-interp clusters` makes (see `TOKENS`);
their runs are planned where those files are.

The published plan has three initial seeds where the thesis has two, since a verdict needs three.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analyses.chapters_2_and_3.setting import (
    PUBLISHED_SCALE,
    Setting,
    base_config,
    evaluators,
    iwl_by_law,
    require_scale,
    run_name,
    runs_of_seeds,
    with_classes,
)
from analyses.transience_at_scale.best_l2_weight import best_weight
from analyses.transience_at_scale.scales import SCALES, Scale
from coopetition_interp.analysis.peaks import shape_of
from coopetition_interp.sweeps import PlannedRun
from coopetition_interp.sweeps.plan import MakeConfig
from coopetition_interp.tasks.exemplar_label import ExemplarLabelConfig
from coopetition_interp.tasks.exemplar_label.features import FeatureFile, FeatureSource
from coopetition_interp.tasks.exemplar_label.sequences import EvaluatorConfig
from coopetition_interp.training import ConfigError, Run

__all__ = ["PUBLISHED_SCALE", "plan"]

TOKENS = "runs/token-clusters/{n_classes}x{n_exemplars}-seed-{seed}.safetensors"
"""Feature files of token clusters, made from any language model's embedding matrix.

Of the 256-dimensional table of the PyPI package wordllama, tokens 259 to 29,870: `--clusters 4800
--classes 2800 --exemplars 5 --least 5`, and `--clusters 2400 --classes 1400 --exemplars 10 --least
10`, `--seed` 4 and 5. A twentieth of the classes is held out.
"""
TOKENS_OF_MODEL = "runs/token-clusters/{model}-{n_classes}x{n_exemplars}-seed-{seed}.safetensors"
"""The same of the embeddings of a language model, for the published scale.

The thesis takes those of LLaMA 1, tokens 259 to 29,870, and clusters of more than 5 (10) of them:
`--clusters 4800 --classes 3200 --exemplars 5 --least 6`, and `--clusters 2400 --classes 1600
--exemplars 10 --least 11`. All of the classes are trained on.
"""
CLUSTERING_SEEDS = (4, 5)


def plan(preset_name: str = "laptop", features: FeatureSource | None = None) -> list[PlannedRun]:
    """The study's runs, the most important first, each after those it needs.

    Arguments and errors are those of `base_config`.
    """
    setting = require_scale(preset_name)
    base, scale = base_config(preset_name, features), SCALES[preset_name]
    return [
        *_seeds("default", base.replace(n_sequences=scale.default), scale),
        *_sizes(base.replace(n_sequences=scale.others), scale, setting),
        *_l2(base.replace(n_sequences=scale.others), scale),
        *_depth_and_drawings(base.replace(n_sequences=scale.others), scale),
        *_zipf(base.replace(n_sequences=scale.others), scale, setting),
        *_tokens(base.replace(n_sequences=scale.on_tokens), scale, setting),
        *_width(base.replace(n_sequences=scale.on_widths), scale),
        *_l2_parts(base.replace(n_sequences=scale.others), scale),
    ]


def _sizes(base: ExemplarLabelConfig, scale: Scale, setting: Setting) -> Iterator[PlannedRun]:
    n_classes, n_exemplars = scale.transforms
    merged = with_classes(base, setting.many_classes)  # all transforms
    merged = merged.replace(
        classes={"n_train": n_classes, "n_train_exemplars": None, "groups_as_classes": True}
    )
    yield from _seeds("sizes", merged, scale, n_classes=n_classes, n_exemplars=n_exemplars)
    many = with_classes(base, setting.many_classes)
    about = {"n_classes": setting.many_classes, "n_exemplars": setting.n_exemplars}
    yield from _seeds("sizes", many, scale, **about)


def _l2(base: ExemplarLabelConfig, scale: Scale) -> Iterator[PlannedRun]:
    for weight in scale.weights:
        yield from _seeds("l2", base.replace(optimizer={"l2": weight}), scale, weight=weight)


def _depth_and_drawings(base: ExemplarLabelConfig, scale: Scale) -> Iterator[PlannedRun]:
    for n_layers in scale.depths:
        if n_layers != base.model.n_layers:
            config = base.replace(model={"n_layers": n_layers})
            yield from _seeds("depth", config, scale, n_layers=n_layers)
    for n_exemplars in scale.drawings:
        if n_exemplars != base.classes.n_train_exemplars:
            config = base.replace(classes={"n_train_exemplars": n_exemplars})
            yield from _seeds("drawings", config, scale, n_exemplars=n_exemplars)


def _zipf(base: ExemplarLabelConfig, scale: Scale, setting: Setting) -> Iterator[PlannedRun]:
    many = with_classes(base, setting.many_classes)
    for exponent in scale.exponents:
        config = many.replace(
            sequences={"zipf_exponent": exponent},
            evaluators=(*base.evaluators, iwl_by_law(setting, exponent)),
        )
        yield from _seeds("zipf", config, scale, exponent=exponent)


def _tokens(base: ExemplarLabelConfig, scale: Scale, setting: Setting) -> Iterator[PlannedRun]:
    """Through one linear layer, at a constant rate, exemplars drawn independently (thesis 3.6)."""
    base = base.replace(
        model={"exemplar_embedding": "linear", "attention_biases": False},
        optimizer={"schedule": "constant", "warmup_steps": 0},
        sequences={"distinct_exemplars": False},
        evaluators=evaluators(dataclasses.replace(setting, distinct_exemplars=False)),
    )
    models: list[dict[str, str]] = [{"model": name} for name in scale.language_models]
    for (n_classes, n_exemplars), seed, model in itertools.product(
        scale.tokens, CLUSTERING_SEEDS, models or [{}]
    ):
        sizes = {"n_classes": n_classes, "n_exemplars": n_exemplars}
        path = Path((TOKENS_OF_MODEL if model else TOKENS).format(seed=seed, **sizes, **model))
        if not path.is_file():
            continue
        config = base.replace(
            features=FeatureFile(str(path)),  # from the root, as a sweep is started
            classes={"n_train": n_classes, "n_train_exemplars": n_exemplars},
        )
        if model:
            config = config.replace(evaluators=_on_training_classes(base))
        else:
            held_out = max(2, n_classes // 20)
            config = config.replace(classes={"n_train": n_classes - held_out})
        yield from _seeds("tokens", config, scale, **sizes, clustering=seed, **model)


def _on_training_classes(base: ExemplarLabelConfig) -> tuple[EvaluatorConfig, ...]:
    return tuple(each for each in base.evaluators if each.classes == "train")


def _width(base: ExemplarLabelConfig, scale: Scale) -> Iterator[PlannedRun]:
    by_name = {each.name: each for each in base.evaluators}
    zero_one = (by_name["icl"], by_name["held_out_icl"])
    kinds: dict[str, dict[str, Any]] = {
        "bursty": {},
        "icl_only": {
            "sequences": {"kind": "icl_only", "n_sequence_labels": 2},
            "evaluators": zero_one,
        },
        "iwl_only": {"sequences": {"kind": "iwl_only"}, "evaluators": (by_name["iwl"],)},
    }
    for data, changes in kinds.items():
        for d_model in scale.widths:
            if data == "bursty" and d_model == base.model.d_model:
                continue  # the default run
            config = base.replace(model={"d_model": d_model}, **changes)
            if scale.heads_grow:
                config = config.replace(model={"d_head": d_model // base.model.n_heads})
            yield from _seeds("width", config, scale, d_model=d_model, data=data)


PARTS = {"mlp": ("mlp",), "attention": ("attention",), "embedding": ("exemplar_embedding",)}


def _l2_parts(base: ExemplarLabelConfig, scale: Scale) -> Iterator[PlannedRun]:
    needed = {
        weight: tuple(run_name("l2", seed, weight=weight) for seed in scale.seeds)
        for weight in scale.weights
    }
    needs = tuple(name for names in needed.values() for name in names)
    for part, l2_on in PARTS.items():
        for seed in scale.seeds:
            made = _at_best_weight(base.replace(model={"init_seed": seed}), needed, l2_on)
            about = {"role": "l2_part", "init_seed": seed, "part": part}
            yield PlannedRun(run_name("l2_part", seed, part=part), made, needs, about)


def _at_best_weight(
    base: ExemplarLabelConfig, needed: Mapping[float, tuple[str, ...]], l2_on: tuple[str, ...]
) -> MakeConfig:
    """A run's config from those of `l2`, of every seed.

    It raises ConfigError where in-context learning emerges, and stops rising, at no weight.
    """

    def make(runs: Mapping[str, Run]) -> ExemplarLabelConfig:
        rows = []
        for weight, names in needed.items():
            for icl in (shape_of(runs[name].metrics) for name in names):
                rows.append((weight, icl.emerged, icl.rising, icl.fall))
        best = best_weight(pd.DataFrame(rows, columns=["weight", "emerged", "rising", "fall"]))
        if best is None:
            raise ConfigError(
                "in-context learning emerges, and stops rising, under no L2 penalty: none is the "
                "best"
            )
        return base.replace(optimizer={"l2": best, "l2_on": l2_on})

    return make


def _seeds(
    role: str, config: ExemplarLabelConfig, scale: Scale, **about: Any
) -> Iterator[PlannedRun]:
    return runs_of_seeds(role, config, scale.seeds, **about)
