"""Scope: among which cells a cell is ranked."""

from __future__ import annotations

from typing import Literal

from dna.errors import UnknownNameError

Scope = Literal["network", "layer"]
SCOPES: tuple[Scope, ...] = ("network", "layer")


def find_scope(scope: Scope) -> Scope:
    """Return `scope`, or raise UnknownNameError."""
    if scope not in SCOPES:
        raise UnknownNameError("scope", scope, SCOPES)
    return scope
