"""Named runs to start from, of every task of the toolkit."""

from __future__ import annotations

from collections.abc import Callable

from coopetition_interp.tasks.exemplar_label.presets import PRESETS as EXEMPLAR_LABEL_PRESETS
from coopetition_interp.tasks.tokens.presets import TOKEN_PRESETS
from coopetition_interp.training.run_config import RunConfig, named_preset

PRESETS: dict[str, Callable[[], RunConfig]] = {**EXEMPLAR_LABEL_PRESETS, **TOKEN_PRESETS}
"""By the name that the command line takes."""


def preset(name: str) -> RunConfig:
    """The preset of this name.

    Raises:
        ConfigError: There is none; the message lists them.
    """
    return named_preset(name, PRESETS)
