"""A program: processes that save without end are killed (-9) at random moments; whatever they leave must be whole.

    python killed.py KILLS SEED FOLDER

Each child saves checkpoints of two states by turns, as a fit does, and says when it begins a save; it is killed within one of the
next, after a part of the time that a save takes, however busy the machine is. It is forked from this light process, so that
hundreds of kills take seconds. Prints, as JSON, how many temporaries the kills left, and how many times each state was found.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import numpy as np
from conftest import build_state  # type: ignore[attr-defined]  # the one beside this file

from dna.checkpoint import LATEST, Checkpoints, State, read_state, write_state
from dna.checkpoint.state import FOSSILS
from dna.training import Epoch

CELLS = 1000
MOST_SAVES = 6  # that a child begins before it is killed


def large_state(epoch: int) -> State:
    """Return a state with many cells, so that a save is not over at once."""
    small = build_state()
    arrays = {name: np.zeros((*array.shape[:-1], CELLS), array.dtype) for name, array in small.arrays.items() if "cells." in name}
    arrays["cells.id"] = np.arange(CELLS)
    arrays["cells.parent"] = np.full(CELLS, -1)
    arrays["cells.target"] += 5
    arrays["cells.weight"] += epoch
    others = {name: array for name, array in small.arrays.items() if name.startswith("nodes.")}
    others |= {name: small.arrays[name][:0] for name in FOSSILS}
    nothing = {"steps": 0, "counts": {}}
    meta = small.meta | {"statistics": nothing, "fossils": [], "capacity": CELLS, "next_id": CELLS, "epoch": epoch}
    return State(meta, arrays | others | {"heap.free": np.empty(0, np.int32)})


class Saved:
    """What `Checkpoints` needs of a network."""

    standing, trained, engine = None, 0, SimpleNamespace(moves=0)

    def __init__(self, states: tuple[State, State], told: int) -> None:
        self.states, self.epoch, self.told = states, 0, told

    def save(self, path: Path) -> None:
        os.write(self.told, b".")
        write_state(path, self.states[self.epoch % 2])


def save_until_killed(folder: Path, states: tuple[State, State], epoch: int, told: int) -> NoReturn:
    network, checkpoints = Saved(states, told), Checkpoints(folder, keep=2)
    while True:
        epoch += 1
        network.epoch = epoch
        checkpoints.on_epoch(network, Epoch(epoch, 0.0, None, None, None, CELLS, 0.0))


def wait_until_it_saves(told: int, draw: random.Random) -> None:
    """Wait for a few saves to begin, and then for a part of the time that the last one took."""
    times = [time.perf_counter()]
    for _ in range(draw.randint(2, MOST_SAVES)):
        os.read(told, 1)
        times.append(time.perf_counter())
    time.sleep(draw.uniform(0, 1.2) * (times[-1] - times[-2]))


def main(kills: int, seed: int, folder: Path) -> None:
    draw, states = random.Random(seed), (large_state(0), large_state(1))
    contents = []
    for state in states:
        write_state(folder / LATEST, state)
        contents.append((folder / LATEST).read_bytes())
    found, left, newest = [0, 0], 0, 0
    for kill in range(kills):
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            save_until_killed(folder, states, newest, tell)
        wait_until_it_saves(told, draw)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told), os.close(tell)
        found[contents.index((folder / LATEST).read_bytes())] += 1  # ValueError: torn
        names = os.listdir(folder)
        left += any(name.endswith(".dna-tmp") for name in names)
        numbered = sorted(name for name in names if name.startswith("epoch-"))
        newest = max((int(name[6:12]) for name in numbered), default=0)
        assert all((folder / name).read_bytes() in contents for name in numbered), "torn"
        if kill % 20 == 0:
            read_state(folder / LATEST)
    write_state(folder / LATEST, states[0])
    assert not [name for name in os.listdir(folder) if name.endswith(".dna-tmp")], "the next save sweeps"
    print(json.dumps({"kills": kills, "found": found, "temporaries": left, "checkpoints": newest}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
