"""The command line: a thin reader of arguments. A command is a function of the parsed arguments; it returns an exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dna.errors import DNAError
from dna.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 after an error that was told in a line, 130 after Ctrl-C."""
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except DNAError as error:
        print(f"dna: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dna: interrupted", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    from dna.cli import bench, show, train

    parser = argparse.ArgumentParser(prog="dna", description="Neural networks whose topology lives.")
    parser.add_argument("--version", action="version", version=f"dna {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (train, show, bench):
        module.add_commands(commands)
    return parser
