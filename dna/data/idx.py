"""The IDX format of MNIST: two zero bytes, a type code, the number of dimensions, their sizes, and the numbers, big-endian.

Format: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dna import check
from dna.errors import DataError

DTYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
"""Type codes and what they stand for."""

_GZIP = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032  # no deflate stream grows by more; see zlib's technical notes, "Maximum Compression Factor"
_MAX_DIMENSIONS = 32
_MAX_NUMBERS = 2**59  # of eight bytes each
_CHUNK = 2**22


def read_idx(path: str | os.PathLike[str], ndim: int | None = None) -> np.ndarray:
    """Read an IDX file, plain or compressed by gzip (told by its content, not by its name).

    Parameters
    ----------
    path : path
    ndim : int, optional
        The number of dimensions that the file must have. Any, by default.

    Returns
    -------
    numpy.ndarray
        The numbers in the shape that the file declares, in native byte order: uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    DataError
        The file cannot be read, is no IDX file, declares more or fewer numbers than it holds, or is torn. A declared size that
        the file cannot hold is refused before memory is taken for it.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for its writer
            raise DataError(f"expected a file, got {'a folder' if path.is_dir() else 'something else'}")
        with open(path, "rb") as file:
            return _read_any(file, os.fstat(file.fileno()).st_size, ndim)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error.__cause__
    except (OSError, MemoryError, ValueError) as error:  # ValueError: a path that holds a null byte
        raise DataError(f"{path}: cannot be read: {error}") from error


def _read_any(file: BinaryIO, size: int, ndim: int | None) -> np.ndarray:
    compressed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    if not compressed:
        return _read(file, size, ndim)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            return _read(stream, size * _DEFLATE_LIMIT, ndim)  # type: ignore[arg-type]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"expected a whole gzip file, got a torn or changed one: {error}") from error


def _read(file: BinaryIO, limit: int, ndim: int | None) -> np.ndarray:
    """Read an IDX stream that cannot hold more than `limit` bytes."""
    dtype, dimensions = _read_magic(file, ndim)
    shape = struct.unpack(f">{dimensions}I", _read_exactly(file, 4 * dimensions, "sizes of the dimensions"))
    expected = math.prod(shape) * dtype.itemsize
    if expected > limit or math.prod(max(n, 1) for n in shape) >= _MAX_NUMBERS:  # NumPy counts so where a dimension is empty
        raise DataError(f"declares {_times(shape)} numbers of {dtype.itemsize} byte(s), more than the file can hold")
    check.require_room(expected, DataError)
    content = _read_exactly(file, expected, f"{_times(shape)} numbers")
    if file.read(1):
        raise DataError(f"expected its end after {_times(shape)} numbers, got more")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_magic(file: BinaryIO, ndim: int | None) -> tuple[np.dtype[Any], int]:
    magic = _read_exactly(file, 4, "magic number of IDX")
    if magic[:2] != b"\0\0":
        raise DataError(f"expected an IDX file, which begins with two zero bytes, got {magic[:2].hex(' ')}")
    code, dimensions = magic[2], magic[3]
    if code not in DTYPES:
        raise DataError(f"expected a type code of IDX ({', '.join(f'0x{c:02x}' for c in DTYPES)}), got 0x{code:02x}")
    if not 1 <= dimensions <= _MAX_DIMENSIONS or dimensions != (ndim or dimensions):
        raise DataError(f"expected {ndim or f'1 to {_MAX_DIMENSIONS}'} dimension(s), got {dimensions}")
    return DTYPES[code], dimensions


def _read_exactly(file: BinaryIO, count: int, what: str) -> bytearray:
    """Read in pieces, so that memory is taken for what is there and not for what is claimed."""
    content = bytearray()
    while len(content) < count:
        piece = file.read(min(_CHUNK, count - len(content)))
        if not piece:
            raise DataError(f"expected {count} bytes for the {what}, got {len(content)}; the file is torn")
        content += piece
    return content


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
