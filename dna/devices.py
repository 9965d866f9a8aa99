"""Devices: which backend a name stands for, and why."""

from __future__ import annotations

import functools
import re
import sys

from dna.backend import Backend, Maths
from dna.errors import DeviceError, UnknownNameError
from dna.turn import require_own_process


def open_backend(device: str, maths: Maths) -> tuple[Backend, str]:
    """Return a backend, and one line that says which it is and why.

    Parameters
    ----------
    device : str
        `auto` takes a real GPU where one works and the CPU otherwise, and says on standard error which; `cpu`; `cuda` or
        `cuda:1`; `cudasim`, Numba's simulator, for tests.

    Raises
    ------
    UnknownNameError, DeviceError
        The name is not known; the device is not there or does not work, or this process was forked from one that used a device.
    """
    require_own_process()
    if device == "cpu":
        return _cpu(maths), "cpu: as asked"
    if device == "auto":
        backend, reason = _best(maths)
        _say_once(reason)
        return backend, reason
    if not isinstance(device, str) or not re.fullmatch(r"cudasim|cuda(:\d+)?", device):
        raise UnknownNameError("device", device, ("auto", "cpu", "cuda", "cuda:1", "cudasim"))
    return _cuda(device, maths), f"{device}: as asked"


def _cpu(maths: Maths) -> Backend:
    from dna.cpu.backend import CpuBackend

    return CpuBackend(maths)


def _cuda(device: str, maths: Maths) -> Backend:
    from dna.cuda.device import find_device, why_unavailable

    if device != "cudasim" and (reason := why_unavailable()):
        raise DeviceError(f"device {device!r}: expected a working GPU, but {reason}")
    found = find_device(device)
    from dna.cuda.backend import CudaBackend

    return CudaBackend(maths, found)


def _best(maths: Maths) -> tuple[Backend, str]:
    from dna.cuda.device import find_device, why_unavailable

    reason = why_unavailable()
    if reason is not None:
        return _cpu(maths), f"cpu: no GPU to use, as {reason}"
    backend = _cuda("cuda", maths)
    return backend, f"{backend.device}: a GPU that works ({find_device('cuda').description})"


@functools.cache
def _say_once(reason: str) -> None:
    print(f"dna: {reason}", file=sys.stderr, flush=True)
