"""A task of a user's own: after a few tokens, say the first one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
import torch.nn.functional as F
from transformer_lens import HookedTransformer, HookedTransformerConfig

from coopetition_interp.config_class import config_class
from coopetition_interp.interventions import run_clamped
from coopetition_interp.training import RunConfig, Task


def draw(n, seed, d_vocab):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, d_vocab, (n, 4), generator=generator)


@config_class
class FirstTokenConfig(RunConfig):
    """A run of it."""

    task: Literal["first_token"] = "first_token"
    d_vocab: int = 8

    def build(self):
        """What a run needs."""
        sequences = self.make_evaluation_sequences(None)
        return FirstTokenTask(
            model=self.fresh_model({}), evaluation_sequences=sequences, config=self
        )

    def fresh_model(self, resolved):
        """One layer of attention."""
        cfg = HookedTransformerConfig(
            n_layers=1, d_model=16, n_heads=2, d_head=8, n_ctx=4, d_vocab=self.d_vocab,
            attn_only=True, device="cpu",
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):  # a seed in cfg would seed all of the program
            torch.manual_seed(0)
            return HookedTransformer(cfg)

    def make_evaluation_sequences(self, run):
        """The same for every run of a seed."""
        return {"all": draw(64, self.evaluation_seed, self.d_vocab)}

    def evaluator(self, model, clamps=(), compile=False):
        """Accuracy at the last token."""

        def evaluate(sequences):
            rows = []
            for name, tokens in sequences.items():
                said = run_clamped(model, tokens, clamps).argmax(-1)
                accuracy = (said == tokens[:, 0]).float().mean().item()
                rows.append({"evaluator": name, "accuracy": accuracy, "n_sequences": len(tokens)})
            return pd.DataFrame(rows)

        return evaluate


@dataclass(kw_only=True)
class FirstTokenTask(Task):
    """See the module."""

    config: FirstTokenConfig

    def batch(self, step):
        """Random tokens."""
        return draw(
            self.config.batch_size, self.config.data_seed + 1000 * step, self.config.d_vocab
        )

    def loss(self, run_model, batch):
        """Cross-entropy of the first token, at the last."""
        return F.cross_entropy(run_model(batch)[:, -1], batch[:, 0])
