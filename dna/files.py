"""Replacing a file: readers see the old one whole or the new one whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dna.errors import FileError


def replace_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write `chunks` to a temporary file in the folder of `path`, make it durable, and rename it to `path`.

    A symbolic link stays, and the file that it points to is replaced. Whatever goes wrong, in the file system or while the chunks
    are made, an earlier file is as it was and no temporary file is left.

    Parameters
    ----------
    path : Path
        The file to write or to replace.
    chunks : iterable of bytes
        The content. It is asked for once the temporary file is open.

    Raises
    ------
    FileError
        The folder is missing or read-only, the disk is full, or `path` is not a file. The error of the system is its cause.
    """
    try:
        real = _require_replaceable(path)
        _write_and_rename(real, chunks)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error}; what was there before is unchanged") from error


def _require_replaceable(path: Path) -> Path:
    """Return the path behind all links, where a file can stand."""
    try:
        real = Path(os.path.realpath(path))
    except ValueError as error:  # a null byte, or half a surrogate pair
        raise FileError(f"{str(path)!r}: cannot be written: {error}") from error
    if not real.parent.is_dir():
        raise FileError(f"{path}: cannot be written: expected an existing folder, there is none at {real.parent}")
    if real.exists() and not real.is_file():
        raise FileError(f"{path}: cannot be written: expected a file or nothing, got {'a folder' if real.is_dir() else 'a device'}")
    return real


def _write_and_rename(path: Path, chunks: Iterable[bytes]) -> None:
    # Opened by hand and not by tempfile, so that the new file has the permissions that the user's umask gives to any new file.
    temporary = path.parent / f".{secrets.token_hex(16)}.dna-tmp"
    try:
        with open(temporary, "xb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
