"""`python -m coopetition_interp`: the command line."""

import sys

from coopetition_interp.command_line import main

if __name__ == "__main__":
    sys.exit(main())
