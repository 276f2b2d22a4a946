"""What a config describes, made: data, model, evaluation sequences; and the machine it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from coopetition_interp.config_class import ConfigError
from coopetition_interp.interventions import (
    BoundClamps,
    PhasedClamps,
    bind_phases,
    clamp_to_dict,
)
from coopetition_interp.tasks.exemplar_label.evaluation import Scorer
from coopetition_interp.tasks.exemplar_label.features import FeatureBank, FeatureSplit
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer
from coopetition_interp.tasks.exemplar_label.sequences import (
    Sequences,
    SequenceSampler,
    make_evaluation_sequences,
)
from coopetition_interp.training.run import load_weights
from coopetition_interp.training.run_config import RunConfig

COMPILE_ABOVE_STEPS = 3000


@dataclass
class Task:
    """What a config describes, made: data, model and evaluation sequences.

    Attributes:
        bank: The features.
        split: Training and held-out classes and exemplars.
        sampler: Training batches by step.
        model: The freshly initialised model, on the run's device.
        evaluation_sequences: Fixed sequences by evaluator name, on the run's device.
    """

    bank: FeatureBank
    split: FeatureSplit
    sampler: SequenceSampler
    model: ExemplarLabelTransformer
    evaluation_sequences: dict[str, Sequences]


def build_task(config: RunConfig, device: torch.device) -> Task:
    """Loads the features and makes what a run needs, so that bad input shows before training.

    Raises:
        ValueError: The config contradicts the features or itself.
        FileNotFoundError: A file it names is not there.
    """
    bank = config.features.load()
    split = config.classes.split(bank)
    sampler = SequenceSampler(
        bank,
        config.sequences,
        classes=split.train_classes,
        exemplars=split.train_exemplars,
        batch_size=config.batch_size,
        seed=config.data_seed,
    )
    model = config.model.build(bank.d_feature, sampler.n_labels, config.sequences.n_pairs)
    if config.start_from is not None:
        load_weights(model, config.start_from)
    evaluation_sequences = make_evaluation_sequences(
        bank, split, config.evaluators, seed=config.evaluation_seed, n_labels=sampler.n_labels
    )
    return Task(
        bank,
        split,
        sampler,
        model.to(device, print_details=False),
        {name: sequences.to(device) for name, sequences in evaluation_sequences.items()},
    )


def bind_clamps(config: RunConfig, task: Task) -> PhasedClamps:
    """The run's clamps, tried on a batch, so that a mistake shows before training.

    Raises:
        TypeError, ValueError, FileNotFoundError: See `bind_phases`; also if one cannot be saved.
    """
    for clamp in config.clamps:
        clamp_to_dict(clamp)
    steps = range(0, config.n_steps * config.batch_size, config.batch_size)
    example = task.sampler.batch(0).to(task.model.W_exemplar.device)
    return bind_phases(config.clamps, task.model, example, steps)


def check_evaluators(task: Task, clamps: BoundClamps) -> None:
    """Scores one sequence of each evaluator, so that one that does not fit shows before training.

    Raises:
        ConfigError: There is no evaluator, or the model cannot be run on the sequences of one.
    """
    if not task.evaluation_sequences:
        raise ConfigError("evaluators is empty: a run needs one to be measured by")
    score = Scorer(task.model, clamps)
    for name, sequences in task.evaluation_sequences.items():
        try:
            score(sequences[:1])
        except (ValueError, RuntimeError, IndexError) as error:
            told = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"evaluators: the run's model and clamps do not fit the sequences of {name!r}: "
                f"{told}"
            ) from error


def should_compile(config: RunConfig) -> bool:
    """Whether the training step is compiled: compiling takes longer than a short run gains."""
    if config.compile == "auto":
        return config.n_steps > COMPILE_ABOVE_STEPS
    return config.compile == "yes"


def choose_device(device: str) -> torch.device:
    """The device a config asks for.

    Raises:
        ConfigError: "cuda" where there is no GPU.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is cuda, but torch finds no GPU here: use device=cpu or auto")
    return torch.device(device)


@contextmanager
def cpu_threads(n_threads: int) -> Iterator[None]:
    """Sets torch's CPU threads for a block; 0 leaves them."""
    before = torch.get_num_threads()
    if n_threads:
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
