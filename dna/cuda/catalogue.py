"""The catalogue of all kernels, each with arguments of the types that it is launched with, for compilation without a GPU.

Whoever writes a kernel lists it here; a test finds those that are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from dna.backend import OptimizerMaths
from dna.cells import ACTIVATIONS, LINEAR, RELU, TANH, CellKind
from dna.cuda import (
    apply,
    backward,
    compact,
    exemption,
    forward,
    loss,
    memory,
    passthrough,
    plan,
    pool,
    radix,
    regrowth,
    scan,
    select,
    sort,
    split,
    stages,
    statistics,
)
from dna.rules import PASSTHROUGHS, STATISTICS
from dna.rules.keys import KEY_OF
from dna.rules.pairs import Pairs
from dna.rules.rating import RATINGS
from dna.training.losses import LOSSES
from dna.training.optimizers import SGD, Adam, AdamW
from dna.types import FATE, ID, NODE, OFFSET, SLOT, Cells, Heap

KINDS = (LINEAR, RELU, TANH)
IDENTITY, SIGMOID = ACTIVATIONS["identity"], ACTIVATIONS["sigmoid"]
LANES = tuple(memory.tile_of(batch) // 32 for batch in (1, 33, 65))
"""Samples a lane, by the size of the tile."""

OPTIMIZERS: tuple[OptimizerMaths, ...] = SGD(0.1), SGD(0.1, momentum=0.9), Adam(0.1), AdamW(0.1)
"""By moments, and those that have as many as one before."""

COUNT = np.int64(1)
SEED = np.uint64(1)


class Entry(NamedTuple):
    """A kernel and what it is compiled for."""

    name: str  # file.kernel
    variant: str  # what its builder was given: kind, real, tile
    build: Callable[[], Any]
    arguments: tuple[Any, ...]


def entries() -> list[Entry]:
    """Return the catalogue: every kernel with float32 and with float64, those that depend on it for every cell kind."""
    found = list(_of_integers())
    for real in (np.float32, np.float64):
        found += _of_real(real)
        for kind in KINDS if real is np.float32 else (TANH,):
            found += _of_kind(kind, real)
    return found


def vector(dtype: Any) -> np.ndarray:
    return np.zeros(2, dtype)


def tiles(real: Any) -> np.ndarray:
    """Return an array like potentials and their gradient."""
    return np.zeros((1, 2, 32), real)


def cells_of(real: Any) -> Cells:
    return Cells(
        source=vector(NODE), target=vector(NODE), weight=vector(real), bias=vector(real), weight_grad=vector(real),
        bias_grad=vector(real), state=np.zeros((2, 2), real), id=vector(ID), parent=vector(ID), born=vector(np.int32),
    )  # fmt: skip


HEAP = Heap(free=vector(SLOT), counters=vector(OFFSET))
ORDER = plan.Order(slots=vector(SLOT), others=vector(NODE), start=vector(SLOT))
PAIRS = Pairs(vector(NODE), vector(OFFSET), vector(OFFSET), vector(OFFSET), vector(OFFSET))
SEARCH = radix.Search(last=vector(np.uint64), state=vector(np.int64), histogram=vector(np.int32))


def _of_integers() -> Iterator[Entry]:
    """Yield the kernels that touch no real number, or do not mind which."""
    cells, flip = cells_of(np.float32), np.uint64(0)
    nodes, slots, ids, fates = vector(NODE), vector(SLOT), vector(ID), vector(FATE)

    def entry(name: str, build: Callable[[], Any], *arguments: Any) -> Entry:
        return Entry(name, "", build, arguments)

    for dtype in (np.uint8, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64):
        yield Entry("memory.fill_all", np.dtype(dtype).name, memory.filler, (vector(dtype), dtype(0)))
    yield entry("plan.survey", plan.surveyor, nodes, nodes, ids, COUNT, nodes, COUNT, np.zeros((3, 2), NODE))
    yield entry("plan.number", plan.numberer, nodes, COUNT, COUNT, COUNT, nodes)
    label = nodes, nodes, ids, nodes, nodes, np.zeros((2, 2), NODE), COUNT, nodes, slots
    yield entry("plan.label", partial(plan.labeller, stages.rows_of(np.float32)), *label)
    yield entry("plan.finish", plan.finisher, nodes, slots, nodes, ORDER)
    yield entry("sort.count", sort.digit_counter, nodes, COUNT, COUNT, nodes)
    yield entry("sort.place", sort.digit_placer, nodes, slots, COUNT, COUNT, nodes, nodes, slots)
    yield entry("scan.sum_chunks", partial(scan.chunk_summer, np.int32), nodes, COUNT, nodes)
    yield entry("scan.scan_chunks", partial(scan.chunk_scanner, np.int32), nodes, COUNT, nodes)

    yield entry("pool.claim_in_order", pool.claim_kernel, HEAP, slots)
    yield entry("pool.settle_bulk", pool.bulk_settle_kernel, HEAP, COUNT, COUNT)
    yield entry("pool.settle_heap", pool.settle_kernel, HEAP)

    yield entry("compact.count_share", compact.share_counter, fates, COUNT, slots)
    yield entry("compact.place", compact.slot_placer, fates, COUNT, slots, slots)
    for dtype in (np.int32, np.int64, np.float32, np.float64):
        column = vector(dtype)
        yield Entry("compact.take_each", np.dtype(dtype).name, compact.taker, (column, slots, column))
        yield Entry("compact.put_each", np.dtype(dtype).name, compact.putter, (column, slots, column))
    yield entry("radix.start", radix.start_kernel, SEARCH, COUNT)
    yield entry("exemption.mark", exemption.output_marker, nodes, ids)
    yield entry("exemption.protect_young", exemption.protector, cells, COUNT, fates)
    yield entry("exemption.exempt", exemption.exempter, cells, ids, fates)
    yield entry("select.find", select.candidate_finder, cells, nodes, COUNT, COUNT, fates, fates)
    yield entry("regrowth.mark", regrowth.pair_marker, cells, COUNT, fates, COUNT, ids)
    yield entry("select.finish", select.finisher, fates)
    yield entry("select.count_from", select.level_counter, cells, COUNT, nodes, COUNT, ids)
    for word in KEY_OF.values():
        yield from _of_keys(word, cells, ids, fates, flip)


def _of_keys(word: np.dtype, cells: Cells, ids: np.ndarray, fates: np.ndarray, flip: np.uint64) -> Iterator[Entry]:
    def entry(name: str, build: Callable[[], Any], *arguments: Any) -> Entry:
        return Entry(name, word.name, build, arguments)

    keys = vector(word)
    yield entry("radix.count_keys", radix.key_counter, keys, fates, flip, COUNT, SEARCH)
    yield entry("radix.count_ids", radix.id_counter, keys, ids, fates, flip, COUNT, SEARCH)
    yield entry("exemption.find_key", exemption.best_key_finder, keys, cells, fates, keys, ids)
    yield entry("exemption.find_id", exemption.best_id_finder, keys, cells, fates, keys, ids)
    yield entry("select.give", select.fate_giver, keys, cells, fates, flip, SEARCH, COUNT, fates, ids)


def _of_real(real: Any) -> Iterator[Entry]:
    """Yield the kernels that depend on the precision, but not on the cell kind."""
    cells, dtype = cells_of(real), np.dtype(real)
    reals, potentials, nodes, slots, fates = vector(real), tiles(real), vector(NODE), vector(SLOT), vector(FATE)
    matrix, rows, h = np.zeros((2, 2), real), vector(np.int64), vector(real)

    def entry(name: str, build: Callable[[], Any], *arguments: Any, variant: str = "") -> Entry:
        return Entry(name, f"{variant} {dtype.name}".strip(), build, arguments)

    yield entry("memory.load", partial(memory.rows_loader, real), potentials, nodes, matrix, rows)
    yield entry("memory.turn", memory.turner, rows, rows, COUNT, matrix, rows, h)
    yield entry("memory.check", memory.finite_checker, reals, vector(np.int32))
    yield entry("memory.store", memory.rows_storer, potentials, nodes, matrix)
    yield entry("forward.clear", partial(forward.clearer, real), nodes, potentials)
    yield entry("forward.activate_level", partial(forward.activator, SIGMOID, real), nodes, potentials)
    yield entry("forward.add_parts", partial(forward.adder, SIGMOID, real), nodes, potentials, reals, COUNT)
    yield entry("backward.through", partial(backward.slope_multiplier, SIGMOID, real), nodes, potentials, potentials)
    yield entry("backward.add_parts", partial(backward.adder, SIGMOID, real), nodes, potentials, reals, COUNT, potentials)
    for name in LOSSES:
        chosen = LOSSES[name]
        targets = np.zeros((2, 1), np.int64) if chosen.labels else matrix
        values, sums = vector(np.float64), np.zeros((2, 2))
        arguments = potentials, potentials, nodes, targets, rows, real(1), values, sums, rows, vector(np.int32)
        yield entry("loss.loss", partial(loss.loss_kernel, chosen, real), *arguments, variant=name)
    for optimizer in OPTIMIZERS:
        build = partial(apply.apply_kernel, type(optimizer), optimizer.moments, real)
        variant = f"{type(optimizer).__name__} {optimizer.moments}"
        yield entry("apply.apply", build, reals, reals, reals, reals, matrix, COUNT, h, variant=variant)

    yield entry("pool.copy", pool.copy_kernel, cells, HEAP, cells, HEAP)
    yield entry("pool.release_in_order", pool.release_kernel, cells, HEAP, slots)
    for name in PASSTHROUGHS:
        build = partial(passthrough.score_kernel, PASSTHROUGHS[name], real)
        yield entry("passthrough.score_all", build, cells, SEED, SEED, matrix, real(1), reals, variant=name)
    build = partial(statistics.step_gatherer, STATISTICS["gradient"], real)
    yield entry("statistics.gather_step", build, reals, reals, COUNT, matrix, variant="gradient")
    yield entry("passthrough.find_nan", partial(passthrough.nan_kernel, real), reals, rows)
    yield entry("select.make", partial(select.key_maker, real), reals, vector(KEY_OF[dtype]))
    numbers = COUNT, COUNT, COUNT
    yield entry("regrowth.draw", regrowth.pair_drawer, cells, reals, PAIRS, numbers, SEED, SEED, rows, cells, reals)
    yield entry("regrowth.write", regrowth.newborn_writer, cells, slots, cells, COUNT, np.int32(1))
    yield entry("select.divide", select.divider, reals, cells, real(1), real(0), fates, rows)


def _of_kind(kind: CellKind, real: Any) -> Iterator[Entry]:
    cells, reals, potentials, nodes, slots = cells_of(real), vector(real), tiles(real), vector(NODE), vector(SLOT)

    def entry(name: str, build: Callable[[], Any], *arguments: Any, variant: str = "") -> Entry:
        return Entry(name, f"{kind.name} {np.dtype(real).name} {variant}".strip(), build, arguments)

    where = (COUNT,) * 4
    into = nodes, reals, reals, ORDER, where, potentials, reals
    own = reals, reals, reals, reals
    out_of = nodes, own, ORDER, where, potentials, potentials, reals
    learning = nodes, (*own, cells.state, reals), ORDER, where, potentials, potentials, reals
    keep = apply.gradient_keeper()
    for lanes, each, shared in _shapes(kind, real, stages.FORWARD):
        build = partial(forward.gatherer, kind, IDENTITY, real, lanes, each, shared)
        yield entry("forward.gather_level", build, *into, variant=_shape(lanes, each, shared))
    for lanes, each, shared in _shapes(kind, real, stages.BACKWARD):
        build = partial(backward.gatherer, kind, IDENTITY, real, lanes, each, shared, True, keep)
        yield entry("backward.gather_level", build, *out_of, variant=_shape(lanes, each, shared))
    most = LANES[-1], stages.EACH[stages.BACKWARD, real][-1], True
    build = partial(backward.gatherer, kind, IDENTITY, real, *most, False, keep)
    yield entry("backward.gather_level", build, *out_of, variant="inputs")
    for optimizer in OPTIMIZERS[:3]:
        finish = apply.cell_updater(type(optimizer), optimizer.moments, real)
        build = partial(backward.gatherer, kind, IDENTITY, real, *most, True, finish)
        yield entry("backward.gather_level", build, *learning, variant=f"and {type(optimizer).__name__} {optimizer.moments}")
    yield entry("forward.scatter_level", partial(forward.scatterer, kind, real), COUNT, cells, COUNT, nodes, potentials)
    scatter = COUNT, cells, COUNT, nodes, potentials, potentials, True
    yield entry("backward.scatter_level", partial(backward.scatterer, kind, real), *scatter)
    for name in ("current", "hebbian"):
        build = partial(statistics.sample_gatherer, STATISTICS[name], kind, real)
        yield entry("statistics.gather_samples", build, cells, COUNT, potentials, COUNT, real(0), cells.state, variant=name)
    for by in RATINGS if kind is LINEAR else RATINGS[:1]:
        rate = cells, reals, COUNT, potentials, potentials, COUNT, SEED, SEED
        yield entry("regrowth.rate", partial(regrowth.pair_rater, by, kind, real, 0.0), *rate, variant=by)
    write = cells, slots, slots, COUNT, np.int32(1), SEED, real(0)
    yield entry("split.write", partial(split.children_writer, "preserve", kind, real), *write)


def _shapes(kind: CellKind, real: Any, side: str) -> Iterator[tuple[int, int, bool]]:
    """Yield (lanes, each, shared) of the kernels of the gather plan: for ReLU all, for others those that take most registers."""
    if kind is RELU:
        yield from ((lanes, each, True) for lanes in LANES for each in stages.EACH[side, real])
        yield from ((lanes, 1, False) for lanes in LANES)
    else:
        yield LANES[-1], stages.EACH[side, real][-1], True
        yield LANES[-1], 1, False


def _shape(lanes: int, each: int, shared: bool) -> str:
    return f"{lanes}x{each}{'' if shared else ' direct'}"
