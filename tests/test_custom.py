"""What users add: cell kinds, passthroughs, losses and optimizers of their own, on every device, without touching a kernel."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from compare import PLANS, TOLERANCE, batch, dag_network, gradients, naive_copy, unchanged

import dna
from dna.cells import KINDS


def growth(w: Any, v: Any, b: Any) -> Any:
    return math.exp(w * v - b)


def growth_slopes(w: Any, v: Any, b: Any, i: Any) -> Any:
    return i * v, i * w, -i


def growth_split(w: Any, b: Any, share: Any) -> Any:
    return w, b - math.log(share), w, b - math.log(1 - share)


@pytest.fixture(autouse=True)
def registry_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KINDS, "_entries", dict(KINDS._entries))
    monkeypatch.setitem(naive.CURRENT, "growth", growth)
    monkeypatch.setitem(naive.SLOPES, "growth", lambda w, v, b: growth_slopes(w, v, b, growth(w, v, b)))


@pytest.mark.parametrize("plan", PLANS)
def test_a_cell_kind_of_the_users_runs_forward_and_backward(device: str, plan: str) -> None:
    dna.register_cell("growth", growth, growth_slopes, growth_split)
    net = dag_network(device, cell="growth", activation="tanh")
    net.compile(plan)
    model, x, gy = naive_copy(net), batch(7, 3), batch(7, 2)
    np.testing.assert_allclose(net.forward(x), naive.outputs(model, x), **TOLERANCE["float64"])
    np.testing.assert_allclose(net.backward(gy), naive.backward(model, x, gy), **TOLERANCE["float64"])
    for seen, wanted in zip((net.cells.weight_grad, net.cells.bias_grad), gradients(model), strict=True):
        np.testing.assert_allclose(seen, wanted, **TOLERANCE["float64"])


def test_functions_may_call_what_they_enclose(device: str) -> None:
    def threshold(v: Any, b: Any) -> Any:
        return v - b

    def bent(v: Any, b: Any) -> Any:  # a helper of a helper
        return abs(threshold(v, b))

    def current(w: Any, v: Any, b: Any) -> Any:
        return w * bent(v, b)

    def slopes(w: Any, v: Any, b: Any, i: Any) -> Any:
        slope = w if threshold(v, b) > 0 else -w
        return bent(v, b), slope, -slope

    net = dna.Network([3, 2], cell=dna.register_cell("bent", current, slopes), init="glorot", device=device, dtype="float64")
    x, gy = batch(5, 3), batch(5, 2)
    weight = net.cells.weight.reshape(2, 3)
    np.testing.assert_allclose(net.forward(x), np.abs(x) @ weight.T, **TOLERANCE["float64"])
    np.testing.assert_allclose(net.backward(gy), gy @ weight * np.sign(x), **TOLERANCE["float64"])


def test_it_trains_splits_and_is_saved(device: str, tmp_path: Path) -> None:
    kind = dna.register_cell("growth", growth, growth_slopes, growth_split)
    net = dna.Network([3, 2], cell=kind, device=device)
    x = batch(16, 3)
    y = np.stack([np.exp(0.5 * x).sum(1), np.exp(-x[:, 0])], 1)
    epochs = 3 if device == "cudasim" else 60
    history = net.fit(x, y, loss="mse", epochs=epochs, batch_size=16, optimizer=dna.SGD(0.02), progress=False)
    assert history.loss[-1] < 0.7 * history.loss[0]
    before = net.forward(x)
    assert net.extinction(dna.Extinction(split=1.0, delete=0.0, jitter=0.5)).n_born == 6
    np.testing.assert_allclose(net.forward(x), before, rtol=1e-5, atol=1e-5)
    net.save(tmp_path / "net.dna")
    assert (dna.load(tmp_path / "net.dna", device=device).forward(x) == net.forward(x)).all()
    KINDS._entries.pop("growth")
    with pytest.raises(dna.CheckpointError, match="unknown cell kind 'growth'"):
        dna.load(tmp_path / "net.dna", device=device)


def test_a_kind_without_a_split_can_die_but_not_split_by_it() -> None:
    dna.register_cell("growth", growth, growth_slopes)
    net = dna.Network([3, 2], cell="growth", device="cpu")
    with pytest.raises(dna.OptionError, match="'growth' has no function-preserving split; use rule='article'"):
        net.extinction()
    assert net.extinction(dna.Extinction(split=0.5, delete=0.2, rule="article")).n_born == 3


def test_a_split_that_does_not_compile_changes_nothing(device: str) -> None:
    if device == "cudasim":
        pytest.skip("the simulator compiles nothing")

    def broken(w: Any, b: Any, share: Any) -> Any:
        return w, b, w, float(eval("b"))  # runs as Python

    dna.register_cell("growth", growth, growth_slopes, broken)
    net = dna.Network([6, 2], cell="growth", device=device)
    with unchanged(net), pytest.raises(Exception):  # noqa: B017, PT011 (each target has an error of its own)
        net.extinction(dna.Extinction(split=0.2, delete=0.2))
    assert len(net.fossils) == 0


def test_a_replaced_kind_is_compiled_anew() -> None:
    """The cache must not serve the kernels of a function that had the same name."""
    x = batch(3, 2)
    dna.register_cell("growth", growth, growth_slopes)
    first = dna.Network([2, 1], cell="growth", device="cpu").forward(x)
    dna.register_cell("growth", lambda w, v, b: w * v * v, lambda w, v, b, i: (v * v, 2 * w * v, w - w), replace=True)
    second = dna.Network([2, 1], cell="growth", device="cpu").forward(x)
    np.testing.assert_allclose(first, np.exp(x).sum(1, keepdims=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, (x * x).sum(1, keepdims=True), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("tanh", growth, growth_slopes), "'tanh' is registered already; pass replace=True"),
        (("no identifier", growth, growth_slopes), "a name that is an identifier, got 'no identifier'"),
        (("growth", None, growth_slopes), "current of cell kind 'growth': expected a function, got NoneType"),
        (("growth", growth, 3), "slopes of cell kind 'growth': expected a function, got int"),
        (("growth", growth, growth_slopes, "half"), "split of cell kind 'growth': expected a function, got str"),
    ],
)
def test_bad_registrations_register_nothing(arguments: tuple[Any, ...], match: str) -> None:
    before = list(KINDS)
    with pytest.raises(dna.OptionError, match=match):
        dna.register_cell(*arguments)
    assert list(KINDS) == before


def test_a_passthrough_that_draws(device: str) -> None:
    """A control between chance and weight: the score is |w| times a random number."""

    def build(real: type) -> Any:
        def score(w: Any, b: Any, u: Any) -> Any:
            return abs(w) * u

        return score

    net = dag_network(device, seed=9)
    died = net.extinction(dna.Extinction(split=0.0, delete=0.5, passthrough=dna.Passthrough("lottery", build, draws=True))).died
    model = naive_copy(dag_network("cpu", seed=9))
    score = {cell.id: abs(cell.weight) * naive.uniform(9, 0, cell.id) for cell in model.cells()}
    _, dead = naive.select(model, naive.Rule(delete=0.5), score)
    assert set(died.tolist()) == dead
    assert net.fossils[0].options["deaths"][0]["passthrough"] == "lottery"


# --- losses and optimizers ----------------------------------------------------------------------------------------------


def build_absolute(real: type) -> Any:
    zero, one = real(0), real(1)

    def see(a: Any, b: Any, c: Any, d: Any, v: Any, t: Any) -> Any:
        return a + one, b, c, d

    def settle(a: Any, b: Any, c: Any, d: Any, n: Any) -> Any:
        return a / real(n), b, c, d

    def judge(a: Any, b: Any, c: Any, d: Any, v: Any, t: Any) -> Any:
        difference = v - t
        return a * abs(difference), a if difference > zero else -a, zero

    return dna.SampleMaths((zero, zero, zero, zero), see, settle, judge)


@dataclass(frozen=True)
class SignDescent(dna.Optimizer):
    """Every step is as long as the last: x -= lr * sign(g)."""

    lr: float
    name = "sign"

    @property
    def moments(self) -> int:
        return 0

    @staticmethod
    def update(real: type) -> Any:
        zero = real(0)

        def update(value: Any, gradient: Any, first: Any, second: Any, h: Any) -> Any:
            change = h[0] if gradient > zero else (-h[0] if gradient < zero else zero)
            return value - change, first, second

        return update

    def coefficients(self, step: int) -> tuple[float, ...]:
        return (self.lr,)


def test_a_loss_and_an_optimizer_of_the_users(device: str) -> None:
    loss = dna.Loss("absolute", build_absolute, labels=False, metric=None)
    net = dna.Network([3, 2], init="glorot", device=device, dtype="float64")
    x, y = batch(9, 3), batch(9, 2)
    before, w, b = net.forward(x), net.cells.weight, net.cells.bias
    history = net.fit(x, y, loss=loss, epochs=1, batch_size=9, optimizer=SignDescent(0.25), progress=False)
    assert history.loss == [pytest.approx(np.abs(before - y).sum(1).mean())]
    signs = np.sign(before - y) / 9
    np.testing.assert_allclose(net.cells.weight, w - 0.25 * np.sign(signs.T @ x).ravel(), rtol=1e-12)
    np.testing.assert_allclose(net.cells.bias, b + 0.25 * np.repeat(np.sign(signs.sum(0)), 3), rtol=1e-12)


def test_files_and_copies_know_kinds_and_optimizers_of_the_users_by_their_names(tmp_path: Path) -> None:
    kind = dna.CellKind("growth", lambda real: dna.CellMaths(growth, growth_slopes, growth_split))
    net = dna.Network([3, 2], cell=kind, init="glorot", device="cpu")
    net.fit(batch(9, 3), np.arange(9) % 2, epochs=1, optimizer=SignDescent(0.01), progress=False)
    net.save(tmp_path / "net.dna")
    for twin in (dna.load(tmp_path / "net.dna", device="cpu"), copy.deepcopy(net)):
        assert twin.optimizer == SignDescent(0.01)
        np.testing.assert_array_equal(twin.forward(batch(9, 3)), net.forward(batch(9, 3)))
    del KINDS._entries["growth"]
    with pytest.raises(dna.CheckpointError, match=r"unknown cell kind 'growth'.* has to be registered first"):
        dna.load(tmp_path / "net.dna", device="cpu")


def test_a_kind_may_be_written_anew_but_not_in_place_of_the_librarys() -> None:
    for name in ("mine", "relu"):
        build = KINDS["tanh"].build if name == "mine" else lambda real: dna.CellMaths(growth, growth_slopes, None)
        kind = dna.CellKind(name, build)
        if name == "mine":
            dna.Network([3, 2], cell=dna.CellKind(name, KINDS["relu"].build), device="cpu")
            assert dna.Network([3, 2], cell=kind, device="cpu").backend.maths.kind is KINDS["mine"] is kind
        else:
            with pytest.raises(dna.OptionError, match="'relu': expected another name"):
                dna.Network([3, 2], cell=kind, device="cpu")
    with pytest.raises(dna.OptionError, match="optimizer Other: expected another name than 'adam'"):
        type("Other", (dna.Optimizer,), {"name": "adam"})


@pytest.mark.parametrize(
    ("current", "slopes", "split", "message"),
    [
        (lambda w, v: w * v, growth_slopes, None, r"current of cell kind 'odd': expected 1 number of 3 arguments, got TypeError"),
        (
            lambda w, v, b: missing,  # type: ignore[name-defined]  # noqa: F821
            growth_slopes, None, "current of .*, got NameError: name 'missing' is not defined",
        ),
        (lambda w, v, b: (w, v), growth_slopes, None, "current of .* expected 1 number of 3 arguments, got \\("),
        (growth, lambda w, v, b, i: (w, v), None, "slopes of .* expected 3 numbers of 4 arguments, got \\("),
        (growth, growth_slopes, lambda w, b, share: (w, b), "split of .* expected 4 numbers of 3 arguments, got \\("),
    ],
)
def test_functions_that_do_not_work_are_refused_before_any_compiler(current: Any, slopes: Any, split: Any, message: str) -> None:
    with pytest.raises(dna.OptionError, match=message):
        dna.register_cell("odd", current, slopes, split)
    assert "odd" not in KINDS
    with pytest.raises(dna.OptionError, match=message):
        dna.Network([3, 2], cell=dna.CellKind("odd", lambda real: dna.CellMaths(current, slopes, split)), device="cpu")


def test_a_function_may_have_a_domain() -> None:
    slopes = lambda w, v, b, i: (v / (2 * i), w / (2 * i), -1 / (2 * i))  # noqa: E731
    dna.register_cell("root", lambda w, v, b: math.sqrt(w * v - b - 5), slopes)
    assert "root" in KINDS
