"""What machine it is: the GPU, its driver, its sizes."""

from __future__ import annotations

import subprocess
from typing import Any

from dna.cuda.device import SIMULATED, cuda, find_device

QUERY = "name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit,temperature.gpu"
L2_WHERE_UNKNOWN = 64 << 20


def describe(device: str) -> dict[str, Any]:
    """Return the GPU and its driver, as far as they tell."""
    found = find_device(device)
    facts: dict[str, Any] = {"device": found.name, "description": found.description}
    if SIMULATED:
        return facts | {"l2_bytes": 1 << 10, "timings": "meaningless: Numba's simulator"}
    gpu = cuda.gpus[found.number]
    facts["compute_capability"] = list(gpu.compute_capability)
    facts["multiprocessors"] = gpu.MULTIPROCESSOR_COUNT
    facts["l2_bytes"] = gpu.L2_CACHE_SIZE or L2_WHERE_UNKNOWN
    with gpu:
        facts["bytes_free"], facts["bytes_total"] = free_memory()
        facts["cuda_of_driver"] = _cuda_of_driver()
    facts["nvidia_smi"] = _nvidia_smi(found.number)
    return facts


def free_memory() -> tuple[int, int]:
    """Return the free bytes of the current GPU, and all."""
    if SIMULATED:
        return 1 << 30, 1 << 30
    free, total = cuda.current_context().get_memory_info()
    return int(free), int(total)


def _cuda_of_driver() -> str | None:
    from numba.cuda.cudadrv.driver import driver

    try:
        return ".".join(str(number) for number in driver.get_version())
    except Exception:  # a fact less is no reason to stop
        return None


def _nvidia_smi(number: int) -> dict[str, str] | None:
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader", f"--id={number}"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(zip(QUERY.split(","), (value.strip() for value in ran.stdout.split(",")), strict=False))
