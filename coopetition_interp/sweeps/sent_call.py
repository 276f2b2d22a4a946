"""A function call that a process started by somebody else, such as Slurm, can read and make."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import spawn
from typing import Any

from coopetition_interp.sweeps.sendable import require_sendable

UNGUARDED = (
    "each run's process imports the script that started the sweep: put what it does under "
    '`if __name__ == "__main__":`'
)

_OF_IMPORTS = ("sys_path", "init_main_from_name", "init_main_from_path")
"""Of what multiprocessing tells a process that it starts, the part that imports go by."""

_importing_main = False


@dataclass(frozen=True)
class SentCall:
    """A function, its arguments, and where a fresh process finds what these are made of.

    Tasks and clamps of a user's own may lie beside the plan, in a folder that a process of the
    same interpreter would not look into, or in the script that starts the sweep.
    """

    pickled: bytes
    found_by: Mapping[str, Any]

    @classmethod
    def of(cls, function: Callable[..., Any], *arguments: Any) -> SentCall:
        """A call to be sent.

        Raises:
            ConfigError: Another process could not read the arguments.
            SystemExit: This process itself is still importing the script that started the sweep.
        """
        if _importing_main:
            raise SystemExit(UNGUARDED)
        require_sendable(arguments)
        told = spawn.get_preparation_data("job")
        found_by = {name: told[name] for name in _OF_IMPORTS if name in told}
        return cls(pickle.dumps((function, arguments)), found_by)

    def __call__(self) -> Any:
        """Makes the call here, as a process that multiprocessing starts would make it."""
        global _importing_main
        _importing_main = True
        try:
            spawn.prepare(dict(self.found_by))
        finally:
            _importing_main = False
        function, arguments = pickle.loads(self.pickled)
        return function(*arguments)
