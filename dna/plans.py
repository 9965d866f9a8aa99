"""Plans of one network: which one a batch is run by, and those that are made for the present topology."""

from __future__ import annotations

from dna.backend import Backend, Plan, Turnover, Whole
from dna.pool import Pool
from dna.types import Nodes

USUAL_BATCH = 128
"""Samples that the choice goes by before any batch has come."""

EXPLAIN_PLAN = {
    "gather": "cells sorted by target and by source: no atomics, deterministic",
    "scatter": "straight over the pool: no plan to make, but sums in the order of arrival",
    "dense": "affine cells between inputs and outputs as one matrix, samples read where they lie: no atomics, deterministic",
}


class Plans:
    """Which plan runs.

    `auto` goes by the sizes of network and batch, never by time, so that the same calls give the same bits on any day.

    Attributes
    ----------
    asked : str
        What the user asked for, `auto` or a plan's name.
    name : str
        The plan of the last batch; before the first one, that of a batch of `USUAL_BATCH`.
    form : str
        What the backend runs: the plan's name, or `few` for the gather plan's way for a few samples.
    whole : Whole or None
        The phases that take a call from outside whole, where the form has them.
    tile : int
        Samples a tile of potentials.
    question : (int, bool)
        What `choose` was last asked: the samples of a batch, and whether it is a call from outside.
    """

    def __init__(self, backend: Backend, pool: Pool, nodes: Nodes) -> None:
        self._backend, self._pool = backend, pool
        self.asked = self.name = self.form = "auto"
        self.whole: Whole | None = None
        self._nodes = nodes
        self._made: dict[str, Plan] = {}
        self.renew(nodes)

    def renew(self, nodes: Nodes, turnover: Turnover | None = None) -> None:
        """Let go of all plans, as the topology moved on; these are its nodes now.

        Where all that changed is known, the gather plan, if there is one for the same nodes, waits to become the new one.
        """
        older = self._made.get("gather") if nodes is self._nodes else None
        self._older = None if older is None or turnover is None else (older, turnover)
        self._nodes = nodes
        self._made = {}
        self.question = 0, False
        self.choose(USUAL_BATCH)

    def ask(self, name: str) -> None:
        """Run by this plan from now on, or by the one that `auto` chooses."""
        self.asked = name
        self.renew(self._nodes)

    def refusal(self, name: str) -> str | None:
        """Return why a plan cannot be made of this network, or None."""
        if name != "dense":
            return None
        dense = self._backend.dense
        return f"expected a CPU, got {self._backend.device}" if dense is None else dense.refusal(self._nodes)

    def choose(self, batch: int, outside: bool = False) -> str:
        """Choose the plan for batches of so many samples, which is `name` from now on; return its form.

        `outside` says that it is a call from outside, which goes by itself, and not a step of many.
        """
        if self.question != (batch, outside):
            backend, pool, auto = self._backend, self._pool, self._is_auto()
            dense, few, in_order = backend.dense, backend.few, pool.next_id == len(pool)
            suits = auto and dense is not None and dense.suits(self._nodes, len(pool), in_order, batch, outside)
            name = form = ("dense" if suits else "gather") if auto else self.asked
            laid = backend.laid if backend.laid is not None and outside and backend.laid.suits(self._nodes, batch) else None
            if outside and name == "gather" and few is not None and few.suits(self._nodes, batch):
                form = "few"
            whole = {"dense": dense, "few": few, "gather": laid}.get(form)
            tile = backend.tile(batch) if whole is None else whole.tile(batch, self._nodes, len(pool))
            # at once: Ctrl-C may come at any call
            self.name, self.form, self.whole, self.tile, self.question = name, form, whole, tile, (batch, outside)
        return self.form

    def _is_auto(self) -> bool:
        """Whether the choice is free: nothing was asked for, or a plan that the nodes do not allow since some were born."""
        return self.asked == "auto" or self.refusal(self.asked) is not None

    def ready(self, batch: int | None = None) -> Plan:
        """Return the plan in use, or for batches of this size, made anew if the topology moved on since."""
        if batch is not None:
            self.choose(batch)
        if self.form not in self._made:
            pool, older = self._pool, None
            if self.form == "gather":
                older, self._older = self._older, None
            self._made[self.form] = self._backend.make_plan(self.form, pool.cells, pool.bump, len(pool), self._nodes, older)
        return self._made[self.form]

    def explain(self) -> str:
        """Return the plan in use, and why."""
        auto = self._is_auto()
        why = f"; {self._reason()}" if auto else ""
        return f"{self.name} ({'chosen by auto' if auto else 'as asked'}): {EXPLAIN_PLAN[self.name]}{why}"

    def _reason(self) -> str:
        """Return why `auto` chose as it did."""
        dense, pool, refusal = self._backend.dense, self._pool, self.refusal("dense")
        if dense is None or refusal is not None:
            return f"no dense plan: {refusal}"
        return dense.reason(self._nodes, len(pool), pool.next_id == len(pool), *self.question)
