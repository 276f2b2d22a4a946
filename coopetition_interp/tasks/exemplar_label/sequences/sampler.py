"""Batches of sequences, each a function of the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from coopetition_interp.tasks.exemplar_label.features.feature_bank import FeatureBank
from coopetition_interp.tasks.exemplar_label.sequences.class_draws import ClassDraws
from coopetition_interp.tasks.exemplar_label.sequences.labelling import Labelling
from coopetition_interp.tasks.exemplar_label.sequences.sequence_config import (
    ContextRule,
    SequenceConfig,
)
from coopetition_interp.tasks.exemplar_label.sequences.sequences import PairRole, Sequences

# What is drawn from one generator. Changing either changes the sequences that a seed gives.
_SEQUENCES_PER_CHUNK = 4096
_SEQUENCE_STREAM, _NOISE_STREAM = 0, 1


@dataclass(frozen=True)
class Chunk:
    """The steps that were drawn together.

    Attributes:
        rows: Rows of the flattened bank, [n_steps, batch * (n_pairs + 1)].
        labels: [n_steps, batch, n_pairs + 1].
        roles: [n_steps, batch, n_pairs + 1].
        shows_query: Which exemplars are the query's very drawing, noise included, as a "matched"
            context has them; [n_steps, batch, n_pairs + 1, 1].
    """

    rows: Tensor
    labels: Tensor
    roles: Tensor
    shows_query: Tensor


class SequenceSampler:
    """Draws sequences from a feature bank.

    `batch(step)` depends on the bank, the config and (seed, step) only: not on which batches were
    asked for before, nor on evaluation. The cost of a batch does not grow with the number of
    classes.

    Args:
        bank: Where exemplars come from. Batches are on its device, in float32.
        config: What the sequences look like.
        classes: Classes of the bank to draw from, in the order of their ranks.
        exemplars: Exemplars, of each class, to draw from.
        batch_size: Sequences per batch.
        seed: Seed of every draw, not negative.
        n_labels: Labels that the model knows. None: as many as these sequences need.
        label_of_class: For each class of the bank, its label (before multiplicity; -1 for none),
            so that sequences of other classes can share a training sampler's labels. None: a
            class's rank in `classes`.
        first_rank: Rank of the first of `classes` in a law of class frequencies, counted from 1.

    Attributes:
        n_labels: Labels that the model must know.
        features: The bank's, [n_classes * n_exemplars, d_feature].

    Raises:
        ValueError: If the bank, classes, exemplars or labels do not suffice for the config.
    """

    def __init__(
        self,
        bank: FeatureBank,
        config: SequenceConfig,
        classes: Int64[np.ndarray, " n_classes"],
        exemplars: Int64[np.ndarray, " n_exemplars"],
        batch_size: int,
        seed: int,
        n_labels: int | None = None,
        label_of_class: Int64[np.ndarray, " n_bank_classes"] | None = None,
        first_rank: int = 1,
    ):
        for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}; got {value}")
        self.config = config
        self.batch_size = batch_size
        self.seed = seed
        self._classes = _first_so_many("classes", classes, config.n_classes, bank.n_classes)
        self._exemplars = _first_so_many(
            "exemplars", exemplars, config.n_exemplars, bank.n_exemplars
        )
        if len(self._classes) < config.n_distinct_classes:
            raise ValueError(
                f"sequences of kind {config.kind!r} with {config.n_pairs} pairs show "
                f"{config.n_distinct_classes} distinct classes, but there are "
                f"{len(self._classes)} to draw from: use a larger bank or another split"
            )
        labels = np.arange(len(self._classes))
        if label_of_class is not None:
            labels = label_of_class[self._classes]
        self.n_labels = self._count_labels(labels, n_labels)
        self._labelling = Labelling(config, labels, config.n_sequence_labels or self.n_labels)
        n_classes = len(self._classes)
        self._draws = ClassDraws(n_classes, config.class_law(n_classes, first_rank))
        self.features = bank.features.flatten(0, 1)
        self._n_bank_exemplars = bank.n_exemplars
        self._n_chunk_steps = max(1, _SEQUENCES_PER_CHUNK // batch_size)
        self._chunk_index = -1
        self._chunk: Chunk | None = None

    @property
    def n_pairs(self) -> int:
        """Context pairs of each sequence."""
        return self.config.n_pairs

    @property
    def d_feature(self) -> int:
        """Length of an exemplar's feature vector."""
        return self.features.shape[1]

    def batch(self, step: int) -> Sequences:
        """The batch of a training step, counted from 0.

        Labels and roles may be views of a cache: do not write into them.

        Raises:
            ValueError: If `step` is negative.
        """
        if step < 0:
            raise ValueError(f"steps are counted from 0; got {step}")
        index, place = self.place_of(step)
        if self._chunk is None or index != self._chunk_index:
            self._chunk, self._chunk_index = self.draw_chunk(index), index
        chunk = self._chunk
        exemplars = self.features.index_select(0, chunk.rows[place]).float()
        exemplars = exemplars.view(self.batch_size, self.n_pairs + 1, -1)
        if self.config.input_noise_sd > 0:
            noise = self._draw_noise(step)
            if self.config.rules.matched_exemplars:
                noise = torch.where(chunk.shows_query[place], noise[:, -1:], noise)
            exemplars += noise
        return Sequences(exemplars, chunk.labels[place], chunk.roles[place])

    def _count_labels(self, labels: Int64[np.ndarray, " n_classes"], n_labels: int | None) -> int:
        config = self.config
        if config.uses_own_labels and labels.min() < 0:
            raise ValueError(
                f"sequences of kind {config.kind!r} carry their classes' own labels, but "
                f"{(labels < 0).sum()} of the {len(labels)} classes have none (held-out classes "
                "are not trained on): use the kinds 'icl' or 'icl_only', or training classes"
            )
        n_classes = int(labels.max()) + 1 if config.uses_own_labels else len(labels)
        if n_labels is not None and config.draws_from_all_labels:
            return n_labels
        n_needed = config.n_labels_needed(n_classes)
        if n_labels is not None and n_labels < n_needed:
            raise ValueError(
                f"sequences of kind {config.kind!r} use {n_needed} labels, but the model has "
                f"n_labels = {n_labels}: raise it, or lower n_classes, n_labels_per_class or "
                "n_sequence_labels"
            )
        return n_needed if n_labels is None else n_labels

    def place_of(self, step: int) -> tuple[int, int]:
        """The chunk that a step is drawn in, and its place there."""
        return divmod(step, self._n_chunk_steps)

    def draw_chunk(self, index: int) -> Chunk:
        """The steps that are drawn together, on the bank's device."""
        config = self.config
        key = np.random.SeedSequence(self.seed, spawn_key=(_SEQUENCE_STREAM, index))
        rng = np.random.Generator(np.random.Philox(key))
        n_sequences = self._n_chunk_steps * self.batch_size
        query = self._draws.draw(rng, (n_sequences,))
        if config.rules.context is ContextRule.OTHER_CLASSES:
            ranks, roles = self._other_classes_context(rng, query)
        else:
            ranks, roles = self._bursty_context(rng, query)
        # [n_sequences, n_pairs] so far; the query is last from here on.
        is_bursty = np.ones(n_sequences, dtype=bool)
        if config.p_bursty < 1:
            is_bursty = rng.random(n_sequences) < config.p_bursty
            independent = self._draws.draw(rng, ranks.shape)
            is_match = independent == query[:, None]
            ranks = np.where(is_bursty[:, None], ranks, independent)
            independent_roles = np.where(is_match, int(PairRole.MATCH), int(PairRole.FILLER))
            roles = np.where(is_bursty[:, None], roles, independent_roles)
        ranks = np.concatenate([ranks, query[:, None]], axis=1)
        roles = np.pad(roles, ((0, 0), (0, 1)), constant_values=int(PairRole.QUERY))
        labels, roles = self._labelling.draw(rng, ranks, roles)

        exemplars = self._exemplars[self._draw_exemplars(rng, ranks)]
        shows_query = np.zeros(ranks.shape, dtype=bool)
        if config.rules.matched_exemplars:
            shows_query = (roles == PairRole.MATCH) & is_bursty[:, None]
            exemplars = np.where(shows_query, exemplars[:, -1:], exemplars)
        rows = self._classes[ranks] * self._n_bank_exemplars + exemplars

        def by_step(values: np.ndarray) -> Tensor:
            by_step = values.reshape(self._n_chunk_steps, self.batch_size, -1)
            return torch.from_numpy(by_step).to(self.features.device)

        return Chunk(
            rows=by_step(rows).flatten(1),
            labels=by_step(labels),
            roles=by_step(roles),
            shows_query=by_step(shows_query)[..., None],
        )

    def _bursty_context(
        self, rng: np.random.Generator, query: Int64[np.ndarray, " n_sequences"]
    ) -> tuple[Int64[np.ndarray, "n_sequences n_pairs"], Int64[np.ndarray, "n_sequences n_pairs"]]:
        """The query's class and a distractor, `n_burst` times each, and filler, in random order.

        Filler avoids the two, so that the size of the bursts is exact.
        """
        n_burst, n_filler = self.config.n_burst, self.config.n_filler
        distractor = self._draws.draw(rng, query.shape, query[:, None])
        parts = [np.repeat(ranks[:, None], n_burst, axis=1) for ranks in (query, distractor)]
        if n_filler:
            both = np.stack([query, distractor], axis=1)[:, None]
            parts.append(self._draws.draw(rng, (len(query), n_filler), both))
        roles = np.repeat(
            np.array([PairRole.MATCH, PairRole.DISTRACTOR, PairRole.FILLER], dtype=np.int64),
            [n_burst, n_burst, n_filler],
        )
        order = rng.random((len(query), self.n_pairs)).argsort(axis=1)
        ranks = np.take_along_axis(np.concatenate(parts, axis=1), order, axis=1)
        return ranks, roles[order]

    def _other_classes_context(
        self, rng: np.random.Generator, query: Int64[np.ndarray, " n_sequences"]
    ) -> tuple[Int64[np.ndarray, "n_sequences n_pairs"], Int64[np.ndarray, "n_sequences n_pairs"]]:
        """Distinct classes, none the query's, in random order."""
        drawn = self._draws.draw_distinct(rng, len(query), self.n_pairs, query[:, None])
        # Drawn without replacement, a Zipf law's frequent classes come early: mix the places.
        order = rng.random(drawn.shape).argsort(axis=1)
        ranks = np.take_along_axis(drawn, order, axis=1)
        return ranks, np.full(ranks.shape, int(PairRole.FILLER), dtype=np.int64)

    def _draw_exemplars(
        self, rng: np.random.Generator, ranks: Int64[np.ndarray, "n_sequences n_exemplars"]
    ) -> Int64[np.ndarray, "n_sequences n_exemplars"]:
        """Which exemplar of its class each one is."""
        n_exemplars = len(self._exemplars)
        if not self.config.distinct_exemplars:
            return rng.integers(n_exemplars, size=ranks.shape)
        drawn = np.empty_like(ranks)
        for place in range(ranks.shape[1]):
            same_class = ranks[:, :place] == ranks[:, place, None]
            # Of a class that was shown in full, the exemplars since then are excluded.
            n_shown = same_class.sum(1) // n_exemplars * n_exemplars
            same_class &= same_class.cumsum(1) > n_shown[:, None]
            excluded = np.sort(np.where(same_class, drawn[:, :place], n_exemplars), axis=1)
            point = rng.integers(n_exemplars - same_class.sum(1))
            for index in range(place):  # none is as far as what stands for nothing excluded
                point += point >= excluded[:, index]
            drawn[:, place] = point
        return drawn

    def _draw_noise(self, step: int) -> Float[Tensor, "batch n_exemplars d_feature"]:
        # A generator of torch's, three times as fast at normal draws as numpy's. It looks at 32
        # bits of a seed: counting up from a start gives every step of a run its own.
        key = np.random.SeedSequence(self.seed, spawn_key=(_NOISE_STREAM,))
        seed = (int(key.generate_state(1)[0]) + step) % 2**32
        shape = (self.batch_size, self.n_pairs + 1, self.d_feature)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        return noise.mul_(self.config.input_noise_sd).to(self.features.device)


def labels_of_training_classes(
    n_bank_classes: int, train_classes: Int64[np.ndarray, " n_train_classes"]
) -> Int64[np.ndarray, " n_bank_classes"]:
    """Each class's label as a `SequenceSampler` of `train_classes` gives it; -1 for the others."""
    labels = np.full(n_bank_classes, -1, dtype=np.int64)
    labels[train_classes] = np.arange(len(train_classes))
    return labels


def _first_so_many(
    what: str, given: Int64[np.ndarray, " n_given"], n_used: int | None, n_in_bank: int
) -> Int64[np.ndarray, " n_used"]:
    if len(given) == 0:
        raise ValueError(f"there are no {what} to draw sequences from: choose another split")
    if n_used is not None and n_used > len(given):
        raise ValueError(
            f"n_{what} = {n_used}, but the bank gives {len(given)} {what} to draw from: lower it "
            "or use a larger bank"
        )
    used = given[:n_used]
    if used.min() < 0 or used.max() >= n_in_bank:
        raise ValueError(
            f"{what} must lie between 0 and {n_in_bank - 1}, the bank's; got "
            f"{used.min()} to {used.max()}"
        )
    return used
