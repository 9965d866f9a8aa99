"""A plugin of pytest (`-p bounds`): tests that ran with NUMBA_BOUNDSCHECK=1 must have met every kernel of the CPU.

Each process notes which kernels were asked for; the one that gathers them fails the run where a kernel is missing.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KERNELS = Path(__file__).resolve().parents[1] / "dna" / "cpu"

met: set[str] = set()


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("NUMBA_BOUNDSCHECK") != "1":
        raise pytest.UsageError("-p bounds expects NUMBA_BOUNDSCHECK=1, or no index is checked")
    from dna.cpu.compiler import _DigestCache

    load = _DigestCache.load_overload

    def note(self: Any, *arguments: Any) -> Any:
        met.add(f"{self._py_func.__module__}.{self._py_func.__qualname__}")
        return load(self, *arguments)

    _DigestCache.load_overload = note  # type: ignore[method-assign]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    met.update(getattr(node, "workeroutput", {}).get("kernels", ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["kernels"] = sorted(met)
    elif missing := sorted(set(kernels()) - met):
        print("\nno test ran these kernels with every index checked:", *missing, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def kernels() -> Iterator[str]:
    """Yield the name of each function in dna/cpu that is decorated with `kernel`."""
    for path in sorted(KERNELS.glob("*.py")):
        yield from decorated(ast.parse(path.read_text()), f"dna.cpu.{path.stem}.")


def decorated(tree: ast.AST, prefix: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef):
            yield from decorated(node, prefix)
            continue
        if any(isinstance(each, ast.Call) and getattr(each.func, "id", "") == "kernel" for each in node.decorator_list):
            yield prefix + node.name
        yield from decorated(node, f"{prefix}{node.name}.<locals>.")
