"""The ceilings of this machine, measured once: what a copy moves, what fp32 can do, what a launch takes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from dna.cuda.device import cuda, kernel, launch
from dna.cuda.memory import empty, upload
from gpu.machine import free_memory
from gpu.peers import open_torch
from gpu.session import Session


def measure(session: Session) -> None:
    """Measure the rates that all floors are made of."""
    _copy(session)
    _arithmetic(session)
    _launches(session)
    _allocations(session)


def _copy(session: Session) -> None:
    """Copy from device to device; bytes read and bytes written both count."""
    n = min(session.pick(1 << 30, 1 << 29, 1 << 10), free_memory()[0] // 8) // 4
    numbers = np.random.default_rng(1).random(min(n, 1 << 20), dtype=np.float32)
    source, target = upload(np.resize(numbers, n)), empty(n, np.dtype(np.float32))
    timing = session.clock.cold(lambda: target.copy_to_device(source))
    session.ceilings["copy"] = 8 * n / timing.ms
    session.timing("copy from device to device", timing, bytes=8 * n, gb_per_s=8e-6 * n / timing.ms)


def _arithmetic(session: Session) -> None:
    """Multiply fp32 matrices without tf32; 2 operations a multiply-add."""
    n = session.pick(8192, 4096, 32)
    product = _torch_product(session, n) if importlib.util.find_spec("torch") else _cupy_product(n)
    if product is None:
        session.note("fp32 rate: not measured, as neither torch with CUDA nor cupy is there; floors count bytes alone")
        return
    timing = session.clock.cold(product)
    session.ceilings["fp32"] = 2 * n**3 / timing.ms
    session.timing(f"fp32 product of {n} x {n}", timing, tflop_per_s=2e-9 * n**3 / timing.ms)


def _torch_product(session: Session, n: int) -> Callable[[], Any] | None:
    torch, device = open_torch(session)
    if torch is None:
        return _cupy_product(n)
    a, b = (torch.randn(n, n, device=device) for _ in range(2))
    return lambda: torch.mm(a, b)


def _cupy_product(n: int) -> Callable[[], Any] | None:
    try:
        import cupy
    except Exception:  # missing, or built for another CUDA
        return None
    a, b = (cupy.random.standard_normal((n, n), dtype=cupy.float32) for _ in range(2))
    return lambda: a @ b


def _launches(session: Session) -> None:
    """Launch kernels that do nothing: what the GPU takes for one, and what Python takes to launch it, by number of arrays."""
    array = empty(1, np.dtype(np.float32))
    for n in (0, 1, 6):
        arrays = (array,) * n
        queued = session.clock.cold(lambda arrays=arrays: launch(_nothing(), 1, 32, arrays))
        session.timing(f"empty kernel, {n} arrays, on the GPU", queued)

    def many() -> None:
        for _ in range(100):
            launch(_nothing(), 1, 32, (array,) * 6)

    if session.simulated:
        return
    session.timing("100 launches of 6 arrays, from Python", session.clock.call(many))


def _allocations(session: Session) -> None:
    """Take arrays that nobody keeps, as phases of an extinction do; Numba gives their memory back some at a time."""
    for n in session.pick((1 << 20, 1 << 28), (1 << 20, 1 << 28), (1 << 10,)):
        timing = session.clock.call(lambda n=n: [empty(n, np.dtype(np.uint8)) for _ in range(10)])
        session.timing(f"10 arrays of {n} bytes, taken and given back", timing)


@cache
def _nothing() -> Callable[..., Any]:
    @kernel
    def nothing(arrays: Any) -> None:
        cuda.syncthreads()

    return nothing
