"""What the runs of chapters 2 and 3 share: characters, model, optimizer, evaluators.

Three scales:

- "laptop": 3,200 classes of the embedded bank, which are 400 characters in eight orientations each
  (for the thesis's 1,600 upright ones), 20 drawings a class, 8 pairs, 2 layers with MLPs, learned
  positions, a constant learning rate of 3e-4. Fewer classes than 1,623 are upright characters, so
  that a sweep over classes goes from the one kind to the other on its way.
  Found by a scan for the fewest classes that show any in-context learning, before a claim was
  looked at; one seed each, ICL (Flip) of p(bursty) 1: 1,600 upright characters 0.51 (1M); the same
  with 4 layers 0.52 (0.02) at 0.35M; 3,200 0.83 (0.24) at 0.35M; 6,400 0.92 (0.85) at 0.25M;
  12,800 0.96 at 0.5M.
- "published": drawings through the image embedding, 12 layers, sinusoidal positions, warm-up and
  inverse square root; exemplars of a class in a sequence are drawn without replacement. For a
  cluster. Evaluators have 2,000 fixed sequences, as on the laptop, for the thesis's 10,000 fresh
  ones: those of eight evaluators of images would not fit into 8 GiB. A mean over them has a
  standard error of 0.011 at most.
- "tiny": Gaussian classes and a quarter of the width, for tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from coopetition_interp.sweeps import PlannedRun
from coopetition_interp.tasks.exemplar_label import ExemplarLabelConfig, preset
from coopetition_interp.tasks.exemplar_label.features import (
    EmbeddedOmniglot,
    FeatureSource,
    GaussianFeatures,
    OmniglotImages,
)
from coopetition_interp.tasks.exemplar_label.sequences import (
    EvaluatorConfig,
    SequenceConfig,
    held_out_evaluators,
    standard_evaluators,
)
from coopetition_interp.training import ConfigError, Schedule

N_PAIRS = 8
UPRIGHT_CLASSES = 1_623
"""Characters of Omniglot; more classes than these are made by transforms."""
N_COMMON = 10

PUBLISHED_SCALE = "published"


@dataclass(frozen=True)
class Setting:
    """A scale's sizes. Lengths are in sequences seen.

    Attributes:
        n_classes: Classes trained on where nothing else is said; in place of the thesis's 1,600.
        many_classes: Where there are many (12,800).
        n_exemplars: Of each class (20).
        n_evaluated: Sequences of each evaluator.
        evaluate_every: Between evaluations.
        warmup_steps: Longest warm-up that is drawn for the comparison of architectures.
        distinct_exemplars: Whether a class's exemplars in a sequence, of training and of the
            evaluators, are drawn without replacement.
    """

    n_classes: int
    many_classes: int
    n_exemplars: int
    n_evaluated: int
    evaluate_every: int
    warmup_steps: int
    distinct_exemplars: bool = False


SETTINGS: dict[str, Setting] = {
    "tiny": Setting(40, 60, 5, 40, 400, 5),
    "laptop": Setting(3_200, 12_800, 20, 2_000, 20_000, 2_000),
    "published": Setting(1_600, 12_800, 20, 2_000, 100_000, 10_000, distinct_exemplars=True),
}


def require_scale(name: str) -> Setting:
    """The setting of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in SETTINGS:
        raise ConfigError(
            f"chapters 2 and 3 have no scale {name!r}: choose from {', '.join(SETTINGS)}"
        )
    return SETTINGS[name]


def base_config(scale: str, features: FeatureSource | None = None) -> ExemplarLabelConfig:
    """The run that all others are changes of: p(bursty) 1, classes and drawings of the scale.

    Args:
        scale: A key of `SETTINGS`.
        features: Instead of the scale's.

    Raises:
        ConfigError: No such scale.
    """
    setting = require_scale(scale)
    small = scale == "tiny"
    config = preset("tiny" if small else "laptop").replace(
        n_threads=1,  # runs go side by side
        features=features or _features(scale),
        sequences=SequenceConfig(n_pairs=N_PAIRS, distinct_exemplars=setting.distinct_exemplars),
        model={"mlps": True},
        optimizer={"learning_rate": 1e-3 if small else 3e-4},
        evaluators=evaluators(setting),
        evaluate_at=Schedule(every=setting.evaluate_every),
        checkpoint_at=Schedule(),
    )
    if scale == PUBLISHED_SCALE:
        config = config.replace(
            model={
                "n_layers": 12,
                "positions": "sinusoidal",
                "position_base": 30.0,
                "exemplar_embedding": "resnet",
                "attention_biases": True,
            },
            optimizer={"schedule": "inverse_sqrt", "warmup_steps": 4_000},
        )
    return with_classes(config, setting.n_classes, setting.n_exemplars)


