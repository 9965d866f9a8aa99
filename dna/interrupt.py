"""Ctrl-C at the right moment: a short section that changes the model runs to its end first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_CTRL_C = int(signal.SIGINT)

# What `signal` wraps: it looks up every handler in an enumeration, which takes as long as a short step.
_handler_of: Callable[..., Any] = getattr(signal.getsignal, "__wrapped__", signal.getsignal)
_handle: Callable[..., Any] = getattr(signal.signal, "__wrapped__", signal.signal)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C until the block is done, then let it through to whoever handled it before.

    Python delivers signals to the main thread only; elsewhere there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread() or _handler_of(_CTRL_C) is None:
        yield
        return
    held: list[int] = []
    before = _handle(_CTRL_C, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        _handle(_CTRL_C, before)
        if held:
            signal.raise_signal(signal.SIGINT)
