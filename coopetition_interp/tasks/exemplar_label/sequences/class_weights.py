"""Class laws other than uniform: Zipf's, or weights from a file, such as a text's word counts."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from coopetition_interp.config_class import Config, PathText, config_class
from coopetition_interp.files.atomic_file import atomic_file
from coopetition_interp.files.regular_file import not_there, read_regular

MOST_WEIGHTS_BYTES = 2**28


@config_class
class ClassWeights(Config):
    """Weights of classes by rank, in a JSON file: a list of positive numbers.

    Attributes:
        path: The file.
    """

    path: PathText

    def load(self) -> Float64[np.ndarray, " n_weights"]:
        """The weights, the first rank's first.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is something else.
        """
        wrong = f"class_weights: {self.path} should hold a list of positive numbers"
        try:
            content = json.loads(read_regular(self.path, MOST_WEIGHTS_BYTES))
            weights = np.array(content, dtype=np.float64)
        except FileNotFoundError:
            raise FileNotFoundError(not_there("file of class weights", self.path)) from None
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{wrong} ({error})") from error
        if weights.ndim != 1 or not len(weights):
            raise ValueError(f"{wrong}; it holds {type(content).__name__} of shape {weights.shape}")
        if not (weights > 0).all() or not np.isfinite(weights.sum()):
            raise ValueError(f"{wrong}; some are not, or their sum is not finite")
        return weights


def zipf_weights(
    n_classes: int, exponent: float, first_rank: int = 1
) -> Float64[np.ndarray, " n_classes"]:
    """`rank ** -exponent` of `n_classes` ranks from `first_rank` on, the first being 1."""
    ranks = np.arange(first_rank, first_rank + n_classes, dtype=np.float64)
    return ranks**-exponent


def word_counts(text: str) -> list[int]:
    """How often each word of a text is in it, the commonest first: a natural law of ranks.

    A word is a run of letters and apostrophes; capitals make no difference.
    """
    return sorted(Counter(re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", text.lower())).values())[::-1]


def save_class_weights(weights: list[int] | list[float], path: str | Path) -> None:
    """Writes the file that `ClassWeights` reads."""
    with atomic_file(Path(path)) as file:
        file.write_text(json.dumps(weights) + "\n")
