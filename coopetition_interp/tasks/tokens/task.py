"""Tokens as a task: batches, the loss, evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens import HookedRootModule

from coopetition_interp.config_class import ConfigError
from coopetition_interp.interventions import Clamps, bind, run_clamped
from coopetition_interp.tasks.tokens.config import TokenConfig
from coopetition_interp.tasks.tokens.sources import Drawn, LoadedTokens, RepeatedTokens
from coopetition_interp.tasks.tokens.token_sequences import (
    TokenSequences,
    masked_tokens,
    next_tokens,
    score_tokens,
    token_loss,
)
from coopetition_interp.training.run_config import Evaluate
from coopetition_interp.training.subnormals import subnormals_as_zero
from coopetition_interp.training.task import RunModel, Task, device_of

CHUNK = 500
"""Sequences scored at a time."""

_EVALUATION_STREAM = 1
"""Keeps what is evaluated apart from what is trained where both have one seed."""


@dataclass(kw_only=True)
class TokenTask(Task):
    """See `Task`.

    Attributes:
        config: The run.
        source: The token sequences.
    """

    config: TokenConfig
    source: RepeatedTokens | LoadedTokens

    def batch(self, step: int) -> TokenSequences:
        """The sequences of a training step."""
        generator = _generator(self.config.data_seed, step)
        drawn = self.source.draw(self.config.batch_size, generator)
        batch = _to_predict(self.config, self.source, drawn, generator)
        if self.config.train_on == "repeated":
            batch = batch._replace(scored=batch.scored & _can_be_known(self.config, drawn))
        return batch

    def loss(self, run_model: RunModel, batch: TokenSequences) -> Float[Tensor, ""]:
        """See `token_loss`."""
        return token_loss(run_model, batch)


def build_task(config: TokenConfig) -> TokenTask:
    """See `RunConfig.build`."""
    source = config.tokens.load()
    if config.train_on == "repeated" and not isinstance(source, RepeatedTokens):
        raise ConfigError("train_on=repeated is for repeated tokens; a file's are not known to be")
    if config.objective == "next_token" and source.n_tokens < 2:
        raise ConfigError(
            f"tokens ({config.tokens}) are sequences of one token, which has no next one to "
            "predict: give longer ones, or take objective='masked'"
        )
    resolved = {
        "d_vocab": source.d_vocab,
        "n_tokens": source.n_tokens,
        "tokens_sha256": source.digest(),
    }
    return TokenTask(
        model=config.fresh_model(resolved),
        evaluation_sequences=draw_evaluation_sequences(config, source),
        resolved=resolved,
        data=f"tokens ({config.tokens})",
        config=config,
        source=source,
    )


def draw_evaluation_sequences(
    config: TokenConfig, source: RepeatedTokens | LoadedTokens
) -> dict[str, TokenSequences]:
    """Fixed sequences by evaluator.

    Of repeated tokens: "repeated" scores the predictions that can be read off what came before,
    "new" the others. Of a file: "train" and "held_out".
    """
    generator = _generator(config.evaluation_seed, 0, _EVALUATION_STREAM)
    if isinstance(source, RepeatedTokens):
        drawn = source.draw(config.n_evaluated, generator)
        every = _to_predict(config, source, drawn, generator)
        repeated = _can_be_known(config, drawn)
        new = every._replace(scored=every.scored & ~repeated)
        return {"new": new, "repeated": every._replace(scored=every.scored & repeated)}
    made = {}
    for name, held_out in (("train", False), ("held_out", True)):
        if not held_out or source.n_train < len(source.tokens):
            drawn = source.draw(config.n_evaluated, generator, held_out)
            made[name] = _to_predict(config, source, drawn, generator)
    return made


def make_evaluator(model: HookedRootModule, clamps: Clamps = ()) -> Evaluate:
    """See `RunConfig.evaluator`."""
    bound = bind(clamps, model)

    @torch.no_grad()
    def evaluate(sequences: Mapping[str, TokenSequences]) -> pd.DataFrame:
        rows = []
        for evaluator, batch in sequences.items():
            parts = []
            for start in range(0, len(batch.tokens), CHUNK):
                part = TokenSequences(
                    *(t[start : start + CHUNK].to(device_of(model)) for t in batch)
                )
                with subnormals_as_zero():
                    logits = run_clamped(model, part.tokens, bound, return_type="logits")
                parts.append(
                    pd.DataFrame({n: s.cpu() for n, s in score_tokens(logits, part).items()})
                )
            means = pd.concat(parts).mean(skipna=False)  # of a model that diverged, NaN
            rows.append({"evaluator": evaluator, **means, "n_sequences": len(batch.tokens)})
        return pd.DataFrame(rows)

    return evaluate


def _to_predict(
    config: TokenConfig,
    source: RepeatedTokens | LoadedTokens,
    drawn: Drawn,
    generator: torch.Generator,
) -> TokenSequences:
    if config.objective == "next_token":
        return next_tokens(drawn.tokens)
    drawn_below_1 = torch.rand(drawn.tokens.shape, generator=generator, dtype=torch.float32)
    masked = drawn_below_1 < config.masked_share
    return masked_tokens(drawn.tokens, masked, mask_token=source.d_vocab)


def _can_be_known(config: TokenConfig, drawn: Drawn) -> Bool[Tensor, " n_tokens"]:
    """At which positions the prediction can be read off what came before."""
    return drawn.is_foretold if config.objective == "next_token" else drawn.is_repeated


def _generator(seed: int, step: int, *stream: int) -> torch.Generator:
    state = np.random.SeedSequence([seed, step, *stream]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) % 2**63)
