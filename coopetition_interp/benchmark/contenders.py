"""Training steps to compare: what others write, ours, and what no step can do without.

Each is made for a `Setting` and called for one step, on a new batch each time. Its `members` are
the models that one call trains: sequences per call are `members` times the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformer_lens import HookedTransformer

from coopetition_interp.interventions import Clamp, bind_phases
from coopetition_interp.tasks.exemplar_label.features import FeatureBank, GaussianFeatures
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer, ModelConfig
from coopetition_interp.tasks.exemplar_label.sequences import (
    BatchesTogether,
    SequenceConfig,
    Sequences,
    SequenceSampler,
)
from coopetition_interp.tasks.exemplar_label.task import query_loss
from coopetition_interp.training.grouped_step import GroupedStep, MemberStep
from coopetition_interp.training.schedules import OptimizerConfig
from coopetition_interp.training.training_step import STEPS_AHEAD, TrainingStep

BATCH_SIZE = 32
N_STEPS = 10**6


@dataclass
class Setting:
    """What is trained: data and the shape of the model.

    Attributes:
        title: In words.
        bank: Features.
        sequences: How they are put in sequences.
        shape: Of the model.
        n_grouped: How many runs are trained as one where runs are grouped.
    """

    title: str
    bank: FeatureBank
    sequences: SequenceConfig
    shape: ModelConfig
    n_grouped: int

    def __post_init__(self) -> None:
        self.sampler = self.sampler_of(seed=0)

    def sampler_of(self, seed: int) -> SequenceSampler:
        """What draws the batches of the run with this seed."""
        split = self.bank.split()
        return SequenceSampler(
            self.bank,
            self.sequences,
            classes=split.train_classes,
            exemplars=split.train_exemplars,
            batch_size=BATCH_SIZE,
            seed=seed,
        )

    def model(self, seed: int = 0) -> ExemplarLabelTransformer:
        """A fresh one, with the initial weights of this seed."""
        n_labels, n_pairs = self.sampler.n_labels, self.sequences.n_pairs
        shape = self.shape.replace(init_seed=seed)
        model = shape.build(self.bank.d_feature, n_labels, n_pairs)
        assert isinstance(model, ExemplarLabelTransformer)
        return model

    def batches(self) -> Callable[[], Sequences]:
        """Gives the next batch whenever it is called."""
        steps = iter(range(N_STEPS))
        return lambda: self.sampler.batch(next(steps))


def full_size() -> Setting:
    """12,800 labels, 512 features, 5 tokens: the paper's size."""
    # Fewer exemplars than Omniglot's 20 are the same work per batch in a quarter of the memory.
    bank = GaussianFeatures(n_classes=12_800, n_exemplars=5, d_feature=512).load()
    return Setting("full size", bank, SequenceConfig(), ModelConfig(), n_grouped=4)


def small_size() -> Setting:
    """50 classes, 5 labels, rotary positions: the induction-head work's size."""
    bank = GaussianFeatures(n_classes=50, n_exemplars=1, d_feature=512).load()
    sequences = SequenceConfig(kind="icl_only", n_sequence_labels=5)
    shape = ModelConfig(positions="rotary", position_base=10_000.0)
    return Setting("small size", bank, sequences, shape, n_grouped=8)


class Contender(Protocol):
    """A step of training."""

    members: int

    def __init__(self, setting: Setting) -> None: ...

    def __call__(self) -> object:
        """Takes a step."""


class OurStep:
    """A `TrainingStep`, as runs take it."""

    members = 1

    def __init__(self, setting: Setting, clamps: Iterable[Clamp] = ()):
        self._batch = setting.batches()
        self._step = TrainingStep(
            setting.model(),
            OptimizerConfig(),
            N_STEPS,
            setting.sampler.batch(0),
            tuple(clamps),
            loss=query_loss,
        )

    def __call__(self) -> Tensor:
        """Takes a step."""
        return self._step(self._batch())


