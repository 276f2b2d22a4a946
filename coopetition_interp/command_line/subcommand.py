"""What all subcommands have."""

from __future__ import annotations

import argparse


def subcommand(commands, name: str, summary: str, epilog: str | None = None):
    """Adds a subcommand's parser, with the option that all have.

    Args:
        commands: Of the whole parser.
        name: What the user types.
        summary: For `--help`.
        epilog: More of it, as it stands.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show Python's traceback of an error"
    )
    return parser
