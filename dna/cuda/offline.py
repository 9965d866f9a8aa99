"""Compilation of a kernel for any compute capability without GPU and driver, by the compiler and the linker of a real run."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from dna.cuda.device import BLOCK, cuda

CC = tuple[int, int]
"""A compute capability, such as (9, 0)."""

OLDEST: CC = (7, 5)
"""The first capability that NVVM still knows; for later ones Numba lowers Python to the same code."""


class Usage(NamedTuple):
    """What a compiled kernel takes of a GPU."""

    registers: int  # a thread
    shared: int  # bytes a block
    stack: int  # bytes a thread
    spill_stores: int  # bytes a thread
    spill_loads: int  # bytes a thread
    cubin: int  # bytes of code and tables
    threads: int  # a block, at most


def compile_kernel(kernel: Any, arguments: tuple[Any, ...], cc: CC) -> Usage:
    """Compile a kernel and return what it takes; see `link_kernel`."""
    cubin, log = link_kernel(kernel, arguments, cc)
    bounds = kernel.targetoptions.get("launch_bounds")
    return read_usage(log, len(cubin), bounds[0] if bounds else BLOCK)


def link_kernel(kernel: Any, arguments: tuple[Any, ...], cc: CC) -> tuple[bytes, str]:
    """Compile a kernel to a cubin for arguments of these types; NumPy arrays stand for device arrays.

    As in a real run, the kernel goes through NVVM to LTO-IR, and nvJitLink makes a cubin of that.

    Returns
    -------
    cubin : bytes
    log : str
        Of the assembler.

    Raises
    ------
    Exception
        Whatever the compiler or linker has to say.
    """
    # They come with numba-cuda, and only a real run or this needs them.
    from cuda.core import Linker, LinkerOptions, ObjectCode

    types = tuple(cuda.typing.typeof.typeof(argument) for argument in arguments)
    code = _lower(kernel, types).get_ltoir(cc=cc)
    options = LinkerOptions(arch=f"sm_{cc[0]}{cc[1]}", link_time_optimization=True, ptxas_options=["-v"])
    linker = Linker(ObjectCode.from_ltoir(code), options=options)
    return bytes(linker.link("cubin").code), linker.get_info_log()


@lru_cache(maxsize=1)
def _lower(kernel: Any, types: tuple[Any, ...]) -> Any:
    """Return Numba's code of a kernel, which is the same for all capabilities from `OLDEST` on; NVVM makes others of it."""
    bounds = kernel.targetoptions.get("launch_bounds")
    with _pretended_device(OLDEST):
        library, _ = cuda.compiler._compile_pyfunc_with_fixup(
            kernel.py_func, types, device=False, abi="numba", cc=OLDEST, launch_bounds=bounds, lto=True
        )
    return library


def read_usage(log: str, cubin: int, threads: int) -> Usage:
    """Read the log of `ptxas -v`; functions that were not inlined count too.

    Raises
    ------
    ValueError
        The log has no such lines.
    """
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", log)]
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    if not registers or not frames:
        raise ValueError(f"expected the report of ptxas -v in the linker's log, got {log!r}")
    shared = [int(n) for n in re.findall(r"(\d+) bytes smem", log)]
    stack, stores, loads = (sum(int(frame[place]) for frame in frames) for place in range(3))
    return Usage(max(registers), max(shared, default=0), stack, stores, loads, cubin, threads)


@contextlib.contextmanager
def _pretended_device(cc: CC) -> Iterator[None]:
    """Numba asks the current device for its capability when a kernel calls a device function, even where `cc` was given."""
    dispatcher = cuda.dispatcher
    asked, dispatcher.get_current_device = dispatcher.get_current_device, lambda: SimpleNamespace(compute_capability=cc)
    try:
        yield
    finally:
        dispatcher.get_current_device = asked
