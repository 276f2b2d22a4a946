"""Exemplar-label sequences as a task: batches, the loss at the query, scores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from coopetition_interp.tasks.exemplar_label.config import ExemplarLabelConfig
from coopetition_interp.tasks.exemplar_label.features import FeatureBank, FeatureSplit
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelModel
from coopetition_interp.tasks.exemplar_label.query_loss import query_cross_entropy
from coopetition_interp.tasks.exemplar_label.sequences import (
    BatchesTogether,
    Sequences,
    SequenceSampler,
    have_one_bank,
    make_evaluation_sequences,
)
from coopetition_interp.training.task import RunModel, Task


@dataclass(kw_only=True)
class ExemplarLabelTask(Task):
    """See `Task`.

    Attributes:
        bank: The features.
        split: Training and held-out classes and exemplars.
        sampler: Training batches by step.
    """

    model: ExemplarLabelModel
    evaluation_sequences: Mapping[str, Sequences]
    bank: FeatureBank
    split: FeatureSplit
    sampler: SequenceSampler

    def batch(self, step: int) -> Sequences:
        """The sequences of a training step."""
        return self.sampler.batch(step)

    @classmethod
    def batches_together(cls, tasks: Sequence[Task]) -> Callable[[int], list[Tensor]]:
        """See `Task.batches_together`. Banks with the same features become one."""
        banks: dict[str, FeatureBank] = {}
        samplers = []
        for task in tasks:
            assert isinstance(task, ExemplarLabelTask)
            task.use_bank(banks.setdefault(task.resolved["features_sha256"], task.bank))
            samplers.append(task.sampler)
        return (
            BatchesTogether(samplers)
            if have_one_bank(samplers)
            else super().batches_together(tasks)
        )

    def use_bank(self, bank: FeatureBank) -> None:
        """Takes features from another bank, with the same ones."""
        self.bank = bank
        self.sampler.features = bank.features.flatten(0, 1)

    def to(self, device: torch.device) -> None:
        """Moves the features too, so that batches are drawn on the device."""
        super().to(device)
        if self.bank.features.device.type != device.type:
            self.use_bank(replace(self.bank, features=self.bank.features.to(device)))

    def loss(self, run_model: RunModel, batch: Sequences) -> Float[Tensor, ""]:
        """Mean cross-entropy of the right labels at the query."""
        return query_loss(run_model, batch)


def query_loss(run_model: RunModel, sequences: Sequences) -> Float[Tensor, ""]:
    """Mean cross-entropy of the right labels at the query: the loss that is trained on."""
    logits = run_model(sequences, return_type="query_logits")
    return query_cross_entropy(logits, sequences.right_labels)


def build_task(config: ExemplarLabelConfig) -> ExemplarLabelTask:
    """See `RunConfig.build`."""
    bank = config.classes.of(config.features.load())
    split = config.classes.split(bank)
    sampler = SequenceSampler(
        bank,
        config.sequences,
        classes=split.train_classes,
        exemplars=split.train_exemplars,
        batch_size=config.batch_size,
        seed=config.data_seed,
    )
    resolved = {
        "d_feature": bank.d_feature,
        "n_labels": sampler.n_labels,
        "features_sha256": bank.digest(),
    }
    laws = {"": config.sequences, **{f"{e.name}_": e.sequences for e in config.evaluators}}
    for whose, sequences in laws.items():
        if sequences.class_weights is not None:
            weights = sequences.class_weights.load()
            digest = hashlib.sha256(weights.tobytes()).hexdigest()
            resolved[f"{whose}class_weights_sha256"] = digest
    return ExemplarLabelTask(
        model=config.fresh_model(resolved),
        evaluation_sequences=make_evaluation_sequences(
            bank, split, config.evaluators, seed=config.evaluation_seed, n_labels=sampler.n_labels
        ),
        resolved=resolved,
        data=f"features ({config.features})",
        bank=bank,
        split=split,
        sampler=sampler,
    )