class OurGroupedStep:
    """A `GroupedStep`, as `train_together` takes it: a step of `Setting.n_grouped` runs at once."""

    def __init__(self, setting: Setting):
        seeds = range(setting.n_grouped)
        self.members = len(seeds)
        self._batches = BatchesTogether([setting.sampler_of(seed) for seed in seeds])
        self.step = GroupedStep([self._member(setting, seed) for seed in seeds])
        self._scales: Iterator[Tensor] = iter(())

    @staticmethod
    def _member(setting: Setting, seed: int) -> MemberStep:
        model, example = setting.model(seed), setting.sampler.batch(0)
        no_clamps = bind_phases((), model)
        return MemberStep(
            model, OptimizerConfig(), N_STEPS, example, no_clamps, compile=True, loss=query_loss
        )

    def __call__(self) -> Tensor:
        """Takes a step of every run."""
        done = self.step.steps_done
        scales = next(self._scales, None)
        if scales is None:
            self._scales = iter(self.step.scales(done + STEPS_AHEAD).unbind())
            scales = next(self._scales)
        return self.step([self._batches(done)], [scales])[0]


class PlainLoop:
    """What one writes first: TransformerLens's own blocks, all positions' logits, default Adam."""

    members = 1

    def __init__(self, setting: Setting):
        self._batch = setting.batches()
        cfg = setting.shape.hooked_transformer_config(
            setting.sampler.n_labels, setting.sequences.n_pairs
        )
        cfg.init_weights = True
        self.model = HookedTransformer(cfg)
        self.exemplar_embed = nn.Linear(setting.bank.d_feature, setting.shape.d_model)
        self.parameters = [*self.model.parameters(), *self.exemplar_embed.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-5)

    def tokens(self, sequences: Sequences) -> Tensor:
        """What the first block reads."""
        exemplars = self.exemplar_embed(sequences.exemplars)
        labels = self.model.embed(sequences.context_labels)
        pairs = torch.stack([exemplars[:, :-1], labels], dim=2).flatten(1, 2)
        tokens = torch.cat([pairs, exemplars[:, -1:]], dim=1)
        if self.model.cfg.positional_embedding_type == "standard":
            tokens = tokens + self.model.pos_embed.W_pos
        return tokens

    def loss(self, sequences: Sequences) -> Tensor:
        """Cross-entropy at the query, of logits formed at every token."""
        logits = self.model(self.tokens(sequences), start_at_layer=0)
        return F.cross_entropy(logits[:, -1], sequences.right_labels)

    def __call__(self) -> None:
        """Takes a step."""
        self.optimizer.zero_grad()
        self.loss(self._batch()).backward()
        self.optimizer.step()


class GoodLoop(PlainLoop):
    """What a good user writes: query logits alone, `torch.compile`, fused Adam."""

    def __init__(self, setting: Setting):
        super().__init__(setting)
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-5, fused=True)
        self.loss = torch.compile(self.query_loss)  # type: ignore[method-assign]

    def query_loss(self, sequences: Sequences) -> Tensor:
        """Cross-entropy of the query's logits, the only ones formed."""
        n_layers = self.model.cfg.n_layers
        residual = self.model(self.tokens(sequences), start_at_layer=0, stop_at_layer=n_layers)
        logits = self.model.unembed(self.model.ln_final(residual[:, -1:]))[:, 0]
        return F.cross_entropy(logits, sequences.right_labels)


class Floor:
    """What no step can do without: the unembedding's three products, a softmax, one fused Adam."""

    members = 1

    def __init__(self, setting: Setting):
        model = setting.model()
        parameters = [p.detach().clone() for p in model.trainable_parameters().values()]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        self.optimizer = torch.optim.Adam(parameters, lr=1e-5, fused=True)
        self.residual = torch.randn(BATCH_SIZE, model.cfg.d_model)
        self.W_U = torch.randn(model.cfg.d_model, model.n_labels)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Does it once."""
        probabilities = torch.softmax(self.residual @ self.W_U, dim=-1)
        gradients = probabilities @ self.W_U.T, self.residual.T @ probabilities
        self.optimizer.step()
        return gradients


OURS, GROUPED = "ours", "ours grouped"
STEPS: dict[str, type[Contender]] = {
    OURS: OurStep,
    GROUPED: OurGroupedStep,
    "plain TransformerLens loop": PlainLoop,
    "good user's loop": GoodLoop,
    "floor": Floor,
}
"""Those that every setting is timed with."""
