"""Replacing a file: readers see the old one whole or the new one whole, whatever happens in between."""

from __future__ import annotations

import os
import re
import secrets
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from dna.errors import FileError

if sys.platform != "win32":  # there, temporaries are neither locked nor swept
    from fcntl import LOCK_EX, LOCK_NB, flock

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.dna-tmp")


def replace_file(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
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
        The folder is missing or read-only, the disk is full or does not make the file durable, or `path` is not a file. The error
        of the system is its cause.

    Warns
    -----
    RuntimeWarning
        The new file stands, but the disk did not confirm the rename: after a power cut the earlier file may be back, whole.

    Notes
    -----
    A process that is killed leaves its temporary file. The next call for the same folder removes it: a living writer holds a lock
    on its temporary, which the system drops when the process ends.
    """
    try:
        real = _require_replaceable(path)
        _sweep(real.parent)
        _write_and_rename(real, chunks)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error}; what was there before is unchanged") from error
    _sync_folder(real)


def name_file(path: Path, name: Path) -> None:
    """Let the file at `path` stand at `name` of the same folder too; readers of `name` see what was there before, or this file.

    It takes no second copy on the disk where the file system has hard links.

    Raises
    ------
    FileError
        As `replace_file` does.
    """
    temporary = name.parent / f".{secrets.token_hex(16)}.dna-tmp"
    try:
        os.link(path, temporary)
        os.replace(temporary, name)
    except OSError:  # a file system without hard links, or another process that swept
        replace_file(name, _chunks(path))
    finally:
        with suppress(OSError):  # it is still there where `name` was a name of this very file already
            os.unlink(temporary)
    _sync_folder(name)


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def _require_replaceable(path: Path) -> Path:
    """Return the path behind all links, where a file can stand."""
    try:
        real = Path(os.path.realpath(path))
    except ValueError as error:  # a null byte, or half a surrogate pair
        raise FileError(f"{str(path)!r}: cannot be written: {error}") from error
    if not real.parent.is_dir():
        raise FileError(f"{path}: cannot be written: expected an existing folder, there is none at {real.parent}")
    if real.is_symlink():  # realpath leaves one only where links run in a circle
        raise FileError(f"{path}: cannot be written: expected a file or nothing, got a symbolic link that leads to itself")
    if real.exists() and not real.is_file():
        raise FileError(
            f"{path}: cannot be written: expected a file or nothing, got {'a folder' if real.is_dir() else 'a device'}"
        )
    return real


def _write_and_rename(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    temporary, descriptor = _open_temporary(path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()  # Windows renames no open file; elsewhere it stays open, and so locked, until it has its name
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _open_temporary(folder: Path) -> tuple[Path, int]:
    # Opened by hand and not by tempfile, so that the new file has the permissions that the user's umask gives to any new file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = folder / f".{secrets.token_hex(16)}.dna-tmp"
        descriptor = os.open(temporary, flags, 0o666)
        if sys.platform == "win32":
            return temporary, descriptor
        with suppress(OSError):  # a file system without locks: then nobody can sweep either
            flock(descriptor, LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # another process swept it between its birth and its lock


def _sweep(folder: Path) -> None:
    """Remove the temporary files of writers that are no more."""
    if sys.platform == "win32":
        return
    with suppress(OSError):  # a folder that may be written and not read
        for name in filter(_TEMPORARY.fullmatch, os.listdir(folder)):
            with suppress(OSError):
                _remove_if_abandoned(folder / name)


def _remove_if_abandoned(temporary: Path) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
        os.unlink(temporary)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        warnings.warn(f"{path}: written, but the disk did not confirm its name: {error}", RuntimeWarning, stacklevel=3)
