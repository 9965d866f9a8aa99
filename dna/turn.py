"""Turns: a network does one thing at a time, whichever threads ask, and nothing in a process that was forked."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from dna.errors import DeviceError, InUseError, explain_driver

P = ParamSpec("P")
R = TypeVar("R")

_PATIENCE = 0.05  # seconds between two looks at what keeps a waiting thread

_first_user: int | None = None
_forked = False


def require_own_process() -> None:
    """Raise DeviceError in a process that was forked from one that has used a device: threads and contexts do not come along."""
    global _first_user
    if _forked:
        raise DeviceError(
            f"process {os.getpid()} was forked from {_first_user}, which has used a device, and threads and device contexts do "
            "not survive a fork; start processes with the method 'spawn', and hand networks over as files"
        )
    _first_user = os.getpid()


def _note_fork() -> None:
    global _forked
    _forked = _first_user is not None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class Turn:
    """The right to use a network, held by one thread at a time; a thread that holds it may take it again.

    A call of another thread waits for its turn, but not for the end of a fit: that may take days, so it is refused.
    """

    def __init__(self) -> None:
        require_own_process()
        self.lock, self._fit = threading.RLock(), ""

    def __enter__(self) -> None:
        if _forked or not self.lock.acquire(False):
            self.wait()

    def __exit__(self, *error: object) -> None:
        self.lock.release()

    def wait(self) -> None:
        """Take the right when the thread that holds it is done.

        Raises
        ------
        InUseError
            That thread runs a fit.
        DeviceError
            The process was forked from one that has used a device.
        """
        require_own_process()
        while not self.lock.acquire(False):
            if self._fit:
                raise InUseError(f"the network is in use: {self._fit}; wait for its end, or use a copy (save, and load it)")
            if self.lock.acquire(timeout=_PATIENCE):
                return

    @contextmanager
    def fit(self) -> Iterator[None]:
        """Hold the turn for a whole fit.

        Raises
        ------
        InUseError
            A fit of the network is running, in this thread (a callback) or another.
        """
        with self:
            if self._fit:
                raise InUseError(f"expected no second fit of the network, got one while {self._fit}")
            self._fit = f"a fit is running in thread {threading.current_thread().name!r}"
            try:
                yield
            finally:
                self._fit = ""


def in_turn(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Decorate a method of a network: it runs when it is its thread's turn, and errors of the device come out typed."""

    @functools.wraps(method)
    def waiting(network: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        turn = network.turn  # what `with turn` does, in a third of its time: a call of few samples takes some microseconds
        if _forked or not turn.lock.acquire(False):
            turn.wait()
        try:
            return method(network, *args, **kwargs)
        except BaseException as error:
            _explain(network, error)
            raise
        finally:
            turn.lock.release()

    return waiting


def in_one_fit(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Decorate the method that fits a network: it holds the turn from beginning to end."""

    @functools.wraps(method)
    def fitting(network: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with network.turn.fit():
            try:
                return method(network, *args, **kwargs)
            except BaseException as error:
                _explain(network, error)
                raise

    return fitting


def _explain(network: Any, error: BaseException) -> None:
    """Raise a typed error in place of one of a driver."""
    if (told := explain_driver(error, network.host_copy.state)) is not None:
        raise told from error
