"""Texts and errors in one line of bounded length, for a terminal, a file or another error."""

from __future__ import annotations

LONGEST = 500
LONGEST_CAUSE = 300
"""Characters of an error that another one gives as its cause."""
LONGEST_SHOWN = 140
"""Characters of a value that an error repeats."""


def one_line(error: BaseException, longest: int = LONGEST) -> str:
    """What an error says, see `clipped`; its kind if it says nothing."""
    return clipped(str(error), longest) or type(error).__name__


def clipped(text: str, longest: int = LONGEST_SHOWN) -> str:
    """A text on one line, its middle left out where it is longer than `longest` characters."""
    line = " ".join(text.split())
    line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)
    if len(line) <= longest:
        return line
    end = longest // 4
    return f"{line[: longest - end - 5]} ... {line[-end:]}"
