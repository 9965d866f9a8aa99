"""Run under compute-sanitizer, `python sanitized.py life|beside|race DEVICE`: a life, or a kernel that is wrong on purpose."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import dna
from dna.cuda.device import BLOCK, cuda, kernel, launch
from dna.cuda.memory import download, upload


def life(device: str, layers: tuple[int, int, int] = (40, 30, 10), samples: int = 70) -> None:
    """Train, split, delete, regrow, and look, by both plans."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(samples, layers[0])), rng.integers(0, layers[2], samples)
    net = dna.Network(layers, cell="relu", density=0.5, device=device, seed=1)
    deaths = dna.Delete(share=0.2, passthrough="current")
    for births in (dna.Split(share=0.2), dna.Regrow(share="died", by="gradient")):
        rule = dna.Extinction(births=births, deaths=deaths, when=dna.Every(epochs=1))
        net.fit(x, y, epochs=2, batch_size=samples // 2, optimizer=dna.Adam(0.01), extinction=rule, progress=False)
    assert len(net.fossils) > 1
    net.compile(plan="scatter")
    net.backward(net.forward(x))
    net.predict(x)


def beside(device: str) -> None:
    """Write far beyond the end of an array."""

    @kernel
    def write(out: Any) -> None:
        out[cuda.grid(1) + (1 << 20)] = 1

    out = upload(np.zeros(BLOCK, np.int32))
    launch(write, 1, BLOCK, out)
    download(out)


def race(device: str) -> None:
    """Read what another warp writes, without waiting for it."""

    @kernel
    def turn_round(out: Any) -> None:
        shared = cuda.shared.array(BLOCK, np.int32)
        i = cuda.threadIdx.x
        shared[i] = i
        out[i] = shared[BLOCK - 1 - i]

    out = upload(np.zeros(BLOCK, np.int32))
    launch(turn_round, 1, BLOCK, out)
    download(out)


if __name__ == "__main__":
    {"life": life, "beside": beside, "race": race}[sys.argv[1]](sys.argv[2])
