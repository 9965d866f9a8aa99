"""Hostile IDX files, plain and compressed."""

from __future__ import annotations

import gzip
import struct
from functools import cache
from io import BytesIO
from random import Random

import numpy as np

from benchmarks.fuzz.mutation import damage
from dna.data import idx
from dna.errors import DataError


@cache
def originals() -> tuple[bytes, ...]:
    """Return files of every type of number and of one to four dimensions."""
    found = []
    for number, (code, dtype) in enumerate(idx.DTYPES.items()):
        shape = (3, 2, 2, 1)[: number % 4 + 1]
        array = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
        found.append(bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes())
    return (*found, *(gzip.compress(content, 1, mtime=0) for content in found))


def make(draw: Random) -> bytes:
    """Return a hostile file; half of the compressed ones are whole gzip files around damaged content."""
    content = draw.choice(originals())
    if content.startswith(idx._GZIP) and draw.random() < 0.5:
        return gzip.compress(damage(gzip.decompress(content), draw), 1, mtime=0)
    return damage(content, draw)


def attempt(content: bytes) -> str:
    """Read a file; return whether it was refused, or is as long as it says."""
    try:
        array = idx._read_any(BytesIO(content), len(content), None)
    except DataError as error:
        _require_region(str(error))
        return "refused"
    plain = gzip.decompress(content) if content.startswith(idx._GZIP) else content
    assert plain[:2] == b"\0\0" and array.nbytes == len(plain) - 4 - 4 * plain[3]
    assert array.shape == struct.unpack(f">{plain[3]}I", plain[4 : 4 + 4 * plain[3]])
    return "read"


def _require_region(refusal: str) -> None:
    assert "expected" in refusal or "declares" in refusal, f"a refusal without a region: {refusal}"