def _features(scale: str) -> FeatureSource:
    if scale == "tiny":
        return GaussianFeatures(n_classes=80, n_exemplars=8, d_feature=10, within_class_sd=0.4)
    if scale == PUBLISHED_SCALE:
        return OmniglotImages(root="data", download=True)
    return EmbeddedOmniglot(transforms="unrotated")


def with_classes(
    config: ExemplarLabelConfig, n_classes: int, n_exemplars: int | None = None
) -> ExemplarLabelConfig:
    """The same with other classes or drawings; upright characters as long as there are enough."""
    classes = {"n_train": n_classes, "shuffle_seed": 0}
    if n_exemplars is not None:
        classes["n_train_exemplars"] = n_exemplars
    features = config.features
    if hasattr(features, "transforms"):
        transforms = "unrotated" if n_classes <= UPRIGHT_CLASSES else "all"
        features = features.replace(transforms=transforms)
    return config.replace(features=features, classes=classes)


def evaluators(
    setting: Setting, n_labels_per_class: int = 1, input_noise_sd: float = 0.0
) -> tuple[EvaluatorConfig, ...]:
    """train, icl, ciwl, flip, iwl, and ICL on held-out classes, over all classes and drawings."""
    shared = {
        "n_pairs": N_PAIRS,
        "n_sequences": setting.n_evaluated,
        "n_classes": None,
        "n_exemplars": None,
        "input_noise_sd": input_noise_sd,
    }
    standard = standard_evaluators(n_labels_per_class=n_labels_per_class, **shared)
    found = (*standard, *held_out_evaluators(**shared)[:1])
    drawn = {"distinct_exemplars": setting.distinct_exemplars}
    return tuple(evaluator.replace(sequences=drawn) for evaluator in found)


def common_and_rare(setting: Setting) -> tuple[EvaluatorConfig, ...]:
    """IWL of the ten commonest classes, and of all others."""
    common = EvaluatorConfig(
        "iwl_common",
        SequenceConfig(kind="iwl_only", n_pairs=N_PAIRS),  # shows each class once
        n_sequences=setting.n_evaluated,
        n_classes=N_COMMON,
        n_exemplars=None,
        score="accuracy",
    )
    rare = common.replace(name="iwl_rare", first_class=N_COMMON + 1, n_classes=None)
    return common, rare


def iwl_by_law(setting: Setting, zipf_exponent: float) -> EvaluatorConfig:
    """IWL whose classes follow the training law."""
    return EvaluatorConfig(
        "iwl_by_law",
        SequenceConfig(kind="iwl_only", n_pairs=N_PAIRS, zipf_exponent=zipf_exponent),
        n_sequences=setting.n_evaluated,
        n_classes=None,
        n_exemplars=None,
        score="accuracy",
    )


def runs_of_seeds(
    role: str, config: ExemplarLabelConfig, seeds: Sequence[int], **about: Any
) -> Iterator[PlannedRun]:
    """A run from each initial seed.

    Args:
        role: What is trained, for figures to select it by.
        config: The run, but for its seed.
        seeds: Initial seeds.
        **about: What else tells the run from others of its role.
    """
    for seed in seeds:
        yield PlannedRun(
            run_name(role, seed, **about),
            config.replace(model={"init_seed": seed}),
            about={"role": role, "init_seed": seed, **about},
        )


def run_name(role: str, seed: int, **about: Any) -> str:
    """A directory for the run, such as "l2/weight-0.1/init-5"."""
    details = "-".join(f"{name}-{value}" for name, value in about.items())
    parts = (role, details, f"init-{seed}")
    return "/".join(filter(None, parts)).replace("_", "-")
