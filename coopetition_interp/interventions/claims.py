"""What a clamp alone may set: two clamps that claim the same contradict each other."""

from __future__ import annotations

from dataclasses import dataclass

ATTENTION_PATTERN = "attention pattern"
PREVIOUS_TOKEN_ATTENTION = "previous-token attention"
ATTENTION_TEMPERATURE = "attention temperature"
BLOCK_INPUT = "input"
BLOCK_WEIGHTS = "weights"
EMBEDDING_WEIGHTS = "weights of the embedding"
UNEMBEDDING_WEIGHTS = "weights of the unembedding"
OUTPUT_LOGITS = "output logits"


@dataclass(frozen=True)
class Claim:
    """Something that one clamp alone may set.

    Attributes:
        what: What it is; one of the names above, or a new one.
        layer: In which block; None for all of them, or where blocks have nothing to do with it.
        head: Of which head; None for all of them, or where heads have nothing to do with it.
    """

    what: str
    layer: int | None = None
    head: int | None = None

    def overlaps(self, other: Claim) -> bool:
        """Whether both claim some same thing."""
        return self.what == other.what and all(
            None in (mine, theirs) or mine == theirs
            for mine, theirs in ((self.layer, other.layer), (self.head, other.head))
        )

    def __str__(self) -> str:
        of_head = "" if self.head is None else f" of head {self.head}"
        of_block = "" if self.layer is None else f" of block {self.layer}"
        return f"the {self.what}{of_head}{of_block}"
