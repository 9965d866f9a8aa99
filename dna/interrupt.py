"""Ctrl-C at the right moment: a short section that changes the model runs to its end first."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` looks up every handler in an enumeration: as long as a short step
import signal
import threading
from typing import Any, Self

_CTRL_C = int(signal.SIGINT)


class Uninterrupted:
    """Hold back Ctrl-C until the block is done, then let it through to whoever handled it before.

    Python delivers signals to the main thread only; elsewhere there is nothing to hold back.
    """

    __slots__ = ("_handler", "_held")

    def __enter__(self) -> Self:
        self._held: list[int] | None = None
        if threading.current_thread() is threading.main_thread() and _signal.getsignal(_CTRL_C) is not None:
            self._held = held = []
            self._handler = _signal.signal(_CTRL_C, lambda number, frame: held.append(number))
        return self

    def __exit__(self, *error: Any) -> None:
        if self._held is not None:
            _signal.signal(_CTRL_C, self._handler)
            if self._held:
                signal.raise_signal(_CTRL_C)
