"""Typed errors: each says what was expected and what came, before anything changed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class DNAError(Exception):
    """Base of every error that `dna` raises on purpose."""


class ShapeError(DNAError, ValueError):
    """An array has the wrong number of dimensions or the wrong length."""


class DataError(DNAError, ValueError):
    """Data holds what it must not: NaN or Inf, nothing at all, a label out of range, a dtype without meaning."""


class OptionError(DNAError, ValueError):
    """An argument is outside its range, or two arguments contradict each other."""


class UnknownNameError(OptionError):
    """A name that is not registered; the message holds the nearest known one."""

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        choices = sorted(known)
        near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        super().__init__(f"unknown {what} {name!r}{hint}; known are {', '.join(choices)}")
        self.what, self.name, self.known = what, name, tuple(choices)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, object, tuple[str, ...]]]:
        return (type(self), (self.what, self.name, self.known))


class GraphError(DNAError, ValueError):
    """A topology that cannot be: a cell to a node that is not there, an output that feeds on, no inputs."""


class CycleError(GraphError):
    """Cells form a cycle, so that no order of levels exists."""


class DeviceError(DNAError, RuntimeError):
    """A device was asked for that is not there or does not work."""


class DeviceOutOfMemory(DeviceError, MemoryError):
    """A device has no memory left for what was asked; a network is as it was before the call, a new one was not built."""


class DeviceLost(DeviceError):
    """A device failed under a network that lives on it. What was there is gone.

    Attributes
    ----------
    snapshot : dna.checkpoint.State or None
        The last state that `fit` kept on the host, for `dna.load(error.snapshot, device="cpu")`.
    """

    def __init__(self, message: str, snapshot: Any = None) -> None:
        super().__init__(message)
        self.snapshot = snapshot


class InUseError(DNAError, RuntimeError):
    """A network was asked for something while a fit of it was running, or for a backward of another thread's forward."""


class DeterminismError(DNAError, RuntimeError):
    """A deterministic network was asked for something whose bits depend on timing."""


class NumericsError(DNAError, ArithmeticError):
    """NaN or Inf where a number is needed; the message names the first cell.

    Attributes
    ----------
    cell, level : int or None
        Id of the first cell, and the level that it runs to.
    epoch, batch : int or None
        When it was born: the epoch from 1, and the batch of that epoch from 0.
    """

    def __init__(
        self,
        message: str,
        *,
        cell: int | None = None,
        level: int | None = None,
        epoch: int | None = None,
        batch: int | None = None,
    ) -> None:
        super().__init__(message)
        self.cell, self.level, self.epoch, self.batch = cell, level, epoch, batch


class PoolExhausted(DNAError, MemoryError):
    """A pool of fixed capacity cannot give as many slots as were asked for.

    Attributes
    ----------
    needed, free : int
        Slots asked for, and slots that were there.
    """

    def __init__(self, needed: int, free: int) -> None:
        super().__init__(f"the pool is exhausted: {needed} slots needed, {free} free")
        self.needed, self.free = needed, free

    def __reduce__(self) -> tuple[type[PoolExhausted], tuple[int, int]]:
        return (PoolExhausted, (self.needed, self.free))


class FossilError(DNAError, LookupError):
    """The fossil record does not hold what was asked for: a version that no extinction made, a cell that never lived."""


class UndoError(DNAError, RuntimeError):
    """An extinction cannot be taken back: a later one stands, or it is not in the record. Nothing changed."""


class CheckpointError(DNAError, ValueError):
    """A file that is not a whole, sane `dna` model; the message names the region."""


class StaleViewError(DNAError, RuntimeError):
    """A view was asked about a topology that has moved on."""


class FileError(DNAError, OSError):
    """A file cannot be written where it was asked for; what was there before is as it was."""


class MissingExtraError(DNAError, ImportError):
    """A library is missing that an extra of the distribution brings; the message names the command that installs it."""


OUT_OF_MEMORY = 2
"""The code `CUDA_ERROR_OUT_OF_MEMORY` of NVIDIA's driver."""


OF_THE_DRIVER = "CudaAPIError", "CudaDriverError", "CUDAError"
"""Errors of Numba's calls and, the last one, of `cuda.core`, by which Numba launches; by name, as nobody need have CUDA."""


def explain_driver(error: BaseException, snapshot: Any) -> DeviceError | None:
    """Return what an error of the CUDA driver means for a network whose last state on the host is `snapshot`; None for others."""
    if type(error).__name__ not in OF_THE_DRIVER:
        return None
    if getattr(error, "code", None) == OUT_OF_MEMORY or "OUT_OF_MEMORY" in str(error):
        return DeviceOutOfMemory(f"the device is out of memory; nothing has changed: {error}")
    kept = "no state of it is on the host" if snapshot is None else "its last state on the host is this error's `snapshot`"
    return DeviceLost(f"the device failed under the network, and {kept}: {error}", snapshot)
