"""What commands have in common: how their help tells defaults, and numbers that have a least value."""

from __future__ import annotations

import argparse
from collections.abc import Callable


class TellDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the default of each option that has one; that of a switch, or None, would tell nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


def at_least(least: int) -> Callable[[str], int]:
    """Return what reads an integer of at least `least` from the command line."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"expected an integer of at least {least}, got {value}")
        return value

    return integer
