"""The peers: what a user would take instead. Dense masks and plain dense in torch, cuSPARSE through torch and CuPy, a gather.

A peer computes what our phase computes on the same numbers: forward gives the outputs; backward gives dL/dw and dL/db of
every cell, and dL/dV of the inputs. Matrices hold a column a sample, as our potentials do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from gpu.session import Session

Forward = Callable[[], Any]  # -> (n_out, batch)
Backward = Callable[[], tuple[Any, Any, Any]]  # -> dw (n_cells,) in CSR order or None, db likewise, dV (n_in, batch)


class Problem(NamedTuple):
    """One level of cells in CSR, rows being outputs, with a batch and a gradient; on the host."""

    start: np.ndarray  # (n_out + 1,)
    source: np.ndarray  # (n_cells,)
    weight: np.ndarray
    bias: np.ndarray
    v: np.ndarray  # (n_in, batch)
    g: np.ndarray  # (n_out, batch)

    @property
    def target(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.g)), np.diff(self.start))


class Peer(NamedTuple):
    """A way to compute it; `pick` takes the cells' gradients in CSR order out of what backward returns."""

    name: str
    forward: Forward
    backward: Backward
    pick: Callable[[Any], Any]


def open_torch(session: Session) -> tuple[Any, str]:
    """Return torch and the name of its device, without tf32; None where torch or its CUDA is missing."""
    warnings.filterwarnings("ignore", message="Sparse ")
    try:
        import torch
    except Exception:  # missing or broken
        return None, ""
    if session.simulated:
        return torch, "cpu"
    if not torch.cuda.is_available():
        return None, ""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.cuda.set_device(session.device)
    return torch, session.device


def linear_peers(session: Session, problem: Problem, most_bytes: int) -> Iterator[Callable[[], Peer]]:
    """Yield builders of the peers for linear cells, I = w*V - b; each allocates, so build one at a time."""
    torch, device = open_torch(session)
    dense = 4 * len(problem.v) * len(problem.g)
    if torch is not None:
        if 4 * dense < most_bytes:
            full = len(problem.weight) == len(problem.v) * len(problem.g)
            yield lambda: _torch_dense(torch, device, problem, masked=False, tf32=False)
            if not full:
                yield lambda: _torch_dense(torch, device, problem, masked=True, tf32=False)
            yield lambda: _torch_dense(torch, device, problem, masked=not full, tf32=True)
        yield lambda: _torch_csr(torch, device, problem)
    yield lambda: _cupy_csr(problem)


def relu_peers(session: Session, problem: Problem, most_bytes: int) -> Iterator[Callable[[], Peer]]:
    """Yield builders of the peers for ReLU cells, I = max(w*V - b, 0), which no matrix product computes."""
    torch, device = open_torch(session)
    if torch is not None and 4 * 6 * len(problem.weight) * problem.v.shape[1] < most_bytes:
        yield lambda: _torch_gather(torch, device, problem)


def _torch_dense(torch: Any, device: str, problem: Problem, *, masked: bool, tf32: bool) -> Peer:
    shape = len(problem.g), len(problem.v)
    matrix, mask = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    matrix[problem.target, problem.source] = problem.weight
    mask[problem.target, problem.source] = 1
    w, m, v, g, shift = (torch.as_tensor(a, device=device) for a in (matrix, mask, problem.v, problem.g, _shift(problem)))
    at = torch.as_tensor(problem.target, device=device), torch.as_tensor(problem.source, device=device).long()

    def with_tf32(function: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            torch.backends.cuda.matmul.allow_tf32 = tf32
            result = function()
            torch.backends.cuda.matmul.allow_tf32 = False
            return result

        return run

    def forward() -> Any:
        return torch.addmm(shift, w * m if masked else w, v, beta=-1)

    def backward() -> tuple[Any, Any, Any]:
        dw = g @ v.T
        return dw * m if masked else dw, -g.sum(1), (w * m if masked else w).T @ g

    name = f"torch dense{' with a mask' if masked else ''}{', tf32' if tf32 else ''}"
    return Peer(name, with_tf32(forward), with_tf32(backward), lambda dw: dw[at])


def _torch_csr(torch: Any, device: str, problem: Problem) -> Peer:
    shape = len(problem.g), len(problem.v)
    start, source = (torch.as_tensor(a.astype(np.int32), device=device) for a in (problem.start, problem.source))
    w, v, g, shift = (torch.as_tensor(a, device=device) for a in (problem.weight, problem.v, problem.g, _shift(problem)))
    a = torch.sparse_csr_tensor(start, source, w, shape)
    back = np.argsort(problem.source, kind="stable")
    back_start = np.r_[0, np.cumsum(np.bincount(problem.source, minlength=shape[1]))].astype(np.int32)
    columns = (back_start, problem.target[back].astype(np.int32), problem.weight[back])
    a_back = torch.sparse_csr_tensor(*(torch.as_tensor(c, device=device) for c in columns), shape[::-1])
    vt = v.T.contiguous()

    def forward() -> Any:
        return a @ v - shift

    def backward() -> tuple[Any, Any, Any]:
        return torch.sparse.sampled_addmm(a, g, vt, beta=0.0).values(), -g.sum(1), a_back @ g

    return Peer("torch CSR (cuSPARSE)", forward, backward, lambda dw: dw)


def _cupy_csr(problem: Problem) -> Peer:
    import cupy
    from cupyx.scipy.sparse import csr_matrix

    w, v, g, shift = (cupy.asarray(a) for a in (problem.weight, problem.v, problem.g, _shift(problem)))
    v, g = cupy.asfortranarray(v), cupy.asfortranarray(g)
    places = cupy.asarray(problem.source.astype(np.int32)), cupy.asarray(problem.start.astype(np.int32))
    a = csr_matrix((w, *places), shape=(len(problem.g), len(problem.v)))
    a_back = a.T.tocsr()


    def backward() -> tuple[Any, Any, Any]:
        return None, -g.sum(1), a_back @ g

    return Peer("CuPy CSR (cuSPARSE), backward without dw", lambda: a @ v - shift, backward, lambda dw: dw)


def _torch_gather(torch: Any, device: str, problem: Problem) -> Peer:
    source, target = (torch.as_tensor(a, device=device).long() for a in (problem.source, problem.target))
    w, b, v = (torch.as_tensor(a, device=device).requires_grad_() for a in (problem.weight, problem.bias, problem.v))
    g = torch.as_tensor(problem.g, device=device)

    def outputs() -> Any:
        currents = torch.relu(w[:, None] * v[source] - b[:, None])
        return torch.zeros_like(g).index_add(0, target, currents)

    def forward() -> Any:
        with torch.no_grad():
            return outputs()

    kept = outputs()

    def backward() -> tuple[Any, Any, Any]:
        return torch.autograd.grad(kept, (w, b, v), g, retain_graph=True)

    return Peer("torch gather and index_add", forward, backward, lambda dw: dw)


def _shift(problem: Problem) -> np.ndarray:
    """Return the sum of each output's biases, (n_out, 1): for linear cells all that they do."""
    return np.bincount(problem.target, problem.bias, len(problem.g)).astype(np.float32)[:, None]


def to_host(array: Any) -> np.ndarray:
    """Return torch's or CuPy's array as NumPy's."""
    if hasattr(array, "detach"):
        return np.asarray(array.detach().cpu())
    return np.asarray(array.get() if hasattr(array, "get") else array)
