"""One form for all refusals: the region, what was expected, what came."""

from __future__ import annotations

from dna.errors import CheckpointError


def expect(holds: bool, region: str, expected: str, got: object) -> None:
    """Raise CheckpointError unless `holds`."""
    if not holds:
        raise CheckpointError(f"{region}: expected {expected}, got {got if isinstance(got, str) else brief(got)}")


def brief(value: object) -> str:
    """Return a value as text that fits in a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
