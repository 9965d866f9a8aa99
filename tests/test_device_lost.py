"""A device that fails or runs out of memory under a network: typed errors, and the last state on the host goes on elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import batch, snapshot

import dna
from dna.saved import HostCopy

X = batch(20, 4)
Y = X[:, :2].argmax(1)


class CudaAPIError(Exception):
    """As the driver's bindings raise it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code


class CUDAError(Exception):
    """As `cuda.core` raises it, by which kernels are launched: without a code."""


def network(monkeypatch: pytest.MonkeyPatch) -> dna.Network:
    """A network that takes the CPU for a GPU, so that it keeps copies on the host."""
    monkeypatch.setattr(HostCopy, "SHARE", 1.0)
    net = dna.Network([4, 3, 2], device="cpu", seed=1)
    net.backend.device = "cuda:0"
    return net


def fit(net: dna.Network, epochs: int) -> dna.History:
    rule = dna.Extinction(every=1, patience=0, min_delta=10.0)
    return net.fit(X, Y, epochs=epochs, batch_size=5, optimizer=dna.Adam(0.01), extinction=rule, progress=False)


def fail(net: dna.Network, method: str, nth: int, code: int) -> None:
    real: Callable[..., Any] = getattr(net.backend, method)
    calls = 0

    def failing(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= nth:
            raise CudaAPIError(code, "Call to cuLaunchKernel results in an error")
        return real(*arguments, **options)

    setattr(net.backend, method, failing)


def bits(net: dna.Network) -> dict[str, Any]:
    return snapshot(net) | {"history": None}


def test_a_lost_device_leaves_the_last_state_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    net, whole = network(monkeypatch), dna.Network([4, 3, 2], device="cpu", seed=1)
    fit(whole, 5)
    monkeypatch.setattr(HostCopy, "SHARE", np.inf)  # after every epoch
    fail(net, "backward", nth=4 * 2 + 3, code=719)
    with pytest.raises(dna.DeviceLost, match="the device failed under the network, and its last state on the host") as caught:
        fit(net, 5)
    assert isinstance(caught.value.__cause__, CudaAPIError) and isinstance(caught.value, dna.DeviceError)
    later = dna.load(caught.value.snapshot, device="cpu")
    assert later.epoch == 2 and len(later.fossils) == 1
    fit(later, 5 - later.epoch)
    assert bits(later) == bits(whole)


@pytest.mark.parametrize("method", ["load_rows", "forward", "loss", "apply", "claim", "score"])
def test_wherever_it_fails(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(monkeypatch)
    fail(net, method, nth=1, code=700)
    with pytest.raises(dna.DeviceLost) as caught:
        fit(net, 3)
    assert dna.load(caught.value.snapshot, device="cpu").epoch < 3


@pytest.mark.parametrize("call", [lambda net: net.forward(X), lambda net: net.cells, lambda net: net.extinction()])
def test_a_network_that_was_never_trained_has_no_state_on_the_host(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(monkeypatch)
    for method in ("forward", "download", "score"):
        fail(net, method, nth=1, code=999)
    with pytest.raises(dna.DeviceLost, match="no state of it is on the host") as caught:
        call(net)
    assert caught.value.snapshot is None


def test_a_device_without_memory_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(monkeypatch)
    fit(net, 1)
    before, real = bits(net), net.backend.take_cells
    fail(net, "take_cells", nth=1, code=2)
    with pytest.raises(dna.DeviceOutOfMemory, match="the device is out of memory") as caught:
        net.extinction()
    assert isinstance(caught.value, MemoryError)
    net.backend.take_cells = real  # type: ignore[method-assign]
    assert bits(net) == before
    net.extinction()


def builders(folder: Path, device: str) -> dict[str, Callable[[], dna.Network]]:
    net = dna.Network([4, 3, 2], device=device, seed=1)
    graph = net.graph()
    net.save(folder / "net.dna")
    return {
        "layers": lambda: dna.Network([4, 3, 2], device=device, seed=1),
        "graph": lambda: dna.Network.from_networkx(graph, device=device),
        "file": lambda: dna.load(folder / "net.dna", device=device),
    }


ALLOCATING = {"new_pool": 1, "zeros": 3, "upload": 9, "write": 3}
"""How many of its first calls are made to fail, one at a time."""


@pytest.mark.parametrize("name", ["layers", "graph", "file"])
@pytest.mark.parametrize("method", ALLOCATING)
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (CudaAPIError(2, "Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"), dna.DeviceOutOfMemory),
        (CudaAPIError(719, "Call to cuMemcpyHtoD results in CUDA_ERROR_LAUNCH_FAILED"), dna.DeviceLost),
        (MemoryError("Unable to allocate"), MemoryError),
    ],
    ids=["device", "lost", "host"],
)
def test_a_network_that_finds_no_memory_is_not_built(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, method: str, raised: Exception, expected: Any
) -> None:
    """At whichever allocation it fails; the next one, with memory again, is the network that was asked for."""
    build = builders(tmp_path, device)[name]
    first = build()
    wanted, backend = bits(first), type(first.backend)
    real = getattr(backend, method)
    for nth in range(1, ALLOCATING[method] + 1):
        made = 0

        def failing(*arguments: Any, nth: int = nth, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == nth:
                raise raised
            return real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(backend, method, failing)
            refused = (expected, dna.CheckpointError) if expected is MemoryError and name == "file" else expected
            with pytest.raises(refused):
                build()
        assert bits(build()) == wanted


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("CUDA_ERROR_ILLEGAL_ADDRESS: While executing a kernel, the device encountered a load or store", dna.DeviceLost),
        ("CUDA_ERROR_OUT_OF_MEMORY: The API call failed because it was unable to allocate", dna.DeviceOutOfMemory),
    ],
)
def test_a_launch_that_fails_is_explained_too(monkeypatch: pytest.MonkeyPatch, said: str, expected: Any) -> None:
    net = network(monkeypatch)

    def launch(*arguments: Any) -> None:
        raise CUDAError(said)

    monkeypatch.setattr(net.backend, "forward", launch)
    with pytest.raises(expected, match=said.partition(":")[0]):
        net.forward(X)


def test_errors_of_others_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(monkeypatch)
    monkeypatch.setattr(net.backend, "forward", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        net.forward(X)


def test_copies_take_a_share_of_the_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(monkeypatch)
    monkeypatch.setattr(HostCopy, "SHARE", 1e-9)
    fit(net, 3)
    assert net.host_copy.state is not None and net.host_copy.state.meta["epoch"] == 0
    at_home = dna.Network([4, 2], device="cpu")
    fit(at_home, 1)
    assert at_home.host_copy.state is None, "what lives on the host needs no copy there"
