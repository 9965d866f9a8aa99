"""Threads that run compiled code at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

WORKERS = 4


def together(work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Run `work(worker, *arguments)` in threads that start when all are there, without the GIL."""
    start = Barrier(WORKERS)

    def run(worker: int) -> Any:
        start.wait()
        return work(worker, *arguments)

    with ThreadPoolExecutor(WORKERS) as workers:
        return list(workers.map(run, range(WORKERS)))
