"""Replacing a file: readers see the old one whole or the new one whole, whatever happens in between."""

from __future__ import annotations

import os
import re
import secrets
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dna.errors import CheckpointError

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # no POSIX: temporaries are neither locked nor swept
    flock = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.dna-tmp")


def replace_file(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write `chunks` to a temporary file beside `path`, make it durable, and rename it to `path`.

    Parameters
    ----------
    path : Path
        The file to write or to replace. A symbolic link stays, and the file that it points to is replaced.
    chunks : iterable of bytes
        The content.

    Raises
    ------
    CheckpointError
        The folder is missing or read-only, the disk is full, the disk refuses to make the file durable, or `path` is no file. The
        error of the system is its cause. An earlier file is as it was, and no temporary file is left.

    Warns
    -----
    RuntimeWarning
        The new file stands, but the disk did not confirm the rename: after a power cut the earlier file may be back, whole.

    Notes
    -----
    A process that is killed leaves its temporary file. The next save in the same folder removes it: a living writer holds a lock
    on its temporary, which the system drops when the process ends.
    """
    try:
        path = Path(os.path.realpath(path))
        _require_replaceable(path)
        _sweep(path.parent)
        _write_and_rename(path, chunks)
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path that holds a null byte
        raise CheckpointError(f"{path}: cannot be written: {error}; what was there before is unchanged") from error
    _sync_folder(path)


def _require_replaceable(path: Path) -> None:
    if not path.parent.is_dir():
        raise CheckpointError(f"{path}: expected an existing folder, there is none at {path.parent}")
    if path.is_symlink():  # realpath leaves one only where links run in a circle
        raise CheckpointError(f"{path}: expected a file or nothing, got a symbolic link that leads to itself")
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: expected a file or nothing, got {'a folder' if path.is_dir() else 'something else'}")


def _write_and_rename(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    temporary, descriptor = _open_temporary(path.parent)
    try:
        # The file stays open, and so locked, until it has its name.
        with open(descriptor, "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
            if flock is None:
                file.close()  # Windows renames no open file
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _open_temporary(folder: Path) -> tuple[Path, int]:
    while True:
        temporary = folder / f".{secrets.token_hex(16)}.dna-tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        if flock is None:
            return temporary, descriptor
        with suppress(OSError):  # a file system without locks: then nobody can sweep either
            flock(descriptor, LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # another process swept it between its birth and its lock


def _sweep(folder: Path) -> None:
    """Remove the temporary files of writers that are no more."""
    if flock is None:
        return
    with suppress(OSError):  # a folder that may be written and not read
        for name in filter(_TEMPORARY.fullmatch, os.listdir(folder)):
            with suppress(OSError):
                _remove_if_abandoned(folder / name)


def _remove_if_abandoned(temporary: Path) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
        os.unlink(temporary)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    if os.name != "posix":
        return
    try:
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        warnings.warn(f"{path}: written, but the disk did not confirm its name: {error}", RuntimeWarning, stacklevel=4)
