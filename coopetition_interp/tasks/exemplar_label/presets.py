"""Named runs to start from. Every field can be changed (`replace`, or `field=value`)."""

from __future__ import annotations

from collections.abc import Callable

from coopetition_interp.tasks.exemplar_label.config import ClassesConfig, ExemplarLabelConfig
from coopetition_interp.tasks.exemplar_label.features import (
    EmbeddedOmniglot,
    FeatureFile,
    GaussianFeatures,
    OmniglotFeatures,
)
from coopetition_interp.tasks.exemplar_label.model import ModelConfig
from coopetition_interp.tasks.exemplar_label.sequences import (
    SequenceConfig,
    held_out_evaluators,
    induction_evaluators,
    standard_evaluators,
)
from coopetition_interp.training.run_config import named_preset
from coopetition_interp.training.schedules import OptimizerConfig, Schedule


def tiny() -> ExemplarLabelConfig:
    """Seconds: 64 Gaussian classes, a quarter-size model, all its checkpoints. For tests."""
    return ExemplarLabelConfig(
        name="tiny",
        features=GaussianFeatures(n_classes=80, n_exemplars=5, d_feature=16, within_class_sd=0.3),
        classes=ClassesConfig(n_train=64),
        model=ModelConfig(n_heads=4, d_model=32),
        optimizer=OptimizerConfig(learning_rate=3e-3),
        n_sequences=32_000,
        n_threads=1,
        evaluators=standard_evaluators(n_sequences=500),
        evaluate_at=Schedule(every=3_200),
        checkpoint_at=Schedule(every=3_200),
    )


def laptop() -> ExemplarLabelConfig:
    """Minutes: real characters, in the package; in-context learning comes and goes."""
    return ExemplarLabelConfig(
        name="laptop",
        features=EmbeddedOmniglot(),
        classes=ClassesConfig(n_train=12_800),
        optimizer=OptimizerConfig(learning_rate=1e-4),
        n_sequences=3_000_000,
        evaluators=standard_evaluators(n_sequences=2_000),
        evaluate_at=Schedule(every=50_000, log_spaced=20, log_from=10_000),
        checkpoint_at=Schedule(every=100_000, log_spaced=20, log_from=50_000),
    )


def omniglot() -> ExemplarLabelConfig:
    """Hours: a feature file of 12,984 character classes, at the paper's learning rate."""
    return ExemplarLabelConfig(
        name="omniglot",
        features=FeatureFile(path="omniglot_features.h5"),
        classes=ClassesConfig(n_train=12_800),
        optimizer=OptimizerConfig(learning_rate=1e-5),
        n_sequences=20_000_000,
        evaluators=standard_evaluators() + held_out_evaluators(),
        evaluate_at=Schedule(every=100_000, log_spaced=30, log_from=10_000),
        checkpoint_at=Schedule(every=200_000, log_spaced=20, log_from=50_000),
    )


def gaussian() -> ExemplarLabelConfig:
    """Minutes: 12,800 Gaussian classes, so separable that telling them takes no heads."""
    return ExemplarLabelConfig(
        name="gaussian",
        features=GaussianFeatures(d_feature=20, within_class_sd=0.9),
        classes=ClassesConfig(n_train=12_800),
        optimizer=OptimizerConfig(learning_rate=3e-4),
        n_sequences=2_000_000,
        evaluators=standard_evaluators() + held_out_evaluators(),
        evaluate_at=Schedule(every=50_000, log_spaced=20, log_from=10_000),
        checkpoint_at=Schedule(every=100_000, log_spaced=20, log_from=50_000),
    )


def paper() -> ExemplarLabelConfig:
    """Days: the coopetition paper's main run to the letter (section 2.1), 64M sequences."""
    return ExemplarLabelConfig(
        name="paper",
        features=OmniglotFeatures(root="data", download=True),
        classes=ClassesConfig(n_train=12_800, shuffle_seed=0),
        optimizer=OptimizerConfig(learning_rate=1e-5),
        n_sequences=64_000_000,
        evaluators=standard_evaluators() + held_out_evaluators(),
        evaluate_at=Schedule(every=50_000),
        checkpoint_at=Schedule(every=50_000),
    )


def induction() -> ExemplarLabelConfig:
    """A minute: the induction-head work's main run (thesis section 4.2) on Gaussian features."""
    return ExemplarLabelConfig(
        name="induction",
        features=GaussianFeatures(n_classes=1623, n_exemplars=2, d_feature=64),
        classes=ClassesConfig(n_train=50, n_train_exemplars=1, n_held_out=100, shuffle_seed=0),
        sequences=SequenceConfig(kind="icl_only", n_sequence_labels=5, label_pairs="train"),
        model=ModelConfig(positions="rotary", position_base=10_000.0),
        optimizer=OptimizerConfig(learning_rate=1e-5),
        n_sequences=1_000_000,
        evaluators=induction_evaluators(),
        evaluate_at=Schedule(every=10_000),
        checkpoint_at=Schedule(every=1_000),
    )


PRESETS: dict[str, Callable[[], ExemplarLabelConfig]] = {
    preset.__name__: preset for preset in (tiny, laptop, omniglot, gaussian, induction, paper)
}


def preset(name: str) -> ExemplarLabelConfig:
    """The preset of this name.

    Raises:
        ConfigError: If there is none.
    """
    return named_preset(name, PRESETS)
