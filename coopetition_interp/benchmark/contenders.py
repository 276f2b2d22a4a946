"""Training steps to compare: what others write, ours, and what no step can do without.

Each is made for a `Setting` and called for its next steps, on new batches each time. Sequences
per call are its `steps_per_call` times the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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
from coopetition_interp.training.machine import put_on
from coopetition_interp.training.schedules import OptimizerConfig
from coopetition_interp.training.steps_at_once import StepsAtOnce
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
        device: Where all is computed.
    """

    title: str
    bank: FeatureBank
    sequences: SequenceConfig
    shape: ModelConfig
    n_grouped: int
    device: torch.device

    def __post_init__(self) -> None:
        self.bank = replace(self.bank, features=self.bank.features.to(self.device))
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
        put_on(model, self.device)
        return model

    def batches(self) -> Callable[[], Sequences]:
        """Gives the next batch whenever it is called."""
        steps = iter(range(N_STEPS))
        return lambda: self.sampler.batch(next(steps))


CPU = torch.device("cpu")


def full_size(device: torch.device = CPU) -> Setting:
    """12,800 labels, 512 features, 5 tokens: the paper's size."""
    # Fewer exemplars than Omniglot's 20 are the same work per batch in a quarter of the memory.
    bank = GaussianFeatures(n_classes=12_800, n_exemplars=5, d_feature=512).load()
    n_grouped = 8 if device.type == "cuda" else 4
    return Setting("full size", bank, SequenceConfig(), ModelConfig(), n_grouped, device)


def small_size(device: torch.device = CPU) -> Setting:
    """50 classes, 5 labels, rotary positions: the induction-head work's size."""
    bank = GaussianFeatures(n_classes=50, n_exemplars=1, d_feature=512).load()
    sequences = SequenceConfig(kind="icl_only", n_sequence_labels=5)
    shape = ModelConfig(positions="rotary", position_base=10_000.0)
    n_grouped = 64 if device.type == "cuda" else 8
    return Setting("small size", bank, sequences, shape, n_grouped, device)


class Contender(Protocol):
    """Steps of training.

    Attributes:
        steps_per_call: Steps that a call takes, of all the models that it trains.
    """

    steps_per_call: int

    def __init__(self, setting: Setting) -> None: ...

    def __call__(self) -> object:
        """Takes its next steps."""


class OurStep:
    """A `TrainingStep`, as runs take it: on a GPU many steps a call."""

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
        self.steps_per_call = self._step.n_at_once

    def __call__(self) -> list[Tensor]:
        """Takes its next steps."""
        return self._step.several([self._batch() for _ in range(self.steps_per_call)])


class OurGroupedStep:
    """A `GroupedStep`, as `train_together` takes it: steps of `Setting.n_grouped` runs at once."""

    def __init__(self, setting: Setting):
        seeds = range(setting.n_grouped)
        self._batches = BatchesTogether([setting.sampler_of(seed) for seed in seeds])
        self.step = GroupedStep([self._member(setting, seed) for seed in seeds])
        self._n_at_once = self.step.n_at_once(self._batches(0))
        self.steps_per_call = self._n_at_once * len(seeds)
        self._scales: list[Tensor] = []

    @staticmethod
    def _member(setting: Setting, seed: int) -> MemberStep:
        model, example = setting.model(seed), setting.sampler.batch(0)
        no_clamps = bind_phases((), model)
        return MemberStep(
            model, OptimizerConfig(), N_STEPS, example, no_clamps, compile=True, loss=query_loss
        )

    def __call__(self) -> list[Tensor]:
        """Takes the next steps of every run."""
        done, n = self.step.steps_done, self._n_at_once
        if len(self._scales) < n:
            self._scales = list(self.step.scales(done + STEPS_AHEAD))
        scales, self._scales = self._scales[:n], self._scales[n:]
        return self.step([self._batches(step) for step in range(done, done + n)], scales)


class PlainLoop:
    """What one writes first: TransformerLens's own blocks, all positions' logits, default Adam."""

    steps_per_call = 1

    def __init__(self, setting: Setting):
        self._batch = setting.batches()
        cfg = setting.shape.hooked_transformer_config(
            setting.sampler.n_labels, setting.sequences.n_pairs
        )
        cfg.init_weights = True
        self.model = HookedTransformer(cfg)
        put_on(self.model, setting.device)
        d_feature, d_model = setting.bank.d_feature, setting.shape.d_model
        self.exemplar_embed = nn.Linear(d_feature, d_model, device=setting.device)
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
        mode = "reduce-overhead" if setting.device.type == "cuda" else None  # CUDA graphs
        self.loss = torch.compile(self.query_loss, mode=mode)  # type: ignore[method-assign]

    def query_loss(self, sequences: Sequences) -> Tensor:
        """Cross-entropy of the query's logits, the only ones formed."""
        n_layers = self.model.cfg.n_layers
        residual = self.model(self.tokens(sequences), start_at_layer=0, stop_at_layer=n_layers)
        logits = self.model.unembed(self.model.ln_final(residual[:, -1:]))[:, 0]
        return F.cross_entropy(logits, sequences.right_labels)


class Floor:
    """What no step can do without: the unembedding's three products, a softmax, one fused Adam.

    On a GPU many of them are one launch, as our steps are.
    """

    def __init__(self, setting: Setting):
        model, device = setting.model(), setting.device
        parameters = [p.detach().clone() for p in model.trainable_parameters().values()]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        on_gpu = device.type == "cuda"
        self.optimizer = torch.optim.Adam(parameters, lr=1e-5, fused=True, capturable=on_gpu)
        self.W_U = torch.randn(model.cfg.d_model, model.n_labels, device=device)
        self._residual = torch.randn(BATCH_SIZE, model.cfg.d_model, device=device)
        self._nothing = torch.zeros(1, device=device)
        self._at_once = StepsAtOnce(self._once, parameters, self._nothing, [self._residual])
        self.steps_per_call = self._at_once.n

    def __call__(self) -> list[Tensor]:
        """Does it `steps_per_call` times."""
        n = self.steps_per_call
        return self._at_once([self._nothing] * n, [[self._residual]] * n)

    def _once(self, _: Tensor, batch: Sequence[Tensor]) -> Tensor:
        (residual,) = batch
        probabilities = torch.softmax(residual @ self.W_U, dim=-1)
        gradients = probabilities @ self.W_U.T, residual.T @ probabilities
        self.optimizer.step()
        return gradients[0]


OURS, GROUPED = "ours", "ours grouped"
STEPS: dict[str, type[Contender]] = {
    OURS: OurStep,
    GROUPED: OurGroupedStep,
    "plain TransformerLens loop": PlainLoop,
    "good user's loop": GoodLoop,
    "floor": Floor,
}
"""Those that every setting is timed with."""
