"""The cache of compiled kernels on disk: functions of a user's own belong to their modules."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from dna.cpu import compiler, memory

PACKAGE = Path(__file__).resolve().parents[2]

SCORE = """
def score(w, b):
    return abs(w) + {unique} * b * b
"""
EXTINCTION = "import dna; dna.Network([3, 2], device='cpu').extinction(dna.Extinction(passthrough=score))"


def run(code: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": f"{folder}:{PACKAGE}"}, check=True)


def test_a_cached_kernel_does_not_ask_for_the_module_of_another_function(tmp_path: Path) -> None:
    """Numba imports the module of a user's function when it loads a kernel; it may be gone, and is not ours to run."""
    score = SCORE.format(unique=abs(hash(str(tmp_path))))  # so that earlier runs of this test have not cached it
    module = tmp_path / "users_module.py"
    module.write_text(score)
    run(f"from users_module import score; {EXTINCTION}", tmp_path)
    module.write_text("raise SystemExit('imported by a kernel that has nothing to do with it')")
    run(f"{score}\n{EXTINCTION}", tmp_path)
    module.unlink()
    run(f"{score}\n{EXTINCTION}", tmp_path)


def test_a_kernel_whose_module_cannot_be_imported_is_compiled_anew(tmp_path: Path) -> None:
    score = SCORE.format(unique=abs(hash(str(tmp_path))))
    nameless = f"space = {{'__name__': 'no_such_module'}}; exec({score!r}, space); score = space['score']; {EXTINCTION}"
    run(nameless, tmp_path)
    run(nameless, tmp_path)


INNER = """
import numpy as np
from dna.cpu.compiler import jit, kernel
fall = jit(lambda n: n if n < 1 else fall(n - 1))

@kernel("inner")
def inner(values):
    values[0] = fall(values[0])

@kernel("outer", parallel=True)
def outer(values):
    for i in numba.prange(len(values)):
        inner(values[i : i + 1])
"""


def test_a_kernel_may_be_made_of_one_that_lies_in_the_cache(tmp_path: Path) -> None:
    """Machine code of what it is linked with is there where it was loaded, and where it calls itself."""
    (tmp_path / "kernels.py").write_text(f"import numba{INNER}")
    run("from kernels import *; values = np.array([3.5]); inner(values); assert values[0] == 0.5", tmp_path)
    run("from kernels import *; values = np.array([3.5, -2.0]); outer(values); assert values.tolist() == [0.5, -2.0]", tmp_path)


def test_a_kernel_that_another_one_was_made_of_first_is_called_from_python_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text(f"import numba{INNER}")
    calls = "outer(values); assert values.tolist() == [0.5, -2.0]; inner(values + 3)"
    run(f"from kernels import *; values = np.array([3.5, -2.0]); {calls}", tmp_path)


@pytest.mark.skipif(bool(numba.config.BOUNDSCHECK), reason="kernels that check their indices run on one thread")
def test_a_kernel_made_of_others_is_another_where_their_threads_differ() -> None:
    """They have the same source, and yet are other code: the outer kernel must not be loaded for both."""
    one, many = memory.finite_checker(True), memory.finite_checker(False)
    assert compiler._digest("outer", one) == compiler._digest("outer", memory.finite_checker(True))
    assert compiler._digest("outer", one) != compiler._digest("outer", many)


def test_a_function_that_names_itself_has_a_digest() -> None:
    space: dict[str, Any] = {}
    for sign in "+-":
        exec(f"def fall(n): return n if n < 1 else fall(n {sign} 1)", space)
        space[sign] = compiler._digest(space["fall"])
    assert space["+"] != space["-"]


def test_two_processes_that_save_at_the_same_moment_keep_their_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = (compiler._FileAKey(str(tmp_path), "kernel", "stamp") for _ in range(2))
    dump: Any = mine._dump

    def dump_while_the_other_saves(data: Any) -> Any:
        monkeypatch.setattr(mine, "_dump", dump)
        other.save("tanh", b"code of tanh")
        return dump(data)

    monkeypatch.setattr(mine, "_dump", dump_while_the_other_saves)
    mine.save("relu", b"code of relu")
    for cache in (mine, other):
        assert cache.load("relu") == b"code of relu" and cache.load("tanh") == b"code of tanh"
        assert cache.load("linear") is None


def test_without_a_folder_that_can_be_written_to_kernels_run_and_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container whose file system is read-only, where Numba finds no place for a cache."""

    def no_place(*arguments: Any) -> None:
        raise RuntimeError("no locator available")

    monkeypatch.setattr(compiler.FunctionCache, "__init__", no_place)
    monkeypatch.setattr(compiler, "_announced", False)

    @compiler.kernel("double")
    def double(values: Any) -> Any:
        for i in range(len(values)):
            values[i] *= 2

    values = np.arange(3.0)
    double(values)
    assert values.tolist() == [0.0, 2.0, 4.0]
    told = capsys.readouterr().err
    assert "in every process anew" in told
    assert "NUMBA_CACHE_DIR" in told


def test_a_full_disk_stops_no_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(compiler._FileAKey, "_save_data", full)

    @compiler.kernel("triple", str(tmp_path))
    def triple(values: Any) -> Any:
        for i in range(len(values)):
            values[i] *= 3

    values = np.arange(3.0)
    triple(values)
    assert values.tolist() == [0.0, 3.0, 6.0]
