"""Exemplar-label sequences: what they look like, how they are drawn, and how they are scored."""

from coopetition_interp.tasks.exemplar_label.sequences.batches_together import (
    BatchesTogether,
    have_one_bank,
)
from coopetition_interp.tasks.exemplar_label.sequences.class_weights import (
    ClassWeights,
    save_class_weights,
    word_counts,
)
from coopetition_interp.tasks.exemplar_label.sequences.evaluators import (
    EvaluatorConfig,
    held_out_evaluators,
    induction_evaluators,
    make_evaluation_sequences,
    matched_evaluators,
    standard_evaluators,
)
from coopetition_interp.tasks.exemplar_label.sequences.sampler import (
    SequenceSampler,
    labels_of_training_classes,
)
from coopetition_interp.tasks.exemplar_label.sequences.scores import (
    IN_CONTEXT_METRICS,
    METRICS,
    context_scores,
    context_scores_of_logits,
    score_sequences,
    summarise,
)
from coopetition_interp.tasks.exemplar_label.sequences.sequence_config import SequenceConfig
from coopetition_interp.tasks.exemplar_label.sequences.sequences import (
    PairRole,
    Sequences,
    concatenate,
    require_sequences,
)

__all__ = [
    "IN_CONTEXT_METRICS",
    "METRICS",
    "BatchesTogether",
    "ClassWeights",
    "EvaluatorConfig",
    "PairRole",
    "SequenceConfig",
    "SequenceSampler",
    "Sequences",
    "concatenate",
    "context_scores",
    "context_scores_of_logits",
    "have_one_bank",
    "held_out_evaluators",
    "induction_evaluators",
    "labels_of_training_classes",
    "make_evaluation_sequences",
    "matched_evaluators",
    "require_sequences",
    "save_class_weights",
    "score_sequences",
    "standard_evaluators",
    "summarise",
    "word_counts",
]
