"""A block without run-time shape checks, as users have it.

For what our own checks of arguments say, which these would be before, and for long simulations, of
which they would take most of the time.
"""

from contextlib import contextmanager

from jaxtyping import config


@contextmanager
def without_shape_checks():
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)
