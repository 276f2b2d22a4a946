"""`coopetition-interp bench`: speed as ratios measured side by side, in one run.

Machines are shared and their speed drifts, so no time means much alone. Each measurement goes
round all its contenders in turn, several times, and reports the median of the ratios of a round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformer_lens import HookedTransformer

from coopetition_interp.interventions import AblateHeads, Clamp, HeadTemperature, PreviousTokenHeads
from coopetition_interp.tasks.exemplar_label.evaluation import Scorer, evaluate_with
from coopetition_interp.tasks.exemplar_label.features import FeatureBank, GaussianFeatures
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer, ModelConfig
from coopetition_interp.tasks.exemplar_label.sequences import (
    SequenceConfig,
    Sequences,
    SequenceSampler,
    make_evaluation_sequences,
    standard_evaluators,
)
from coopetition_interp.training.freed_memory import keep_freed_memory
from coopetition_interp.training.schedules import OptimizerConfig
from coopetition_interp.training.training_step import TrainingStep

SECONDS_PER_TURN = 0.5


def run_benchmark(only: str | None = None, repeats: int = 5) -> None:
    """Runs the benchmark and prints it.

    Args:
        only: One part: "full", "small", "evaluation" or "clamps"; all by default.
        repeats: Rounds of each measurement.
    """
    parts = {
        "full": benchmark_full_size,
        "small": benchmark_small_size,
        "evaluation": benchmark_evaluation,
        "clamps": benchmark_clamps,
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {repeats} rounds")
    for name, part in parts.items():
        if only in (None, name):
            part(repeats)


def benchmark_full_size(repeats: int) -> None:
    """12,800 labels, 512 features, 5 tokens: the paper's size."""
    print("\nFull size: 12,800 classes, 512 features, 2 pairs, batch 32, learned positions")
    # Fewer exemplars than Omniglot's 20 are the same work per batch in a quarter of the memory.
    bank = GaussianFeatures(n_classes=12_800, n_exemplars=5, d_feature=512).load()
    sampler, model = _sampler_and_model(bank, SequenceConfig(), ModelConfig())
    plain = PlainLoop(ModelConfig(), bank.d_feature, sampler.n_labels, sampler.batch(0))
    step = TrainingStep(model, OptimizerConfig(), 10**6, sampler.batch(0))
    counter = iter(range(10**9))
    seconds = side_by_side(
        {
            "training step": lambda: step(sampler.batch(next(counter))),
            "plain TransformerLens loop": lambda: plain.step(sampler.batch(next(counter))),
            "floor": Floor(model),
            "sampling": lambda: sampler.batch(next(counter)),
        },
        repeats,
    )
    _report(seconds, "training step")
    _line("speed-up over the plain loop", _ratio(seconds, "plain TransformerLens loop"), "x")
    _line("fraction of the floor's speed", _ratio(seconds, "floor"), "")
    _line("sampling, share of a step", 100 * _ratio(seconds, "sampling"), "%")
    _line("resident memory", psutil.Process().memory_info().rss / 1e9, "GB")


def benchmark_small_size(repeats: int) -> None:
    """50 classes, 5 labels, rotary positions: the induction-head work's size."""
    print("\nSmall size: 50 classes, 5 labels, 512 features, 2 pairs, batch 32, rotary positions")
    bank = GaussianFeatures(n_classes=50, n_exemplars=1, d_feature=512).load()
    config = SequenceConfig(kind="icl_only", n_sequence_labels=5)
    shape = ModelConfig(positions="rotary", position_base=10_000.0)
    sampler, model = _sampler_and_model(bank, config, shape)
    plain = PlainLoop(shape, bank.d_feature, sampler.n_labels, sampler.batch(0))
    step = TrainingStep(model, OptimizerConfig(), 10**6, sampler.batch(0))
    counter = iter(range(10**9))
    seconds = side_by_side(
        {
            "training step": lambda: step(sampler.batch(next(counter))),
            "plain TransformerLens loop": lambda: plain.step(sampler.batch(next(counter))),
        },
        repeats,
    )
    _report(seconds, "training step")
    _line("speed-up over the plain loop", _ratio(seconds, "plain TransformerLens loop"), "x")


def benchmark_evaluation(repeats: int) -> None:
    """The five evaluators on one full-size checkpoint."""
    print("\nEvaluation: five evaluators x 5000 sequences, 12,800 labels, 512 features")
    bank = GaussianFeatures(n_classes=12_800, n_exemplars=5, d_feature=512).load()
    sampler, model = _sampler_and_model(bank, SequenceConfig(), ModelConfig())
    split = bank.split()
    sequences = make_evaluation_sequences(
        bank, split, standard_evaluators(), seed=0, n_labels=sampler.n_labels
    )
    step = TrainingStep(model, OptimizerConfig(), 10**6, sampler.batch(0))
    batch = sampler.batch(0)
    every_metric = Scorer(model, compile=True)
    in_context = Scorer(model, metrics="in_context", compile=True)
    seconds = side_by_side(
        {
            "training step": lambda: step(batch),
            "all metrics": lambda: evaluate_with(every_metric, sequences),
            "in-context accuracy alone": lambda: evaluate_with(in_context, sequences),
        },
        repeats,
    )
    thousands = sum(len(part) for part in sequences.values()) / 1000
    _report(seconds, "training step")
    per_thousand = _ratio(seconds, "all metrics") / thousands
    _line("all metrics, training steps per 1000 sequences", per_thousand, "")
    faster = [a / b for a, b in zip(*(seconds[n] for n in list(seconds)[1:]), strict=True)]
    _line("in-context accuracy alone, times faster", statistics.median(faster), "x")


