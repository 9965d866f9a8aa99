"""The door to Numba's CUDA: compilers, launches, and which device there is. No other file imports `numba.cuda`."""

from __future__ import annotations

import functools
import importlib.util
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np

from dna.cells.helpers import with_helpers
from dna.errors import DeviceError, UnknownNameError

if importlib.util.find_spec("numba_cuda") is not None:
    from numba import cuda
else:
    cuda = None  # `why_unavailable` says so; the kernels' files are imported only after it was asked

SIMULATED = cuda is not None and hasattr(cuda, "FakeCUDAKernel")
"""Whether `NUMBA_ENABLE_CUDASIM=1` was set when Python started, so that kernels run in Numba's simulator, thread by thread."""

intrinsic: Any = None
types: Any = None
"""The decorator of functions that are written in LLVM's terms, and the types in which they say what they take. None in the
simulator, where plain functions stand for them."""

if cuda is not None and not SIMULATED:
    from numba.cuda import extending
    from numba.cuda import types as cuda_types

    intrinsic, types = extending.intrinsic, cuda_types

WARP = 32
FULL = 0xFFFFFFFF
"""The mask of a whole warp, for `*_sync` intrinsics."""

BLOCK = 64 if SIMULATED else 256
"""Threads a block, for every kernel that has no reason of its own; whole warps. The simulator runs two of them, for speed."""

MOST_BLOCKS = 4 if SIMULATED else 4096
"""Kernels stride over what exceeds this grid."""


class Device(NamedTuple):
    """A device that works."""

    name: str  # "cuda:0" or "cudasim"
    number: int
    description: str


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function that kernels call, with the helpers that it encloses."""
    return cuda.jit(device=True)(with_helpers(function, jit))  # type: ignore[no-any-return]


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a kernel: compiled at its first launch for the types it is launched with, or offline by `dna.cuda.inspect`.

    Division follows IEEE (no exception); no fast-math flag is set, so NaN and Inf keep their meaning; `a*b + c` is fused.
    """
    return cuda.jit(function)  # type: ignore[no-any-return]


def bounded_kernel(threads: int, blocks: int) -> Callable[..., Any]:
    """Decorate a kernel that is launched with so many threads a block; registers leave room for `blocks` of them at a time."""
    if SIMULATED:
        return kernel
    return cuda.jit(launch_bounds=(threads, blocks))  # type: ignore[no-any-return]


def multiprocessors() -> int:
    """Return how many multiprocessors the current device has."""
    return 1 if SIMULATED else int(cuda.get_current_device().MULTIPROCESSOR_COUNT)


