"""Next-token or masked-token prediction with any `HookedTransformer`."""

from coopetition_interp.tasks.tokens.config import TokenConfig, TokenModelConfig
from coopetition_interp.tasks.tokens.presets import TOKEN_PRESETS
from coopetition_interp.tasks.tokens.sources import RepeatedTokens, TokenFile, save_tokens
from coopetition_interp.tasks.tokens.token_sequences import TokenSequences, token_loss

__all__ = [
    "TOKEN_PRESETS",
    "RepeatedTokens",
    "TokenConfig",
    "TokenFile",
    "TokenModelConfig",
    "TokenSequences",
    "save_tokens",
    "token_loss",
]
