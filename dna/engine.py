"""The engine: a network that runs, and whose cells split and die."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy

from dna.backend import Maths, Turnover
from dna.fossils import Change, ExtinctionEvent, Remains, rewind
from dna.graph.topology import CellTable
from dna.nodes import NodesBorn, lay_out_nodes, nodes_before
from dna.pool import Rollback
from dna.rules import UNTRAINED, Clock, Extinction
from dna.runner import Runner
from dna.selection import Selection
from dna.types import DELETE, SPLIT, Nodes


class Engine(Runner):
    """A network that runs. An extinction moves its `version`, and so makes the next forward ask for a new plan."""

    def cell_table(self) -> CellTable:
        """Return all living cells in id order, on the host."""
        return CellTable.of(self.pool.columns()[0])

    def settle(self) -> int:
        """Take note of what kernels claimed and released by themselves, which is a new version; return the number of cells."""
        self.pool.settle()
        self.move_to(self.version + 1)
        self.statistics.restart(self.pool.bump)
        return len(self.pool)

    def extinction(
        self, rule: Extinction, event: int, clock: Clock = UNTRAINED, record: Callable[[Change], None] = lambda change: None
    ) -> None:
        """Choose the dying, then those to be born; carry it out and `record` it. Where any step fails, all is as it was."""
        rollback, version, statistics = Rollback(self.pool), self.version, copy(self.statistics)
        nodes, maths = self.nodes, self.backend.maths
        try:
            change = self._carry_out(rule, event, clock, rollback)
            self.statistics.restart(self.pool.bump)
            record(change)
        except BaseException:
            rollback.run()
            self.nodes, self.backend.maths = nodes, maths
            self.move_to(version)
            self.statistics = statistics
            raise

    def _carry_out(self, rule: Extinction, event: int, clock: Clock, rollback: Rollback) -> Change:
        """Choose; reserve; release, claim and write. What can be foreseen to fail comes before that."""
        start, pool = time.perf_counter(), self.pool
        before = {"cells_before": len(pool), "capacity_before": pool.capacity, "free_before": pool.free}
        before["first_node"] = self.n_nodes
        numbers = {"seed": self.seed, "event": event, "version": self.version + 1}
        selection = Selection(self.backend, pool, self.nodes, self.statistics, **numbers, clock=clock, batch=self.seen())
        for death in rule.deaths:
            death.mark(selection)
        broods = [birth.prepare(selection) for birth in rule.births]
        dying, splitting = selection.slots(DELETE), selection.slots(SPLIT)
        dead, split = selection.remains()
        n_born, n_died = sum(len(brood.parents) for brood in broods), selection.n_died
        nodes, maths = selection.grown()
        pool.reserve(max(0, n_born - n_died))
        for brood in broods:
            brood.write(pool.cells, dying[:0], 0)  # compiles, which can fail for a function of the user's

        rollback.prepare((dying, dead), (splitting, split), largest=max((len(brood.parents) for brood in broods), default=0))
        first_id = pool.next_id
        pool.release(dying, again=min(n_born, n_died))
        claims = []
        for brood in broods:
            claims.append(rollback.claim(len(brood.parents)))
            brood.write(pool.cells, *claims[-1])
        self.nodes, self.backend.maths = nodes, maths
        turnover = Turnover(dying, dead["source"], dead["target"], tuple(slots for slots, _ in claims))
        self.move_to(self.version + 1, turnover)
        return Change(
            **before,
            cells_after=len(pool),
            first_id=first_id,
            n_born=n_born,
            n_died=n_died,
            seconds=time.perf_counter() - start,
            bytes=pool.nbytes,
            capacity=pool.capacity,
            fragmentation=pool.fragmentation,
            births=Remains({"parent": tuple(brood.parents for brood in broods)}, self.backend.download),
            split=Remains(split, self.backend.download),
            dead=Remains({"slot": dying} | dead, self.backend.download),
            nodes=selection.nodes_born,
        )

    def undo(self, event: ExtinctionEvent, optimizer: str | None) -> None:
        """Bring pool and version back to just before the last event; `optimizer` names the one whose state the pool holds."""
        columns, free = rewind(*self.pool.columns(), event, optimizer)
        nodes, maths = self._nodes_before(event.nodes)
        self.pool.restore(columns, free, event.first_id, event.capacity_before)
        self.nodes, self.backend.maths = nodes, maths
        self.move_to(event.version - 1)
        self.statistics.restart(self.pool.bump)

    def _nodes_before(self, born: NodesBorn) -> tuple[Nodes, Maths]:
        nodes, maths, download = self.nodes, self.backend.maths, self.backend.download
        if len(born.level) == 0:
            return nodes, maths
        level, activations = nodes_before(download(nodes.level), maths.activations, born)
        fewer = lay_out_nodes(self.backend, level, download(nodes.inputs), download(nodes.outputs))
        return fewer, maths._replace(activations=activations)