def benchmark_clamps(repeats: int) -> None:
    """What clamps cost a compiled step, at both sizes."""
    clamps: dict[str, tuple[Clamp, ...]] = {
        "no clamp": (),
        "one-pass: PreviousTokenHeads": (PreviousTokenHeads(heads=[(0, 0), (0, 1)]),),
        "one-pass: AblateHeads": (AblateHeads(heads=[(1, 0), (1, 1)]),),
        "two-pass: HeadTemperature": (HeadTemperature(heads=[(1, 0)], temperature=2.0),),
    }
    small = SequenceConfig(kind="icl_only", n_sequence_labels=5)
    rotary = ModelConfig(positions="rotary", position_base=10_000.0)
    for title, n_classes, config, shape in (
        ("full size", 12_800, SequenceConfig(), ModelConfig()),
        ("small size", 50, small, rotary),
    ):
        print(f"\nClamps in the training loop, {title}")
        bank = GaussianFeatures(n_classes=n_classes, n_exemplars=1, d_feature=512).load()
        contenders: dict[str, Callable[[], object]] = {}
        for name, held in clamps.items():
            sampler, model = _sampler_and_model(bank, config, shape)
            batches = [sampler.batch(index) for index in range(8)]
            step = TrainingStep(model, OptimizerConfig(), 10**6, batches[0], held)
            contenders[name] = _over_batches(step, batches)
        seconds = side_by_side(contenders, repeats)
        for name in list(clamps)[1:]:
            cost = 100 * (_ratio(seconds, name, base="no clamp") - 1)
            _line(f"{name}, cost over a step without", cost, "%")


# Measuring ----------------------------------------------------------------------------------


def side_by_side(
    contenders: dict[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Seconds per call of each contender, one entry per round; they take turns in every round."""
    keep_freed_memory()
    calls = {}
    for name, call in contenders.items():
        call()
        start = perf_counter()
        call()
        calls[name] = max(1, round(SECONDS_PER_TURN / (perf_counter() - start)))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, call in contenders.items():
            start = perf_counter()
            for _ in range(calls[name]):
                call()
            seconds[name].append((perf_counter() - start) / calls[name])
    return seconds


def _ratio(seconds: dict[str, list[float]], name: str, base: str = "training step") -> float:
    """Median over rounds of the time of `name` in times of `base`."""
    pairs = zip(seconds[name], seconds[base], strict=True)
    return statistics.median(n / b for n, b in pairs)


def _report(seconds: dict[str, list[float]], first: str) -> None:
    for name, times in seconds.items():
        time = statistics.median(times)
        print(f"  {name:<48}{1e3 * time:10.3f} ms {1 / time:10.0f} /s")


def _line(what: str, value: float, unit: str) -> None:
    print(f"  {what:<48}{value:10.2f} {unit}")


def _over_batches(step: TrainingStep, batches: list[Sequences]) -> Callable[[], object]:
    """A step on each batch in turn, so that a recompilation would show."""
    counter = iter(range(10**9))
    return lambda: step(batches[next(counter) % len(batches)])


# Contenders ---------------------------------------------------------------------------------


def _sampler_and_model(
    bank: FeatureBank, config: SequenceConfig, shape: ModelConfig
) -> tuple[SequenceSampler, ExemplarLabelTransformer]:
    split = bank.split()
    sampler = SequenceSampler(
        bank,
        config,
        classes=split.train_classes,
        exemplars=split.train_exemplars,
        batch_size=32,
        seed=0,
    )
    model = shape.build(bank.d_feature, sampler.n_labels, config.n_pairs)
    assert isinstance(model, ExemplarLabelTransformer)
    return sampler, model


class PlainLoop:
    """What one writes first: TransformerLens's own blocks, all positions' logits, default Adam."""

    def __init__(self, shape: ModelConfig, d_feature: int, n_labels: int, example: Sequences):
        cfg = shape.hooked_transformer_config(n_labels, example.n_pairs)
        cfg.init_weights = True
        self.model = HookedTransformer(cfg)
        self.exemplar_embed = nn.Linear(d_feature, shape.d_model)
        parameters = [*self.model.parameters(), *self.exemplar_embed.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=1e-5)

    def logits(self, sequences: Sequences) -> Tensor:
        """Logits at every token."""
        exemplars = self.exemplar_embed(sequences.exemplars)
        labels = self.model.embed(sequences.context_labels)
        pairs = torch.stack([exemplars[:, :-1], labels], dim=2).flatten(1, 2)
        tokens = torch.cat([pairs, exemplars[:, -1:]], dim=1)
        if self.model.cfg.positional_embedding_type == "standard":
            tokens = tokens + self.model.pos_embed.W_pos
        return self.model(tokens, start_at_layer=0)

    def step(self, sequences: Sequences) -> None:
        """One step of training."""
        self.optimizer.zero_grad()
        F.cross_entropy(self.logits(sequences)[:, -1], sequences.right_labels).backward()
        self.optimizer.step()


class Floor:
    """What no step can do without: the unembedding's three products, a softmax, one fused Adam."""

    def __init__(self, model: ExemplarLabelTransformer):
        parameters = [p.detach().clone() for p in model.trainable_parameters().values()]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        self.optimizer = torch.optim.Adam(parameters, lr=1e-5, fused=True)
        self.residual = torch.randn(32, model.cfg.d_model)
        self.W_U = torch.randn(model.cfg.d_model, model.n_labels)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Does it once."""
        probabilities = torch.softmax(self.residual @ self.W_U, dim=-1)
        gradients = probabilities @ self.W_U.T, self.residual.T @ probabilities
        self.optimizer.step()
        return gradients
