"""Checks of clamps' fields, and values as errors show them."""

from __future__ import annotations

import math
import numbers

from coopetition_interp.one_line import clipped


def shown(value: object) -> str:
    """A value for an error: on one line, and never long, whatever it is."""
    try:
        text = str(value) if hasattr(type(value), "__dataclass_fields__") else repr(value)
    except Exception:  # of a stranger's class, or an integer too long for Python to print
        text = f"<{type(value).__name__}>"
    return clipped(text)


def integer(value: object) -> int | None:
    """`value` as an int, numpy's too; None if it is none."""
    is_one = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if is_one else None  # type: ignore[call-overload]


def whole_number(value: object) -> int | None:
    """`value` as an int, numpy's and 2e6 too; None if it is no whole number."""
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return int(float(value)) if float(value).is_integer() else None
    return integer(value)


def fraction(value: object, name: str, owner: str) -> float:
    """`value` as a number from 0 to 1.

    Raises:
        ValueError: If it is not one.
    """
    number = real_number(value, name, owner)
    if not 0 <= number <= 1:
        raise ValueError(f"{owner}: {name} is a fraction from 0 to 1; got {shown(value)}")
    return number


def real_number(value: object, name: str, owner: str) -> float:
    """`value` as a finite float.

    Raises:
        ValueError: If it is not a number.
    """
    wrong = ValueError(f"{owner}: {name} must be a finite number; got {shown(value)}")
    if isinstance(value, bool) or not isinstance(value, numbers.Real):  # numpy's are among them
        raise wrong
    try:
        number = float(value)
    except OverflowError:
        raise wrong from None
    if not math.isfinite(number):
        raise wrong
    return number


LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-6, 1e6
"""Beyond these, scores divided by a temperature overflow, or are all the same."""


def softmax_temperature(value: object, owner: str, zero: bool = False) -> float:
    """`value` as a temperature of a softmax.

    Args:
        value: The value.
        owner: Whose it is, for the error.
        zero: Whether 0 (all on the largest) is one too.

    Raises:
        ValueError: If it is none, or so far from 1 that dividing by it gives no number.
    """
    number = real_number(value, "temperature", owner)
    if not (LOWEST_TEMPERATURE <= number <= HIGHEST_TEMPERATURE or (zero and number == 0)):
        raise ValueError(
            f"{owner}: temperature is {'0, or ' if zero else ''}from {LOWEST_TEMPERATURE:g} to "
            f"{HIGHEST_TEMPERATURE:g}; got {shown(value)}"
        )
    return number


def truth(value: object, name: str, owner: str) -> bool:
    """`value` if it is True or False.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{owner}: {name} must be True or False; got {shown(value)}")
    return value
