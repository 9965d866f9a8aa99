"""The file: a safetensors container whose every byte is under a checksum.

The header's metadata has one key, `dna`, whose value is a JSON text: the SHA-256 of the header itself, the name and the version
of the format, the SHA-256 of each array, and the state's JSON values. The header's own checksum comes first in that text, and
counts as 64 zeros while it is computed. Other readers of safetensors can open the file too.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from dna import check
from dna.checkpoint.expect import brief
from dna.checkpoint.state import State
from dna.checkpoint.upgrade import OLDEST, upgrade
from dna.checkpoint.validate import validate_state
from dna.errors import CheckpointError
from dna.files import replace_file

FORMAT = "dna-network"
VERSION = 3

_KEY = "dna"
_BLANK = "0" * 64
_DIGEST = b'"dna":"{\\"header\\":\\"'  # as it stands in the file; no text inside a JSON string can look like it
_LENGTH = 8
_MAX_HEADER = 100_000_000  # the limit of safetensors itself
_OTHERS = {b"PK\x03\x04": "a zip archive", b"\x80": "a pickle", b"\x1f\x8b": "a gzip file", b"\x89HDF": "an HDF5 file"}


class MissingCheckpointError(CheckpointError, FileNotFoundError):
    """There is no file at the path."""


def write_state(path: str | os.PathLike[str], state: State) -> None:
    """Save a state, or leave everything as it was.

    Parameters
    ----------
    path : path
        The file to write or to replace. A symbolic link stays, and the file that it points to is replaced.
    state : State

    Raises
    ------
    CheckpointError
        The state could not be loaded again: NaN in a weight, a value that is no JSON.
    FileError
        The file could not be written: a read-only folder, a full disk. In both cases an earlier file at `path` is as it was, and
        no temporary file is left.

    Notes
    -----
    Equal states give equal bytes. See `dna.files.replace_file` for how the file comes to stand.
    """
    validate_state(state)
    header, body = _encode(state)
    replace_file(Path(path), (header, body))


def read_state(path: str | os.PathLike[str]) -> State:
    """Load a state that `write_state` saved, and check all of it.

    Parameters
    ----------
    path : path

    Returns
    -------
    State
        Its arrays are new, and belong to the caller.

    Raises
    ------
    MissingCheckpointError
        There is no file. It is a `FileNotFoundError` too.
    CheckpointError
        The file is not a `dna` model, is of another version of the format, was torn or changed, or holds what no network can be.
    """
    path = Path(path)
    try:
        state = _decode(_read(path))
        validate_state(state)
    except MissingCheckpointError:
        raise
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error.__cause__
    return state


def _encode(state: State) -> tuple[bytes, memoryview]:
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(state.arrays.items())}
    digests = {name: _digest_array(array) for name, array in arrays.items()}
    text = {"header": _BLANK, "format": FORMAT, "version": VERSION, "arrays": digests, "meta": state.meta}
    try:
        content = save(arrays, {_KEY: json.dumps(text, allow_nan=False, separators=(",", ":"))})
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"meta: expected finite JSON values, got something else: {error}") from error
    end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    if end > _MAX_HEADER:
        raise CheckpointError(f"meta: expected at most {_MAX_HEADER} bytes as JSON, got {end}")
    return _seal(content[:end]), memoryview(content)[end:]


def _seal(blank: bytes) -> bytes:
    """Put the checksum of a header with a blank one into its place."""
    start = blank.index(_DIGEST) + len(_DIGEST)
    return blank[:start] + _digest(blank).encode() + blank[start + len(_BLANK) :]


def _read(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for its writer
            raise CheckpointError(f"expected a file, got {'a folder' if path.is_dir() else 'something else'}")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            _header_end(file.read(_LENGTH), size)  # before a large foreign file is read whole
            check.require_room(size, CheckpointError)
            file.seek(0)
            return file.read()
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise MissingCheckpointError(f"{path}: there is no such file") from error
    except (OSError, MemoryError, ValueError) as error:  # ValueError: a path that holds a null byte
        raise CheckpointError(f"cannot be read: {error}") from error


def _decode(content: bytes) -> State:
    end = _header_end(content[:_LENGTH], len(content))
    text = _parse_header(content[:end])
    _require_format(text)
    _require_seal(content[:end])
    arrays = _load_arrays(content)
    _require_digests(text, arrays)
    if not isinstance(text.get("meta"), dict):
        raise CheckpointError(f"meta: expected an object, got {brief(text.get('meta'))}")
    return upgrade(State(text["meta"], arrays), text["version"])


def _header_end(length: bytes, size: int) -> int:
    end = _LENGTH + int.from_bytes(length, "little")
    if len(length) == _LENGTH and _LENGTH < end <= min(size, _MAX_HEADER):
        return end
    for magic, what in _OTHERS.items():
        if length.startswith(magic):
            raise CheckpointError(f"expected a dna model, got {what}")
    raise CheckpointError(f"header: expected its length, within the {size} bytes of the file; the file is torn, or no dna model")


def _parse_header(header: bytes) -> dict[str, Any]:
    try:
        outer = _parse_json(header[_LENGTH:].decode())
        text = _parse_json(outer["__metadata__"][_KEY])
    except (KeyError, TypeError) as error:
        raise CheckpointError("header: expected the metadata of a dna model, there is none") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"header: expected JSON, got something else: {error}") from error
    if not isinstance(text, dict):
        raise CheckpointError("header: expected the metadata of a dna model, there is none")
    return text


def _parse_json(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_require_unique)


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no JSON number")


def _require_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key comes twice")
    return table


def _require_format(text: dict[str, Any]) -> None:
    if text.get("format") != FORMAT:
        raise CheckpointError(f"format: expected {FORMAT!r}, got {brief(text.get('format'))}")
    if type(text.get("version")) is not int or not OLDEST <= text["version"] <= VERSION:
        known = f"format version: this dna reads {OLDEST} to {VERSION}"
        raise CheckpointError(f"{known}, the file is of {brief(text.get('version'))}")


def _require_seal(header: bytes) -> None:
    start = header.find(_DIGEST) + len(_DIGEST)
    blank = header[:start] + _BLANK.encode() + header[start + len(_BLANK) :]
    if header.count(_DIGEST) != 1 or _digest(blank).encode() != header[start : start + len(_BLANK)]:
        raise CheckpointError("header: its checksum is wrong; it was changed after it was written")


def _load_arrays(content: bytes) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"arrays: torn, or not laid out as their header says: {error}") from error


def _require_digests(text: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    digests = text.get("arrays")
    if not isinstance(digests, dict) or digests.keys() != arrays.keys():
        raise CheckpointError("arrays: expected one checksum for each array, and no other")
    for name, array in arrays.items():
        if digests[name] != _digest_array(array):
            raise CheckpointError(f"{name}: its checksum is wrong; it was changed after it was written")


def _digest_array(array: np.ndarray) -> str:
    return _digest(array.reshape(-1).view(np.uint8).data if array.size else b"")


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()
