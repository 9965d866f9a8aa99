"""Whole lives: any sequence of training, extinctions, saves and loads keeps what `dna` promises."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import naive
import numpy as np
import pytest
from compare import CELL_KINDS, assert_same, batch, naive_copy, snapshot, unchanged
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

import dna

PRESERVED = {"rtol": 1e-10, "atol": 1e-10}
"""Halves are exact in binary, other shares are not; the sums of a node come in another order."""

SHARES = st.integers(0, 40).map(lambda percent: percent / 100)


class LifeMachine(RuleBasedStateMachine):
    """A network beside the oracle, which follows every extinction and is told the reals after training."""

    kind = "linear"

    @initialize(
        layers=st.lists(st.integers(1, 4), min_size=2, max_size=4),
        seed=st.integers(0, 2**40),
        slack=st.one_of(st.none(), st.integers(0, 10)),
        optimizer=st.sampled_from([dna.SGD(0.05), dna.SGD(0.05, momentum=0.9), dna.Adam(0.01)]),
    )
    def start(self, layers: list[int], seed: int, slack: int | None, optimizer: dna.Optimizer) -> None:
        cells = sum(a * b for a, b in pairwise(layers))
        capacity = None if slack is None else cells + slack
        options = {"cell": self.kind, "activation": "tanh", "init": "he", "dtype": "float64", "device": "cpu"}
        self.net = dna.Network(layers, seed=seed, capacity=capacity, **options)
        self.x = batch(6, layers[0], seed)
        self.y = batch(6, layers[-1], seed)
        self.optimizer = optimizer
        self.model = naive_copy(self.net)
        self.ids_ever = set(self.net.cells.id.tolist())

    # what may happen

    @rule()
    def train(self) -> None:
        self._fit(self.net)
        self.model = naive_copy(self.net)

    @rule(
        split=SHARES,
        delete=SHARES,
        passthrough=st.sampled_from(["weight", "weight_bias", "random"]),
        scope=st.sampled_from(["network", "layer"]),
        split_rule=st.sampled_from(["preserve", "article"]),
        jitter=st.sampled_from([0.0, 0.3]),
    )
    def extinction(self, split: float, delete: float, passthrough: str, scope: str, split_rule: str, jitter: float) -> None:
        options = {"split": split, "delete": delete, "passthrough": passthrough, "scope": scope}
        self._evolve(options | {"rule": split_rule, "jitter": jitter})

    @rule(above=st.floats(0, 2), below=st.floats(0, 2), jitter=st.sampled_from([0.0, 0.3]))
    def extinction_by_thresholds(self, above: float, below: float, jitter: float) -> None:
        self._evolve({"split_above": max(above, below), "delete_below": min(above, below), "jitter": jitter})

    @rule(split=st.integers(1, 100).map(lambda percent: percent / 100), jitter=st.sampled_from([0.0, 0.9]))
    def splits_alone_preserve_the_function(self, split: float, jitter: float) -> None:
        before = self.net.forward(self.x)
        self._evolve({"split": split, "delete": 0.0, "jitter": jitter})
        np.testing.assert_allclose(self.net.forward(self.x), before, **PRESERVED)

    @precondition(lambda self: self.kind == "linear")
    @rule(split=st.integers(1, 100).map(lambda percent: percent / 100))
    def the_articles_split_preserves_linear_cells(self, split: float) -> None:
        before = self.net.forward(self.x)
        self._evolve({"split": split, "delete": 0.0, "rule": "article"})
        np.testing.assert_allclose(self.net.forward(self.x), before, **PRESERVED)

    @rule()
    def save_load_and_go_on(self) -> None:
        """The loaded network takes over; both must do the same to the last bit."""
        with tempfile.TemporaryDirectory() as folder:
            self.net.save(Path(folder) / "net.dna")
            twin = dna.load(Path(folder) / "net.dna", device="cpu")
        for net in (self.net, twin):
            self._fit(net)
            net.history.epochs.clear()  # seconds differ, and histories are not saved
        assert snapshot(twin) == snapshot(self.net)
        self.net, self.model = twin, naive_copy(twin)

    # what must hold

    @invariant()
    def ids_are_unique_and_never_used_again(self) -> None:
        ids = self.net.cells.id.tolist()
        assert len(ids) == len(set(ids)) == len(self.net)
        assert set(ids) <= self.ids_ever

    @invariant()
    def outputs_keep_their_last_cell(self) -> None:
        assert set(self.net.topology().outputs.tolist()) <= set(self.net.cells.target.tolist())

    @invariant()
    def the_plan_is_that_of_the_topology(self) -> None:
        expected = naive.outputs(self.model, self.x)
        np.testing.assert_allclose(self.net.forward(self.x), expected, rtol=1e-9, atol=1e-9)

    def _evolve(self, options: dict[str, object]) -> None:
        extinction, expected = dna.Extinction(**options), naive.Rule(**options)  # type: ignore[arg-type]
        try:
            event = naive.extinction(self.model, expected, event=len(self.net.fossils))
        except naive.Exhausted:
            with unchanged(self.net), pytest.raises(dna.PoolExhausted):
                self.net.extinction(extinction)
            return
        found = self.net.extinction(extinction)
        assert (found.born.tolist(), found.parents.tolist(), found.died.tolist()) == event
        born = set(found.born.tolist())
        assert not born & self.ids_ever, "an id was used again"
        self.ids_ever |= born
        assert_same(self.net, self.model, rtol=1e-13, atol=0)
        self.model = naive_copy(self.net)  # so that rounding does not add up to another ranking

    def _fit(self, net: dna.Network) -> None:
        net.fit(self.x, self.y, epochs=1, batch_size=4, loss="mse", optimizer=self.optimizer, progress=False)


@pytest.mark.parametrize("kind", CELL_KINDS)
def test_any_life(kind: str) -> None:
    class OfKind(LifeMachine):
        pass

    OfKind.kind = kind
    run_state_machine_as_test(OfKind, settings=settings(max_examples=25, stateful_step_count=15))
