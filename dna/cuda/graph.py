"""Graphs: work that is the same each time is recorded once, and from then on launched as a whole.

A launch from Python costs some 4 us for each array that it takes, so that the handful of launches of a small model's step take
longer than the GPU does. A graph has its arguments already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from dna.cuda.device import SIMULATED, configure, cuda, recorded

Work = Callable[[], None]


class Launches:
    """The simulator's graph: a list of launches, with the arguments that they were recorded with."""

    def __init__(self) -> None:
        self._launches: list[tuple[Any, ...]] = []

    def add(self, function: Callable[..., Any], blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        """Record a launch instead of launching."""
        self._launches.append((function, blocks, threads, arguments))

    def close(self) -> None:
        """End the recording."""

    def launch(self) -> None:
        """Launch all that was recorded, in order."""
        for function, blocks, threads, arguments in self._launches:
            configure(function, blocks, threads)(*arguments)


class Graph:
    """A CUDA graph, made by capturing launches; it keeps the arrays alive whose addresses it holds."""

    def __init__(self) -> None:
        from cuda.core import Device, Stream

        self._kept: list[tuple[Any, ...]] = []
        self._stream = Stream.from_handle(0)  # Numba's default stream, so that it takes its turn among other launches
        device = Device()
        device.set_current()
        self._builder = device.create_graph_builder()
        self._builder.begin_building()
        self._graph: Any = None

    def add(self, function: Callable[..., Any], blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        """Capture a launch instead of launching."""
        self._kept.append(arguments)
        configure(function, blocks, threads, self._builder.stream)(*arguments)

    def close(self) -> None:
        """End the capture, and make an executable graph of it."""
        self._graph = self._builder.end_building().complete()

    def launch(self) -> None:
        """Launch all that was captured at once."""
        self._graph.launch(self._stream)


class Repeater:
    """Does work that only launches: the first time as it is; the second time it is recorded; from then on it is one launch.

    The first time compiles kernels and makes scratch arrays, which no recording may. Where work cannot be recorded, one line says
    why, and it is done as it is from then on.
    """

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._whole: Launches | Graph | None = None
        self._works = True

    def run(self, key: tuple[Any, ...], work: Work) -> None:
        """Do `work`, which launches the same kernels with the same arguments where all objects of `key` are the same."""
        if not self._works:
            return work()
        if len(key) != len(self._key) or any(new is not old for new, old in zip(key, self._key, strict=True)):
            self._key, self._whole = key, None
            return work()
        if self._whole is None:
            self._whole = self._record(work)
        return work() if self._whole is None else self._whole.launch()

    def _record(self, work: Work) -> Launches | Graph | None:
        try:
            whole = Launches() if SIMULATED else Graph()
            with recorded(whole), cuda.defer_cleanup():  # memory is not to be freed in the middle of a capture
                work()
            whole.close()
        except Exception as error:  # whatever the driver has against it, plain launches do the same
            why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            print(f"dna: steps are launched kernel by kernel, as no graph can be made: {why}", file=sys.stderr, flush=True)
            self._works = False
            return None
        return whole
