"""Hostile models: damaged bytes, and forgeries whose checksums are right."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import networkx as nx
import numpy as np

import dna
from benchmarks.fuzz.mutation import NUMBERS, damage, spoil
from dna import saved
from dna.assembly import assemble_saved
from dna.checkpoint import State, container, validate_state
from dna.checkpoint.meta import META
from dna.errors import CheckpointError

REGION = re.compile(r"expected a dna model|(header|format|format version|meta|arrays|cells|heap|nodes|fossils)\b|[^:]{0,200}: ")
"""What each refusal begins with."""

DTYPES = ("int8", "int32", "int64", "float32", "float64", "uint64", "bool")


@cache
def originals() -> tuple[State, ...]:
    """Return states of networks that have lived: levels, parallel cells, free slots, an extinction, optimizer state."""
    graph = nx.MultiDiGraph(["ah", "bh", "bh", "hy", "ay", "by"])
    first = dna.Network.from_networkx(graph, cell="tanh", device="cpu", dtype="float64", deterministic=True)
    second = dna.Network([3, 2], device="cpu", capacity=20, input_shape=(1, 3))
    third = dna.Network([2, 3, 2], cell="relu", device="cpu")
    states = []
    for net in (first, second, third):
        x = np.random.default_rng(0).normal(size=(4, net.n_in))
        y = np.zeros((4, net.n_out))
        rule = dna.Extinction(split=0.4, delete=0.3, every=1, patience=0, min_delta=9.0)
        net.fit(x, y, epochs=3, loss="mse", optimizer=dna.Adam(0.01), extinction=rule, progress=False)
        states.append(saved.to_state(net))
    return (*states, saved.to_state(dna.Network([2, 2], device="cpu")))


@cache
def files() -> tuple[bytes, ...]:
    return tuple(encode(state) for state in originals())


def encode(state: State) -> bytes:
    """Return a file with right checksums, whatever the state holds."""
    header, body = container._encode(state)
    return header + body


def make(draw: Random) -> bytes:
    """Return one hostile file."""
    kind = draw.random()
    number = draw.randrange(len(originals()))
    if kind < 0.4:
        return damage(files()[number], draw)
    if kind < 0.55:
        return forge_header(files()[number], draw)
    return forge_state(originals()[number], draw)


def forge_header(content: bytes, draw: Random) -> bytes:
    """Spoil the table of arrays (names, dtypes, shapes, offsets) or the text beside it, and seal the header anew."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    text = json.loads(header["__metadata__"]["dna"])
    if draw.random() < 0.7:
        name = draw.choice(list(header))
        header[name] = spoil(header[name], draw) if name != "__metadata__" else header[name]
    else:
        text = spoil(text, draw)
    if isinstance(text, dict) and "header" in text:
        text["header"] = container._BLANK
    header["__metadata__"] = {"dna": json.dumps(text, separators=(",", ":"))}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    sealed = len(encoded).to_bytes(8, "little") + encoded
    if container._DIGEST in sealed:
        sealed = container._seal(sealed)
    return sealed + content[end:]


def forge_state(state: State, draw: Random) -> bytes:
    """Spoil values, arrays or both, and write the file as an honest program would."""
    meta, arrays = state.meta, dict(state.arrays)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        if draw.random() < 0.5:
            meta = spoil(meta, draw)
        else:
            _spoil_array(arrays, draw)
    try:
        return encode(State(meta, arrays))
    except CheckpointError:  # values that JSON does not have
        return b""


def _spoil_array(arrays: dict[str, np.ndarray], draw: Random) -> None:
    name = draw.choice(list(arrays))
    array = arrays[name].copy()
    action = draw.random()
    if action < 0.7 and array.size:
        with np.errstate(all="ignore"):
            array.reshape(-1)[draw.randrange(array.size)] = _hostile_number(array.dtype, draw)
        arrays[name] = array
    elif action < 0.78:
        arrays[name] = array[..., : draw.randrange(array.shape[-1] + 1)]
    elif action < 0.84:
        arrays[name] = np.concatenate([array, array], axis=-1)
    elif action < 0.9:
        arrays[name] = array.astype(draw.choice(DTYPES), casting="unsafe")
    elif action < 0.95:
        del arrays[name]
    else:
        shape = draw.choice(((-1,), (1, -1), (-1, 1)))
        arrays[draw.choice(("cells.x", "fossils.9.born", "", "cells.state", name))] = array.reshape(shape)


def _hostile_number(dtype: np.dtype[Any], draw: Random) -> Any:
    if dtype.kind == "f":
        return np.array(draw.choice((0.0, 1.5, np.nan, np.inf, 1e300))).astype(dtype)
    number = draw.choice((*NUMBERS, *range(-3, 12)))
    return np.array(number if number < 0 else number % 2**63).astype(dtype)


def _require_region(refusal: str) -> None:
    assert REGION.match(refusal), f"a refusal without a region: {refusal}"


def attempt(content: bytes) -> str:
    """Read a file; return how it was refused, or that it was read and is a network that works.

    Raises
    ------
    AssertionError
        It was refused without a region, or what was read is no network that works.
    """
    try:
        state = container._decode(content)
        validate_state(state)
    except CheckpointError as error:
        _require_region(str(error))
        return "refused"
    return _live(state)


def _live(state: State) -> str:
    """Build, run, train and save what passed."""
    try:
        net = dna.Network._from(assemble_saved(state, "cpu"), state.meta["deterministic"])
    except CheckpointError as error:
        _require_region(str(error))
        return "refused"
    saved.restore(net, state)
    again = saved.to_state(net)
    kept = {key: value for key, value in state.meta.items() if key in META} | {"dna_version": again.meta["dna_version"]}
    if kept["optimizer"] is not None:  # options that the file leaves out have their defaults
        kept["optimizer"] |= {"options": again.meta["optimizer"]["options"] | kept["optimizer"]["options"]}
    assert again.meta == kept, "what was read is saved as it was"
    assert again.arrays.keys() == state.arrays.keys()
    assert all(again.arrays[name].tobytes() == state.arrays[name].tobytes() for name in again.arrays)
    with np.errstate(all="ignore"):
        net.forward(np.ones((2, net.n_in)))
        net.backward(np.ones((2, net.n_out)))
    return "read"


def attempt_on_disk(content: bytes) -> str:
    """As `attempt`, by the public way."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "hostile.dna"
        path.write_bytes(content)
        try:
            dna.load(path, device="cpu")
        except CheckpointError as error:
            _require_region(str(error).removeprefix(f"{path}: "))
            return "refused"
        return "read"
