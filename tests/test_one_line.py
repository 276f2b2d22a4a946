"""Errors and texts on one line, never long."""

from coopetition_interp.one_line import LONGEST, clipped, one_line


def test_an_error_is_told_on_one_line_or_by_its_kind():
    assert one_line(ValueError("a\n  b\tc")) == "a b c"
    assert one_line(KeyError()) == "KeyError"


def test_of_a_long_one_the_middle_is_left_out():
    told = one_line(ValueError("begin " + "x" * 9_999 + " end"))
    assert len(told) == LONGEST
    assert told.startswith("begin x")
    assert told.endswith("x end")
    assert " ... " in told


def test_what_does_not_print_is_shown_as_python_writes_it():
    assert clipped("a\x1b[0m") == "a\\x1b[0m"
