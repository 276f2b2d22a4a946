"""Long simulations without run-time shape checks, which would take most of the time.

The same functions are checked in the short simulations of the other tests.
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
