"""A log of claims and releases: recorded from a pool that runs, and replayed to see whether another hands out the same slots."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dna.errors import DataError
from dna.files import replace_file
from dna.pool import Pool
from dna.types import SLOT

KINDS = ("claim", "release")


class Entry(NamedTuple):
    """One claim or release in bulk, with its slots in order."""

    kind: str
    slots: tuple[int, ...]


class PoolLog:
    """A list of entries, in the order of their happening.

    Parameters
    ----------
    entries : iterable of Entry
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries: list[Entry] = list(entries)

    def note(self, kind: str, slots: np.ndarray) -> None:
        """Add an entry; a pool whose `log` this is calls it."""
        self.entries.append(Entry(kind, tuple(slots.tolist())))

    def replay(self, pool: Pool) -> None:
        """Do to a pool what was done to the one that was recorded from.

        Raises
        ------
        DataError
            An entry gives other slots than those recorded, or releases a slot that is free.
        PoolExhausted
            The pool is fixed and too small.
        """
        living = {slot for slot, id in enumerate(pool.columns()[0]["id"].tolist()) if id >= 0}
        for number, (kind, slots) in enumerate(self.entries):
            if kind == "claim":
                found = tuple(pool.backend.download(pool.claim(len(slots))[0]).tolist())
                if found != slots or living & set(found):
                    raise DataError(f"entry {number}: expected a claim of the slots {_brief(slots)}, got {_brief(found)}")
                living |= set(found)
            else:
                if not set(slots) <= living or len(set(slots)) != len(slots):
                    raise DataError(f"entry {number}: expected a release of slots in use, got {_brief(slots)}")
                pool.release(pool.backend.upload(np.array(slots, SLOT)))
                living -= set(slots)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a line of JSON an entry; the file is replaced whole.

        Raises
        ------
        FileError
        """
        replace_file(Path(path), (json.dumps([entry.kind, *entry.slots]).encode() + b"\n" for entry in self.entries))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> PoolLog:
        """Read what `write` wrote.

        Raises
        ------
        DataError
            The file cannot be read, or holds something else.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
            return cls(_parse(number, json.loads(line)) for number, line in enumerate(lines))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path}: expected a log of claims and releases: {error}") from error


def _parse(number: int, entry: Any) -> Entry:
    if not isinstance(entry, list) or not entry or entry[0] not in KINDS or not all(type(slot) is int for slot in entry[1:]):
        raise ValueError(f"entry {number} is none")
    return Entry(entry[0], tuple(entry[1:]))


def _brief(slots: tuple[int, ...]) -> str:
    return f"{list(slots[:8])}{'...' if len(slots) > 8 else ''}"
