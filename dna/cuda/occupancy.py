"""How many warps of a kernel a multiprocessor holds at a time, from what its blocks take: registers, shared memory, threads."""

from __future__ import annotations

from typing import NamedTuple

from dna.cuda.offline import CC, Usage

REGISTERS = 65536
REGISTERS_A_STEP = 256
"""Registers are handed to warps in steps of so many."""


class Multiprocessor(NamedTuple):
    """What a multiprocessor of a capability has, by NVIDIA's tables of compute capabilities."""

    warps: int
    blocks: int
    shared: int  # bytes for all its blocks
    reserved: int  # bytes of these that every block takes beside its own


MULTIPROCESSORS: dict[CC, Multiprocessor] = {
    (7, 5): Multiprocessor(32, 16, 64 << 10, 0),
    (8, 0): Multiprocessor(64, 32, 164 << 10, 1 << 10),
    (8, 6): Multiprocessor(48, 16, 100 << 10, 1 << 10),
    (8, 9): Multiprocessor(48, 24, 100 << 10, 1 << 10),
    (9, 0): Multiprocessor(64, 32, 228 << 10, 1 << 10),
    (10, 0): Multiprocessor(64, 32, 228 << 10, 1 << 10),
    (12, 0): Multiprocessor(48, 24, 100 << 10, 1 << 10),
}


def occupancy(usage: Usage, cc: CC) -> float | None:
    """Return the share of its warps that a multiprocessor can hold; None where the capability is not in the table."""
    if cc not in MULTIPROCESSORS:
        return None
    has = MULTIPROCESSORS[cc]
    warps = -(-usage.threads // 32)
    a_warp = -(-32 * usage.registers // REGISTERS_A_STEP) * REGISTERS_A_STEP
    blocks = min(
        has.blocks,
        has.warps // warps,
        REGISTERS // a_warp // warps,
        has.shared // (usage.shared + has.reserved) if usage.shared + has.reserved else has.blocks,
    )
    return blocks * warps / has.warps
