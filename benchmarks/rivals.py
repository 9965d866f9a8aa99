"""What a level of cells can be computed with today: each rival does the same forward and backward on the same arrays.

A rival is built from a pattern of cells and one batch. `forward()` gives (batch, n_out); `backward()` gives the gradients of the
weights, one a cell, and of the inputs. What can be prepared once for a fixed pattern is prepared outside the calls.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch

import dna

warnings.filterwarnings("ignore", "Sparse", UserWarning)  # PyTorch says that its sparse tensors are young

MOST_CURRENTS = 1.1e8
"""Currents of a batch that a rival which keeps all of them may have: 0.4 GB in float32, several times."""


@dataclass(frozen=True)
class Work:
    """A level of cells and one batch."""

    kind: str  # linear or relu
    source: np.ndarray  # (n_cells,)
    target: np.ndarray  # (n_cells,), from 0
    weight: np.ndarray  # (n_cells,)
    bias: np.ndarray  # (n_cells,)
    x: np.ndarray  # (batch, n_in)
    gy: np.ndarray  # (batch, n_out)

    @property
    def n_out(self) -> int:
        return self.gy.shape[1]

    @property
    def currents(self) -> float:
        return float(len(self.x)) * len(self.source)

    def matrix(self, values: np.ndarray) -> np.ndarray:
        """Return (n_out, n_in) with one value a cell."""
        dense = np.zeros((self.n_out, self.x.shape[1]), np.float32)
        dense[self.target, self.source] = values
        return dense

    def thresholds(self) -> np.ndarray:
        """Return the sum of the biases of each target."""
        return np.bincount(self.target, self.bias, self.n_out).astype(np.float32)


def draw_work(kind: str, n_in: int, n_out: int, density: float, batch: int) -> tuple[dna.Network, Work]:
    """Return a network of one level, and the same as arrays; no pair of nodes has two cells."""
    rng = np.random.default_rng(0)
    net = dna.Network([n_in, n_out], cell=kind, init="he", density=density, device="cpu")
    columns = net.engine.pool.cells
    columns.bias[:] = 0.1 * rng.standard_normal(len(columns.bias))
    cells = net.cells
    x, gy = rng.random((batch, n_in), dtype=np.float32), rng.standard_normal((batch, n_out), dtype=np.float32)
    return net, Work(kind, cells.source, cells.target - n_in, cells.weight, cells.bias, x, gy)


class Dna:
    """The public calls, checks and layout included."""

    def __init__(self, work: Work, net: dna.Network) -> None:
        self.net, self.x, self.gy = net, work.x, work.gy

    def forward(self) -> np.ndarray:
        return self.net.forward(self.x)

    def backward(self) -> tuple[np.ndarray, np.ndarray]:
        gx = self.net.backward(self.gy)
        return self.net.engine.pool.cells.weight_grad, gx


class ScipyCsr:
    def __init__(self, work: Work) -> None:
        self.work, self.b = work, work.thresholds()
        shape = work.n_out, work.x.shape[1]
        self.w = scipy.sparse.csr_matrix((work.weight, (work.target, work.source)), shape)
        self.wt = self.w.T.tocsr()

    def forward(self) -> np.ndarray:
        return (self.w @ self.work.x.T).T - self.b

    def backward(self) -> tuple[np.ndarray, np.ndarray]:
        work = self.work
        dw = np.zeros(len(work.source), np.float32)
        for sample, g in zip(work.x, work.gy, strict=True):  # scipy has no product that is sampled at a pattern
            dw += g[work.target] * sample[work.source]
        return dw, (self.wt @ work.gy.T).T


class TorchCsr:
    """PyTorch's CSR, which is MKL's where PyTorch was built with it."""

    def __init__(self, work: Work) -> None:
        self.b = torch.tensor(work.thresholds())
        self.x, self.gy = torch.tensor(work.x), torch.tensor(work.gy)
        shape = work.n_out, work.x.shape[1]
        csr = scipy.sparse.csr_matrix((work.weight, (work.target, work.source)), shape)
        self.w, self.wt = self._tensor(csr), self._tensor(csr.T.tocsr())
        self.pattern = self._tensor(csr * 0)
        self.pattern = torch.sparse_csr_tensor(self.w.crow_indices(), self.w.col_indices(), torch.zeros(csr.nnz), shape)

    @staticmethod
    def _tensor(csr: Any) -> torch.Tensor:
        return torch.sparse_csr_tensor(torch.tensor(csr.indptr), torch.tensor(csr.indices), torch.tensor(csr.data), csr.shape)

    def forward(self) -> np.ndarray:
        return ((self.w @ self.x.T).T - self.b).numpy()

    def backward(self) -> tuple[np.ndarray, np.ndarray]:
        dw = torch.sparse.sampled_addmm(self.pattern, self.gy.T, self.x, beta=0.0)
        return dw.values().numpy(), (self.wt @ self.gy.T).T.numpy()


class _Autograd:
    """Forward keeps what backward needs, as in training."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.x, self.gy = torch.tensor(work.x, requires_grad=True), torch.tensor(work.gy)

    def output(self) -> torch.Tensor:
        raise NotImplementedError

    def weight(self) -> torch.Tensor:
        raise NotImplementedError

    def cell_gradients(self, dw: torch.Tensor) -> np.ndarray:
        return dw.numpy()

    def forward(self) -> np.ndarray:
        self.y = self.output()
        return self.y.detach().numpy()

    def backward(self) -> tuple[np.ndarray, np.ndarray]:
        dw, gx = torch.autograd.grad(self.y, [self.weight(), self.x], self.gy, retain_graph=True)
        return self.cell_gradients(dw), gx.numpy()


