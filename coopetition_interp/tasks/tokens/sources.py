"""Where token sequences come from: repeated random tokens, or a tensor of the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from pydantic import BeforeValidator, Field
from torch import Tensor

from coopetition_interp.config_class import (
    Config,
    ConfigError,
    Integer,
    Number,
    PathText,
    config_class,
    shortened,
)
from coopetition_interp.files.regular_file import UnreadableFileError, not_there
from coopetition_interp.files.tensor_file import read_tensor_file, write_tensor_file

TOKENS = "tokens"
"""Name of the tensor in a file of tokens."""


class Drawn(NamedTuple):
    """Token sequences, and what of them can be known from what came before.

    Attributes:
        tokens: The sequences.
        is_repeated: Which tokens have come before.
        is_foretold: Which tokens come before one that followed an equal token before.
    """

    tokens: Int[Tensor, "batch n_tokens"]
    is_repeated: Bool[Tensor, " n_tokens"]
    is_foretold: Bool[Tensor, " n_tokens"]


@config_class
class RepeatedTokens(Config):
    """A block of random tokens, each once, and then excerpts of it.

    Excerpts begin at random places of the block, so that what comes next is told by what followed
    the same token before, and by nothing else. With one excerpt of the block's length the block
    comes twice, as in the usual test for induction heads.

    Attributes:
        d_vocab: Tokens there are.
        n_block: Tokens of the block.
        n_excerpts: Excerpts after it.
        n_excerpt: Tokens of an excerpt.
    """

    kind: Literal["repeated"] = field(default="repeated", kw_only=True, repr=False)
    d_vocab: Annotated[Integer, Field(ge=2, le=100_000)] = 64
    n_block: Annotated[Integer, Field(ge=2, le=10_000)] = 16
    n_excerpts: Annotated[Integer, Field(ge=1, le=10_000)] = 8
    n_excerpt: Annotated[Integer, Field(ge=2, le=10_000)] = 2

    def __post_init__(self) -> None:
        if not self.n_excerpt <= self.n_block <= self.d_vocab:
            raise ValueError(
                "a block of different tokens and excerpts of it need n_excerpt <= n_block <= "
                f"d_vocab; got {self.n_excerpt}, {self.n_block} and {self.d_vocab}"
            )

    @property
    def n_tokens(self) -> int:
        """Length of a sequence."""
        return self.n_block + self.n_excerpts * self.n_excerpt

    def load(self) -> RepeatedTokens:
        """Itself: there is nothing to read."""
        return self

    def digest(self) -> str:
        """Nothing beside the config decides what is drawn."""
        return ""

    def draw(self, n: int, generator: torch.Generator, held_out: bool = False) -> Drawn:
        """Draws sequences; held-out ones are drawn alike."""
        shape = (n, self.d_vocab)
        every_token = torch.rand(shape, generator=generator, dtype=torch.float32).argsort(1)
        block = every_token[:, : self.n_block]
        last_start = self.n_block - self.n_excerpt
        starts = torch.randint(0, last_start + 1, (n, self.n_excerpts), generator=generator)
        places = (starts[:, :, None] + torch.arange(self.n_excerpt)).flatten(1)
        tokens = torch.cat([block, block.gather(1, places)], dim=1)
        position = torch.arange(self.n_tokens)
        repeated = position >= self.n_block
        last = (position - self.n_block) % self.n_excerpt == self.n_excerpt - 1
        return Drawn(tokens, repeated, repeated & ~last)


class LoadedTokens:
    """A user's token sequences, in memory.

    Args:
        tokens: The sequences.
        held_out: Share of them, at the end, that is not trained on.
    """

    def __init__(self, tokens: Int[Tensor, "n_sequences n_tokens"], held_out: float):
        self.tokens = tokens
        self.d_vocab = int(tokens.max()) + 1
        self.n_tokens = tokens.shape[1]
        self.n_train = len(tokens) - round(held_out * len(tokens))

    def digest(self) -> str:
        """SHA-256 of the tokens."""
        return hashlib.sha256(self.tokens.contiguous().numpy().tobytes()).hexdigest()

    def draw(self, n: int, generator: torch.Generator, held_out: bool = False) -> Drawn:
        """Draws sequences with replacement, of those trained on or of the held-out ones."""
        first, last = (self.n_train, len(self.tokens)) if held_out else (0, self.n_train)
        tokens = self.tokens[torch.randint(first, last, (n,), generator=generator)]
        nowhere = torch.zeros(self.n_tokens, dtype=torch.bool)  # as far as is known
        return Drawn(tokens, nowhere, nowhere)


@config_class
class TokenFile(Config):
    """Token sequences of the user's own, in a safetensors file: see `save_tokens`.

    Attributes:
        path: The file; its tensor `tokens` is [n_sequences, n_tokens], of integers from 0.
        held_out: Share of the sequences, at the end, that is not trained on.
    """

    kind: Literal["file"] = field(default="file", kw_only=True, repr=False)
    path: PathText
    held_out: Annotated[Number, Field(ge=0, lt=1)] = 0.1

    def load(self) -> LoadedTokens:
        """Reads the file.

        Raises:
            ConfigError: It is no file of tokens, or too short for what is to be held out.
            FileNotFoundError: There is none.
        """
        try:
            tensors, _ = read_tensor_file(self.path)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{not_there('file of tokens', self.path)}: work in the folder that it is named "
                "from, or put its path as it is now into tokens.path (of a run, in its config.json)"
            ) from None
        except UnreadableFileError as error:
            raise ConfigError(f"{error}: write it anew by save_tokens") from error
        return _checked(tensors.get(TOKENS), self.held_out, str(self.path))


def _checked(tokens: object, held_out: float, where: str) -> LoadedTokens:
    """Tokens that can be trained on.

    Raises:
        ConfigError: They are none, or all would be held out.
    """
    is_table = isinstance(tokens, Tensor) and tokens.ndim == 2 and tokens.numel()
    if not isinstance(tokens, Tensor) or not is_table or tokens.is_floating_point():
        raise ConfigError(
            f"{where} has no tensor {TOKENS!r} of integers [n_sequences, n_tokens]: write such a "
            "one by save_tokens"
        )
    whole = tokens.long()  # which has a minimum, as unsigned ones have not
    if tokens.dtype == torch.bool or tokens.is_complex() or int(whole.min()) < 0:
        raise ConfigError(f"{where}: tokens are integers from 0 to 2**63 - 1")
    loaded = LoadedTokens(whole, held_out)
    if loaded.n_train < 1:
        raise ConfigError(f"{where}: all of its {len(tokens)} sequences would be held out")
    return loaded


def save_tokens(
    path: str | Path, tokens: Tensor | np.ndarray | Sequence[Sequence[int]]
) -> TokenFile:
    """Writes token sequences of the user's own to a file to be trained on.

    Args:
        path: The file.
        tokens: Integers from 0, [n_sequences, n_tokens], of any width; lists are of one length.

    Raises:
        ConfigError: See `TokenFile.load`; nothing is written.
        OSError: It could not be written.
    """
    source = TokenFile(path=str(path))
    where = f"what is to be saved as {path}"
    table = _as_table(tokens)
    if table is None:
        raise ConfigError(
            f"{where}: tokens are a table of integers [n_sequences, n_tokens], in a tensor, an "
            f"array or lists of one length; got {shortened(tokens)}"
        )
    _checked(table, source.held_out, where)
    write_tensor_file(path, {TOKENS: table}, {})
    return source


def _as_table(tokens: object) -> Tensor | None:
    """What a user has of tokens as a tensor, none of them changed; None if it is no table."""
    if not isinstance(tokens, Tensor):
        try:
            array = np.array(tokens)
        except (ValueError, TypeError, OverflowError):  # lists of several lengths, to begin with
            return None
        if array.dtype.kind not in "iub":
            return None
        tokens = torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    is_table = tokens.ndim == 2 and tokens.numel() and not tokens.is_floating_point()
    return tokens if is_table else None


def _source(value: Any) -> Any:
    if isinstance(value, RepeatedTokens | TokenFile | Mapping):
        return value
    raise ValueError(
        "give RepeatedTokens(...) or a TokenFile(path); what save_tokens(path, tokens) returns of "
        f"a tensor, an array or lists is one; got {shortened(value)}"
    )


TokenSource = Annotated[
    RepeatedTokens | TokenFile, Field(discriminator="kind"), BeforeValidator(_source)
]
