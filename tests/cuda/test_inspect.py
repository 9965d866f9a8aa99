"""Offline compilation: a kernel really becomes machine code, what is wrong is told, and no kernel is left out."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import dna

pytest.importorskip("numba.cuda", reason="needs numba-cuda")

from dna.cuda import device, inspect
from dna.cuda.catalogue import Entry, entries
from dna.cuda.occupancy import occupancy
from dna.cuda.offline import Usage, read_usage

compiles = pytest.mark.skipif(device.SIMULATED, reason="the simulator has no compiler")

LOG = """\
INFO: NVVM70 LTOIR Container created (14772 bytes)
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'load' for 'sm_80'
ptxas         .     128 bytes stack frame, 48 bytes spill stores, 52 bytes spill loads
ptxas info    : Used 72 registers, used 1 barriers, 4224 bytes smem, 680 bytes cmem[0]
ptxas info    : Function properties for helper
ptxas         .     16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
ptxas info    : Compile time = 35.959 ms
"""


def usage(**changes: int) -> Usage:
    return Usage(registers=32, shared=0, stack=0, spill_stores=0, spill_loads=0, cubin=1000, threads=256)._replace(**changes)


def row(**changes: int) -> inspect.Row:
    return inspect.Row("plan.place", "", (8, 0), usage(**changes), "")


def test_the_log_of_the_assembler_is_read() -> None:
    assert read_usage(LOG, 9, 64) == Usage(72, shared=4224, stack=144, spill_stores=52, spill_loads=60, cubin=9, threads=64)


def test_a_log_without_a_report_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected the report of ptxas -v"):
        read_usage("INFO: linked", 9, 64)


def test_spills_are_wrong_unless_a_reason_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert inspect.complaints([row()]) == []
    assert "plan.place (all) at 8.0 spills 8 bytes out and 4" in inspect.complaints([row(spill_stores=8, spill_loads=4)])[0]
    monkeypatch.setitem(inspect.ALLOWED_SPILLS, "plan.place", "a reason")
    assert inspect.complaints([row(spill_stores=8)]) == []


@pytest.mark.parametrize(
    ("changes", "cc", "share"),
    [
        ({"registers": 32}, (9, 0), 1.0),
        ({"registers": 64, "threads": 512, "shared": 49152}, (9, 0), 0.5),  # two blocks, by registers
        ({"registers": 32, "threads": 512, "shared": 49152}, (8, 0), 0.75),  # three blocks, by shared memory
        ({"registers": 65, "threads": 512}, (9, 0), 0.25),  # 72 registers are handed out: one block
        ({"registers": 16, "threads": 32}, (9, 0), 0.5),  # 32 blocks
        ({"registers": 64, "threads": 512, "shared": 49152}, (7, 5), 0.5),
        ({}, (1, 3), None),
    ],
)
def test_occupancy(changes: dict[str, int], cc: tuple[int, int], share: float | None) -> None:
    assert occupancy(usage(**changes), cc) == share


@compiles
def test_a_kernel_is_compiled_for_two_generations(capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect.main(["--cc", "7.5", "10.0", "--kernel", "backward.gather_level relu float32 4x1 direct"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("backward.")]
    assert [line[5] for line in lines] == ["7.5", "10.0"]
    for line in lines:
        threads, registers, _shared, held, _percent, stack, spills, cubin = line[6:]
        assert threads == "512" and float(held) >= 50
        assert 16 <= int(registers) <= 255
        assert (stack, spills) == ("0", "0/0")  # its arrays of a lane's samples stay in registers
        assert int(cubin) > 1000


@compiles
def test_a_kernel_that_does_not_compile_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Any:
        @device.kernel
        def add_text(n: Any) -> None:
            n + "text"

        return add_text

    monkeypatch.setattr("dna.cuda.catalogue.entries", lambda: [Entry("file.broken", "", broken, (1,))])
    assert inspect.main(["--cc", "9.0"]) == 1
    captured = capsys.readouterr()
    assert "1 compilations" in captured.out and "1 failed" in captured.out
    assert captured.err.startswith("file.broken (all) at 9.0 does not compile: TypingError")


def test_without_numba_cuda_it_says_so_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(inspect, "cuda", None)
    assert inspect.main([]) == 2
    error = capsys.readouterr().err
    assert "numba-cuda is not installed" in error and error.count("\n") == 1


@compiles
def test_options_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect.main(["--kernel", "no.such"]) == 2
    assert "no kernel has 'no.such' in its name" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        inspect.main(["--cc", "ninety"])
    assert "expected a compute capability such as 9.0, got 'ninety'" in capsys.readouterr().err


def test_every_kernel_is_in_the_catalogue() -> None:
    folder = Path(dna.__file__).parent / "cuda"
    written = {f"{path.stem}.{name}" for path in folder.glob("*.py") if path.stem != "device" for name in kernels_in(path)}
    assert len(written) > 30
    assert {entry.name for entry in entries()} == written


def kernels_in(path: Path) -> list[str]:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    decorators = {"kernel", "bounded_kernel"}
    return [f.name for f in functions if decorators & {ast.unparse(d).partition("(")[0] for d in f.decorator_list}]


@compiles
def test_names_in_the_catalogue_are_those_of_the_kernels() -> None:
    for entry in entries():
        function = entry.build().py_func
        assert entry.name == f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


def test_the_device_that_numba_asks_for_is_given_back() -> None:
    from dna.cuda.offline import _pretended_device

    asked = object()
    module = SimpleNamespace(get_current_device=asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dna.cuda.offline.cuda", SimpleNamespace(dispatcher=module))
        with _pretended_device((9, 0)):
            assert module.get_current_device().compute_capability == (9, 0)
    assert module.get_current_device is asked
