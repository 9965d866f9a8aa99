"""Replacing a file: a failure leaves no trace, and what a killed process left is swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dna.errors import FileError
from dna.files import replace_file

OLD, NEW = b"the file that was there", b"the new content"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "net.dna"
    path.write_bytes(OLD)
    return path


def assert_untouched(old: Path) -> None:
    assert old.read_bytes() == OLD
    assert os.listdir(old.parent) == [old.name]


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)  # the longest name that there is
    for content in (NEW, OLD):
        replace_file(path, [content[:4], memoryview(content)[4:]])
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == [path.name]


def test_new_files_have_the_permissions_that_the_user_asks_for(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "net.dna", [NEW])
    finally:
        os.umask(before)
    assert (tmp_path / "net.dna").stat().st_mode & 0o777 == 0o640


# --- failures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["open", "fsync", "replace"])
def test_a_failing_system_call_leaves_the_old_file(old: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """To open a file is what a read-only folder refuses, also for those whom permissions do not bind."""

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, function, refuse)
        with pytest.raises(FileError, match="Permission denied; what was there before is unchanged") as caught:
            replace_file(old, [NEW])
    assert isinstance(caught.value.__cause__, PermissionError)
    assert_untouched(old)


def test_content_that_fails_half_way_leaves_the_old_file(old: Path) -> None:
    def content() -> Iterator[bytes]:
        yield NEW
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(old, content())
    assert_untouched(old)


def test_a_full_disk_leaves_the_old_file(old: Path) -> None:
    """A limit on the size of files stands for the full disk: the same write fails in the same place."""
    code = """if True:
        import resource, sys
        from pathlib import Path
        from dna.errors import FileError
        from dna.files import replace_file
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            replace_file(Path(sys.argv[1]), [b"x" * 3000, memoryview(b"y" * 30000)])
        except FileError as error:
            sys.exit(7 if isinstance(error.__cause__, OSError) else 8)
    """
    assert subprocess.run([sys.executable, "-c", code, old], check=False).returncode == 7
    assert_untouched(old)


def test_a_read_only_folder_leaves_the_old_file() -> None:
    """Permissions do not bind root, who becomes somebody else for it, and so cannot use pytest's folders of root's."""
    before = os.geteuid()
    with TemporaryDirectory() as name:
        old = Path(name, "net.dna")
        old.write_bytes(OLD)
        old.parent.chmod(0o555)
        if before == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(FileError, match="Permission denied"):
                replace_file(old, [NEW])
            assert_untouched(old)
        finally:
            os.seteuid(before)
            old.parent.chmod(0o700)


def test_a_folder_that_does_not_sync_after_the_rename_is_a_warning(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(22, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.warns(RuntimeWarning, match="did not confirm its name"):
        replace_file(old, [NEW])
    assert old.read_bytes() == NEW


# --- what stands in the way ---------------------------------------------------------------------------------------------


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(os.listdir(tmp_path))
    for path, match in (
        (tmp_path, "expected a file or nothing, got a folder"),
        (tmp_path / "pipe", "expected a file or nothing"),
        (tmp_path / "loop", "leads to itself"),
        (tmp_path / "none" / "net.dna", "expected an existing folder"),
        (Path("net\0.dna"), "null (byte|character)"),
    ):
        with pytest.raises(FileError, match=match):
            replace_file(path, [NEW])
    assert sorted(os.listdir(tmp_path)) == before


def test_a_link_stays_and_its_file_is_replaced(old: Path) -> None:
    (old.parent / "runs").mkdir()
    link, dangling = old.parent / "runs" / "latest", old.parent / "runs" / "next"
    link.symlink_to(old)
    dangling.symlink_to(old.parent / "next.dna")
    for path in (link, dangling):
        replace_file(path, [NEW])
        assert path.is_symlink() and path.read_bytes() == NEW
    assert old.read_bytes() == (old.parent / "next.dna").read_bytes() == NEW
    assert sorted(os.listdir(link.parent)) == ["latest", "next"]


# --- what a killed process left -----------------------------------------------------------------------------------------


def test_the_next_call_sweeps_what_a_killed_writer_left_and_spares_what_a_living_one_writes(old: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from dna.files import replace_file

        def content():
            yield b"half"
            print("writing", flush=True)
            sys.stdin.read()

        replace_file(Path(sys.argv[1]), content())
    """
    bystander = old.parent / ".notes.dna-tmp"
    bystander.touch()
    command = [sys.executable, "-c", code, old]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"writing\n"
        (temporary,) = set(os.listdir(old.parent)) - {old.name, bystander.name}
        replace_file(old, [NEW])
        assert temporary in os.listdir(old.parent)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert temporary in os.listdir(old.parent)
    replace_file(old, [NEW])
    assert set(os.listdir(old.parent)) == {old.name, bystander.name}
    assert old.read_bytes() == NEW
