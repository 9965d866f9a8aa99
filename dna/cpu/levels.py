"""Levels on the CPU: the phases of the gather plan in their order, forward from the inputs up and backward from the outputs down.

A phase is a plain function of the same arguments as all others of its direction. They are called one by one, or compiled into one
where what Python takes between them is felt, which costs seconds of compilation.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from dna.backend import Maths
from dna.cells import Activation, CellKind
from dna.cpu import backward, forward
from dna.cpu.compiler import jit
from dna.cpu.plan import GatherPlan, Phase, Stage
from dna.cpu.prefetch import asks_ahead, asks_for_rows
from dna.cpu.threads import LOOK, MANY_TILES, is_little, is_little_step, moves_alone


class Way(NamedTuple):
    """How a level is run."""

    cells_alone: bool  # by one thread
    nodes_alone: bool  # one thread looks at their gradients
    rows_ahead: bool  # they are asked for in backward


def ways_of(stages: tuple[Stage, ...], shape: tuple[int, ...], affine: bool) -> tuple[Way, ...]:
    """Return how each level is run with potentials of this shape.

    Little work for its cells is not for one thread, where tiles are many and rows of the levels around so long that all threads
    laid them out: each has its samples in its own cache.
    """
    tiles, samples = shape[0], shape[0] * shape[2]

    def cells_alone(k: int) -> bool:
        work, width = stages[k].n_cells * samples, max(len(stage.nodes) for stage in stages[max(0, k - 1) : k + 2])
        return is_little(work) and (tiles < MANY_TILES or moves_alone(width * samples, work))

    def way_of(k: int) -> Way:
        return Way(cells_alone(k), is_little(LOOK * len(stages[k].nodes) * samples), asks_for_rows(stages[k].near, affine))

    return tuple(map(way_of, range(len(stages))))


def ways_of_step(stages: tuple[Stage, ...], shape: tuple[int, ...], affine: bool) -> tuple[Way, ...]:
    """Return how each level is run in a step of `fit`: all of them by one thread where the step is little."""
    ways = ways_of(stages, shape, affine)
    if is_little_step(sum(stage.n_cells for stage in stages), shape):
        return tuple(way._replace(cells_alone=True, nodes_alone=True) for way in ways)
    return ways


def forward_of_step(maths: Maths, plan: GatherPlan, shape: tuple[int, ...]) -> tuple[Phase, ...]:
    """Return the phases of forward in a step of `fit`. The plan keeps them: a choice takes as long as a thousand cells do."""
    if shape not in plan.forward:
        kind, n_cells = maths.kind, len(plan.into[0].slot)
        ways, ahead = ways_of_step(plan.into, shape, kind.affine), asks_ahead(n_cells, kind.affine)
        plan.forward[shape] = forward_phases(kind, maths.activations, maths.real, shape[2], ways, ahead)
    return plan.forward[shape]


def backward_of_step(maths: Maths, plan: GatherPlan, shape: tuple[int, ...], inputs_too: bool) -> tuple[Phase, ...]:
    """Return the phases of backward in a step of `fit`, likewise."""
    if (shape, inputs_too) not in plan.backward:
        kind, n_cells, one = maths.kind, len(plan.into[0].slot), shape[0] == 1
        ways, ahead = ways_of_step(plan.out_of, shape, kind.affine), asks_ahead(n_cells, kind.affine)
        phases = backward_phases(kind, maths.activations, maths.real, shape[2], inputs_too, one, ways, ahead)
        plan.backward[shape, inputs_too] = phases
    return plan.backward[shape, inputs_too]


@cache
def forward_phases(
    kind: CellKind, activations: tuple[Activation, ...], real: type, lanes: int, ways: tuple[Way, ...], ahead: bool
) -> tuple[Phase, ...]:
    """Return the phases `(stages, cells, potentials)` of forward; each level is run in its way."""

    def cells_into(level: int) -> Phase:
        run = forward.gather(kind, activations[level], real, lanes, alone=ways[level].cells_alone, ahead=ahead)

        def phase(stages: Any, cells: Any, potentials: Any) -> None:
            run(stages[level], cells, potentials)

        return phase

    return tuple(cells_into(level) for level in range(1, len(activations)))


@cache
def backward_phases(
    kind: CellKind, activations: tuple[Activation, ...], real: type, lanes: int, inputs_too: bool, one: bool,
    ways: tuple[Way, ...], ahead: bool,
) -> tuple[Phase, ...]:  # fmt: skip
    """Return the phases `(stages, cells, potentials, gradient, totals)` of backward."""

    def cells_out_of(level: int) -> Phase:
        pass_on = level > 0 or inputs_too
        alone, _, rows_ahead = ways[level]
        run = backward.gather(kind, real, lanes, pass_on, one=one, alone=alone, ahead=ahead, rows_ahead=rows_ahead)

        def phase(stages: Any, cells: Any, potentials: Any, gradient: Any, totals: Any) -> None:
            run(stages[level], cells, potentials, gradient, totals)

        return phase

    def through_nodes_of(level: int) -> Phase:
        run = backward.through_activation(activations[level], real)

        def phase(stages: Any, cells: Any, potentials: Any, gradient: Any, totals: Any) -> None:
            run(stages[level].nodes, potentials, gradient)

        return phase

    def samples_of(level: int) -> Phase:
        run = backward.sample_summer(real, ways[level].nodes_alone)

        def phase(stages: Any, cells: Any, potentials: Any, gradient: Any, totals: Any) -> None:
            run(stages[level].nodes, gradient, totals)

        return phase

    last, phases = len(activations) - 1, []
    for level in range(last, -1, -1):
        phases += [cells_out_of(level)] if level < last else []
        phases += [through_nodes_of(level)] if level > 0 and activations[level].name != "identity" else []
        phases += [samples_of(level)] if level > 0 and kind.affine else []
    return tuple(phases)


def in_sequence(phases: tuple[Phase, ...]) -> Phase:
    """Return a compiled function that runs these phases, one or more."""
    first, *others = phases
    run = jit(first)
    if not others:
        return run
    rest = in_sequence(tuple(others))

    def both(*arguments: Any) -> None:
        run(*arguments)
        rest(*arguments)

    return jit(both)