def blocks_for(n: int, per_block: int = BLOCK) -> int:
    """Return how many blocks cover `n` items, `per_block` each, or the largest grid; none for no items."""
    return min(-(-n // per_block), MOST_BLOCKS)


def launch(function: Callable[..., Any], blocks: int, threads: int, *arguments: Any) -> None:
    """Launch a kernel on the current device's default stream; launches run in order. Nothing happens where `blocks` is 0.

    While this thread records, the launch is recorded instead.
    """
    recorder = _of_thread.recorder
    if blocks > 0 and recorder is None:
        _configured(function, blocks, threads)(*arguments)
    elif blocks > 0 and recorder is not None:
        recorder.add(function, blocks, threads, arguments)


class Recorder(Protocol):
    """What takes launches instead of the device."""

    def add(self, function: Callable[..., Any], blocks: int, threads: int, arguments: tuple[Any, ...]) -> None: ...


class _OfThread(threading.local):
    recorder: Recorder | None = None


_of_thread = _OfThread()


@contextmanager
def recorded(recorder: Recorder) -> Iterator[None]:
    """Let a recorder take the launches of this thread while the block lasts."""
    _of_thread.recorder = recorder
    try:
        yield
    finally:
        _of_thread.recorder = None


def launch_over(function: Callable[..., Any], n: int, *arguments: Any) -> None:
    """Launch a grid-stride kernel with about a thread an item."""
    launch(function, blocks_for(n), BLOCK, *arguments)


def configure(function: Any, blocks: int, threads: int, stream: Any = 0) -> Callable[..., Any]:
    """Return what launches a kernel on so many blocks and threads.

    Numba warns of every grid below 128 blocks; small networks have small grids, and nothing is to be done about it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function[blocks, threads, stream]  # type: ignore[no-any-return]


# The simulator configures in place, so its configurations cannot be kept.
_configured = configure if SIMULATED else functools.lru_cache(maxsize=4096)(configure)


@functools.cache
def why_unavailable() -> str | None:
    """Return in one line why no GPU can be used here, or None where at least one works.

    The simulator is no GPU, so that `auto` never takes it.
    """
    if cuda is None:
        return "numba-cuda is not installed (pip install 'hebbian-dna[cuda]')"
    if SIMULATED:
        return "NUMBA_ENABLE_CUDASIM=1 turns CUDA into its simulator"
    try:
        if not cuda.is_available():
            return _one_line(cuda.cuda_error()) or "the CUDA toolkit's compiler is missing (pip install 'numba-cuda[cu13]')"
        if len(cuda.gpus) == 0:
            return "the CUDA driver reports no GPU"
    except Exception as error:  # half a driver, or an answer that its bindings do not know
        return f"the CUDA driver fails: {type(error).__name__}: {_one_line(error)}"
    return _why_broken(0)


def find_device(name: str) -> Device:
    """Return the device that a user means by `cuda`, `cuda:1` or `cudasim`.

    Raises
    ------
    UnknownNameError
        The name has none of these forms.
    DeviceError
        The device is not there or does not work; the message names what is missing.
    """
    if name == "cudasim":
        return _find_simulator()
    if not re.fullmatch(r"cuda(:\d+)?", name):
        raise UnknownNameError("CUDA device", name, ("cuda", "cuda:0", "cudasim"))
    reason = why_unavailable()
    if reason is not None:
        raise DeviceError(f"device {name!r}: expected a working GPU, but {reason}")
    index = int(name.partition(":")[2] or 0)
    if index >= len(cuda.gpus):
        raise DeviceError(
            f"device {name!r}: expected cuda:0 to cuda:{len(cuda.gpus) - 1}, as the driver reports {len(cuda.gpus)} GPU(s)"
        )
    reason = _why_broken(index)
    if reason is not None:
        raise DeviceError(f"device {name!r}: expected a working GPU, but {reason}")
    return Device(f"cuda:{index}", index, _describe(index))


def _find_simulator() -> Device:
    if not SIMULATED:
        raise DeviceError(
            "device 'cudasim': expected NUMBA_ENABLE_CUDASIM=1 in the environment before Python starts, and it is not set"
        )
    from numba.cuda.simulator.kernelapi import FakeCUDAModule

    if not hasattr(FakeCUDAModule, "shfl_xor_sync"):
        raise DeviceError("device 'cudasim': expected warp intrinsics, which Numba's simulator lacks and the tests' shim adds")
    return Device("cudasim", 0, "Numba's CUDA simulator, for tests")


def _describe(index: int) -> str:
    gpu = cuda.gpus[index]
    major, minor = gpu.compute_capability
    label = gpu.name.decode() if isinstance(gpu.name, bytes) else str(gpu.name)
    return f"{label}, compute capability {major}.{minor}"


@functools.cache
def _why_broken(index: int) -> str | None:
    """Run the smallest kernel that can fail: it tells of an old driver, a GPU too old for the compiler, a broken compiler."""

    @kernel
    def write(out: Any) -> None:
        out[cuda.grid(1)] = 1

    try:
        with cuda.gpus[index]:
            out = cuda.to_device(np.zeros(WARP, np.int32))
            launch(write, 1, WARP, out)
            worked = bool((out.copy_to_host() == 1).all())
    except Exception as error:  # whatever it is, the user is to read it and not to meet it in the middle of a run
        return f"a first kernel fails on GPU {index}: {type(error).__name__}: {_one_line(error)}"
    return None if worked else f"a first kernel gives wrong results on GPU {index}"


def _one_line(text: object) -> str:
    lines = [line.strip(" :.") for line in str(text or "").splitlines()]
    return "; ".join(line for line in lines if line)
