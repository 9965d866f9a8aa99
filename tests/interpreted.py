"""A plugin of pytest (`-p interpreted`): the kernels that choose and write cells run as the plain Python they are written in.

They are made of scalar code that means the same in Python. Forward and backward stay compiled, and cached whatever changes in the
files of the others. So each of many changed copies of the code meets its tests within seconds: `benchmarks/mutation.py`.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dna.cpu import compiler

FILES = ("allocation.py", "cpu/pool.py", "cpu/rank.py", "cpu/select.py", "cpu/split.py", "rules/split.py")
MODULES = {"dna." + file.removesuffix(".py").replace("/", ".") for file in FILES}

Function = Callable[..., Any]


def list_bits(word: Any, first: Any, slots: np.ndarray, n: Any) -> Any:
    """Do what `dna.cpu.bits.list_bits` does, but for what it writes beyond the end."""
    places = [int(first) + k for k in range(64) if int(word) >> k & 1]
    end = int(n) + len(places)
    slots[int(n) : end] = places
    return type(n)(end)


INSTRUCTIONS: dict[str, Function] = {
    "list_bits": list_bits,
    "zeros": np.zeros,
    "new_row": lambda like, lanes: np.empty(lanes, like.dtype),
    "word_of": lambda answers: np.packbits(answers[:64] != 0, bitorder="little").view(np.uint64)[0],
    "count_bits": lambda word: np.uint64(int(word).bit_count()),
}
"""What the compiler makes of these is no Python."""


def pytest_configure(config: pytest.Config) -> None:
    compiled_jit, compiled_kernel = compiler.jit, compiler.kernel

    def jit(function: Function, *, alone: bool = False) -> Function:
        """Leave a function as it is where it is written, or where it is called."""
        caller = sys._getframe(1).f_globals["__name__"]
        return function if MODULES & {function.__module__, caller} else compiled_jit(function, alone=alone)

    def kernel(*parts: object, parallel: bool = False) -> Callable[[Function], Function]:
        compiled = compiled_kernel(*parts, parallel=parallel)
        return lambda function: function if function.__module__ in MODULES else compiled(function)

    compiler.jit, compiler.kernel = jit, kernel
    digest = _digest_of_the_rest()
    compiler._package_digest = lambda: digest  # type: ignore[assignment]
    for name in MODULES:
        module = importlib.import_module(name)
        for instruction, in_python in INSTRUCTIONS.items():
            if hasattr(module, instruction):
                setattr(module, instruction, in_python)


def _digest_of_the_rest() -> str:
    root = Path(compiler.__file__).resolve().parents[1]
    digest = hashlib.sha256(b"interpreted")
    for path in sorted(path for source in compiler.SOURCES for path in root.glob(source)):
        if path.relative_to(root).as_posix() not in FILES:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
