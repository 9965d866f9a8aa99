"""What `auto` goes by on the CPU: the work of a batch by rows of a matrix, the dense plan, and by tiles, the gather plan.

Work is that of one thread, in multiply-adds of a dense row. It follows from sizes alone, never from a measured time, so that the
same calls give the same bits on any day. The constants were fitted to times of both plans over many sizes.
"""

from __future__ import annotations

from typing import NamedTuple

from dna.cpu.threads import MOVE, is_little

FEW = 8
"""Samples of a call for which the gather plan has rows as short."""

STEP_SUM, STEP_INPUT, STEP_CELL, STEP_LEARN, STEP_OUTPUT, STEP = 50, 25, 1.3, 112, 6_300, 2_750_000
"""Of whole steps of `fit`, what a sum takes longer than one by tiles; what tiles take for moving an input to lanes, and for a
cell; what the one thread of a whole step takes longer to let a cell learn, and, where it takes all of the step, for a row of the
matrix, twice where that is the pool; and a step by tiles, as it is several kernels."""

STEP_OF_OUTPUT = 100
"""Multiply-adds that an output of a sample takes in a whole step beside its cells: for its sums and its loss."""

SUM_OF_FEW, LOAD, FIND_FOR_FEW, CELL_OF_FEW, CALL_OF_FEW = 20, 16, 1.5, 0.9, 12_500
"""Of a few samples, what beginning and ending a sum takes by rows; and by short rows an input, finding a cell, running it, and a
call."""

SUM, READ = 170, 10
"""By rows, what beginning and ending a sum takes, and looking at an input and keeping it."""

NEAR, FAR = 1 << 16, 1.25
"""Places of a matrix that is near, and what a multiply-add takes where it is larger, as its rows come from farther caches."""

LAY_OUT, FIND, CALL = 13, 32, 260_000
"""By tiles, what moving a number to lanes or back takes, finding a cell for a batch, and a call."""

HELD, BEYOND = 1 << 21, 1.5
"""Numbers of a batch that caches hold from when they are laid out until they are read back, and how much more moving each takes
of those beyond."""

WAKE_FOR_ROWS, WAKE_FOR_TILES = 1_400_000, 950_000
"""What it takes until another thread has begun and ended, in the kernels of a call of forward and one of backward."""


class Sizes(NamedTuple):
    n_in: int
    n_out: int
    n_cells: int
    batch: int
    tile: int  # samples


class Work(NamedTuple):
    by_rows: float
    by_tiles: float


def step_is_little(n_in: int, n_out: int, size: int) -> bool:
    """Whether one thread takes all of a whole step of so many samples."""
    return is_little(size * n_out * (2 * n_in + STEP_OF_OUTPUT))


def of_steps(sizes: Sizes) -> Work:
    """Return the work of a whole step of `fit`, and of a step by tiles beyond what they share."""
    n_in, n_out, n_cells, batch, _ = sizes
    rows = 0 if not step_is_little(n_in, n_out, batch) else n_out if n_cells < n_in * n_out else 2 * n_out
    by_rows = batch * n_out * (STEP_SUM + n_in) + STEP_LEARN * n_cells + STEP_OUTPUT * rows
    return Work(by_rows, batch * (STEP_INPUT * n_in + STEP_CELL * n_cells) + STEP)


def of_few(sizes: Sizes) -> Work:
    """Return the work of calls of a few samples, for which the gather plan has rows as short."""
    n_in, n_out, n_cells, batch, _ = sizes
    by_tiles = batch * (LOAD * n_in + CELL_OF_FEW * n_cells) + FIND_FOR_FEW * n_cells + CALL_OF_FEW
    return Work(batch * n_out * (SUM_OF_FEW + n_in), by_tiles)


def of_batch(sizes: Sizes, outside: bool) -> Work:
    """Return the work of a batch. A call from outside moves gradients of the inputs as well, a step of `fit` does not."""
    n_in, n_out, n_cells, batch, tile = sizes
    lanes = -(-batch // tile) * tile
    numbers = batch * (n_in + n_out if outside else n_in // 2 + n_out)
    moved = LAY_OUT * (numbers + BEYOND * max(0, numbers - HELD))
    row = n_in if n_in * n_out <= NEAR else FAR * n_in
    rows, rows_alone = batch * (n_out * (SUM + row) + READ * n_in), is_little(batch * n_in * n_out)
    tiles, tiles_alone = moved + (lanes + FIND) * n_cells, is_little(batch * (n_cells + MOVE * (n_in + n_out)))
    return Work(rows if rows_alone else rows / 2 + WAKE_FOR_ROWS, (tiles if tiles_alone else tiles / 2 + WAKE_FOR_TILES) + CALL)
