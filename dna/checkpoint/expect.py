"""One form for all refusals: the region, what was expected, what came."""

from __future__ import annotations

import numpy as np

from dna.errors import CheckpointError


def expect(holds: bool, region: str, expected: str, got: object) -> None:
    """Raise CheckpointError unless `holds`."""
    if not holds:
        raise CheckpointError(f"{region}: expected {expected}, got {got if isinstance(got, str) else brief(got)}")


def check_range(name: str, values: np.ndarray, low: int, end: int) -> None:
    """Raise CheckpointError unless all values are in [low, end)."""
    stray = np.flatnonzero((values < low) | (values >= end))
    if len(stray):
        raise CheckpointError(f"{name}: expected values in [{low}, {end}), got {values[stray[0]]} at place {stray[0]}")


def check_each(name: str, holds: np.ndarray, ids: np.ndarray, expected: str) -> None:
    """Raise CheckpointError unless `holds` is true for each cell; the message names the first of the others."""
    bad = np.flatnonzero(~holds)
    if len(bad):
        raise CheckpointError(
            f"{name}: expected {expected}, got otherwise in {len(bad)} place(s), the first at cell {ids[bad[0]]}"
        )


def brief(value: object) -> str:
    """Return a value as text that fits in a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