class TorchDense(_Autograd):
    """A dense layer of the same size, absent cells computed like others."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.w, self.b = torch.tensor(work.matrix(work.weight), requires_grad=True), -torch.tensor(work.thresholds())

    def weight(self) -> torch.Tensor:
        return self.w

    def output(self) -> torch.Tensor:
        return torch.nn.functional.linear(self.x, self.w, self.b)

    def cell_gradients(self, dw: torch.Tensor) -> np.ndarray:
        return dw.numpy()  # dense, as the layer's optimizer would take it


class TorchMask(TorchDense):
    """A dense layer times a mask: what the field does."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.mask = torch.tensor(work.matrix(np.ones_like(work.weight)))

    def output(self) -> torch.Tensor:
        return torch.nn.functional.linear(self.x, self.w * self.mask, self.b)


class TorchGather(_Autograd):
    """One current a cell and sample, summed by target: the only one here that does cells of any kind."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.w, self.b = torch.tensor(work.weight, requires_grad=True), torch.tensor(work.bias)
        self.source, self.target = torch.tensor(work.source).long(), torch.tensor(work.target).long()

    def weight(self) -> torch.Tensor:
        return self.w

    def output(self) -> torch.Tensor:
        current = self.x[:, self.source] * self.w - self.b
        if self.work.kind == "relu":
            current = torch.relu(current)
        return torch.zeros(len(self.x), self.work.n_out).index_add(1, self.target, current)


class Sparseprop(_Autograd):
    def __init__(self, work: Work) -> None:
        from sparseprop.modules import SparseLinear

        super().__init__(work)
        bias = torch.nn.Parameter(-torch.tensor(work.thresholds()))
        self.layer = SparseLinear(torch.tensor(work.matrix(work.weight)), bias)

    def weight(self) -> torch.Tensor:
        return self.layer.W_val

    def output(self) -> torch.Tensor:
        return self.layer(self.x)


class FastKan(_Autograd):
    """A function of eight Gaussian bases on every edge, always dense (Li 2024): more work an edge, and another function."""

    BASES = 8

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        generator = torch.Generator().manual_seed(0)
        self.grid = torch.linspace(0, 1, self.BASES)
        self.w = torch.randn(work.n_out, work.x.shape[1] * self.BASES, generator=generator, requires_grad=True)

    def weight(self) -> torch.Tensor:
        return self.w

    def output(self) -> torch.Tensor:
        bases = torch.exp(-(((self.x[:, :, None] - self.grid) * (self.BASES - 1)) ** 2))
        return torch.nn.functional.linear(bases.flatten(1), self.w)


def rivals_for(work: Work) -> dict[str, Any]:
    """Return those that can do this work; which are left out for want of memory or a package is for the caller to say."""
    found: dict[str, Any] = {}
    if work.kind == "linear":
        found |= {"torch dense": TorchDense(work), "torch mask": TorchMask(work)}
        found |= {"scipy CSR": ScipyCsr(work), "torch CSR": TorchCsr(work)}
        try:
            found["sparseprop"] = Sparseprop(work)
        except ImportError:
            print("  sparseprop is not installed (it builds a C++ extension): left out")
    if work.currents <= MOST_CURRENTS:
        found["torch gather"] = TorchGather(work)
    if work.kind == "relu" and len(work.source) == work.n_out * work.x.shape[1]:
        found["FastKAN"] = FastKan(work)
    return found
