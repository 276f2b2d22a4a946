"""Named runs on tokens to start from."""

from __future__ import annotations

from collections.abc import Callable

from coopetition_interp.tasks.tokens.config import TokenConfig, TokenModelConfig
from coopetition_interp.training.schedules import OptimizerConfig, Schedule


def repeated_tokens() -> TokenConfig:
    """A minute: an attention-only model in which an induction head forms on repeated tokens."""
    # Positions that the residual stream does not carry: else a pointer to the last equal token
    # takes the place of a previous-token head.
    return TokenConfig(
        name="repeated-tokens",
        model=TokenModelConfig(positions="shortformer"),
        optimizer=OptimizerConfig(learning_rate=1e-3),
        n_sequences=200_000,
        n_threads=1,
        evaluate_at=Schedule(every=10_000),
        checkpoint_at=Schedule(every=10_000),
    )


TOKEN_PRESETS: dict[str, Callable[[], TokenConfig]] = {"repeated-tokens": repeated_tokens}
"""By the name that the command line takes."""
