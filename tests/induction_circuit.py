"""A hand-built model that learns in context and nothing else, and a run that holds it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from coopetition_interp.tasks.exemplar_label import ClassesConfig, ExemplarLabelConfig
from coopetition_interp.tasks.exemplar_label.evaluation import evaluate
from coopetition_interp.tasks.exemplar_label.features import OneHotFeatures
from coopetition_interp.tasks.exemplar_label.model import ExemplarLabelTransformer, ModelConfig
from coopetition_interp.tasks.exemplar_label.sequences import standard_evaluators
from coopetition_interp.tasks.exemplar_label.task import build_task
from coopetition_interp.training import Run, load_run
from coopetition_interp.training.run_directory import RunDirectory

N_CLASSES = 8
D_HEAD = 8
# Places in the residual stream: exemplar, label, position, the previous token's exemplar, answer.
EXEMPLAR, LABEL, POSITION, PREVIOUS, ANSWER = (range(start, start + 8) for start in range(0, 40, 8))

STRENGTHS = {2: 8.0, 1: 5.0, 0: 4.0}
"""Score of the previous token in the first block's heads. Head 3 looks nowhere in particular."""
WITHOUT_VALUES = (1,)
"""Of those, heads that copy nothing."""


def induction_circuit(n_layers: int = 2) -> ExemplarLabelTransformer:
    """Previous-token heads in the last block but one, an induction head in the last.

    Heads 0 and 2 copy the exemplar before a label to its place, either of them well enough.
    """
    config = ModelConfig(n_layers=n_layers, n_heads=4, d_head=D_HEAD, d_model=40, layer_norm=False)
    model = config.build(N_CLASSES, N_CLASSES, n_pairs=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for i in range(N_CLASSES):
            model.exemplar_embed.W[i, EXEMPLAR[i]] = 1.0
            model.embed.W_E[i, LABEL[i]] = 1.0
            model.unembed.W_U[ANSWER[i], i] = 1.0
        for i in range(5):
            model.pos_embed.W_pos[i, POSITION[i]] = 1.0
        to_previous = model.blocks[n_layers - 2].attn
        for head, score in STRENGTHS.items():
            for i in range(5):
                to_previous.W_Q[head, POSITION[i], i] = score * D_HEAD**0.5
                if i < 4:
                    to_previous.W_K[head, POSITION[i], i + 1] = 1.0
            if head not in WITHOUT_VALUES:
                for i in range(N_CLASSES):
                    to_previous.W_V[head, EXEMPLAR[i], i] = 1.0
                    to_previous.W_O[head, i, PREVIOUS[i]] = 1.0
        induction = model.blocks[n_layers - 1].attn
        for i in range(N_CLASSES):
            induction.W_Q[0, EXEMPLAR[i], i] = 10.0 * D_HEAD**0.5
            induction.W_K[0, PREVIOUS[i], i] = 1.0
            induction.W_V[0, LABEL[i], i] = 1.0
            induction.W_O[0, i, ANSWER[i]] = 1.0
    return model


def induction_config(n_layers: int = 2) -> ExemplarLabelConfig:
    """A run of such models, on one-hot classes."""
    return ExemplarLabelConfig(
        features=OneHotFeatures(n_classes=N_CLASSES),
        classes=ClassesConfig(n_train=N_CLASSES),
        model=ModelConfig(
            n_layers=n_layers, n_heads=4, d_head=D_HEAD, d_model=40, layer_norm=False
        ),
        evaluators=standard_evaluators(n_sequences=2_000),
        n_sequences=3_200,
        n_threads=1,
    )


def induction_run(path: Path) -> Run:
    """A run at whose end the model is the hand-built one, and was untrained before."""
    config = induction_config()
    task = build_task(config)
    models = {0: task.model, 1_600: task.model, 3_200: induction_circuit()}
    with RunDirectory(path) as directory:
        directory.write_config(config, {"d_feature": N_CLASSES, "n_labels": N_CLASSES})
        tables = []
        for seen, model in models.items():
            scores = evaluate(model, task.evaluation_sequences)
            tables.append(scores.assign(sequences_seen=seen))
            weights = dict(model.named_parameters())
            directory.write_tensors(directory.checkpoint_path(seen), weights, {})
        directory.write_metrics(pd.concat(tables, ignore_index=True))
        directory.write_status("finished", 3_200)
    return load_run(path)
