"""The JSON values of a state, each by its own: types, ranges, names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from dna.cells import ACTIVATIONS, KINDS
from dna.checkpoint.expect import expect
from dna.errors import CheckpointError, OptionError
from dna.registry import Registry
from dna.rules import STATISTICS
from dna.types import REALS

PLANS = ("auto", "gather", "scatter", "dense")

_WORD = 2**32
_LONG = 2**128
_MAX_SLOTS = 2**31  # slots are int32
_MAX_ID = 2**63
_MAX_NEXT_ID = 2**62  # ids go on from there
_MAX_ROWS = 64  # of optimizer state; those of today keep four at most


def check_meta(meta: dict[str, Any]) -> None:
    """Check all JSON values that do not need the arrays.

    Raises
    ------
    CheckpointError
        A value is missing or cannot be; the message names it.
    """
    expect(isinstance(meta, dict), "meta", "an object", meta)
    for key, (expected, holds) in META.items():
        expect(key in meta, f"meta.{key}", expected, "nothing")
        expect(holds(meta[key]), f"meta.{key}", expected, meta[key])
    _check_name("meta.kind", KINDS, meta["kind"], "; a kind of your own has to be registered first, see dna.register_cell")
    for level, name in enumerate(meta["activations"]):
        _check_name(f"meta.activations[{level}]", ACTIVATIONS, name)
    _check_optimizer(meta["optimizer"])
    allowed = not (meta["deterministic"] and meta["plan"] == "scatter")
    expect(allowed, "meta.plan", "another than 'scatter' for a deterministic network", repr(meta["plan"]))


def optimizer_rows(optimizer: dict[str, Any] | None) -> int:
    """Return how many rows of state an optimizer keeps for a cell: its moments, of the weight and of the bias."""
    from dna.training.optimizers import find_optimizer

    return 0 if optimizer is None else 2 * find_optimizer(optimizer["name"], **optimizer["options"]).moments


def _check_name(region: str, registry: Registry[Any], name: object, hint: str = "") -> None:
    try:
        registry[name]  # type: ignore[index]
    except OptionError as error:
        raise CheckpointError(f"{region}: {error}{hint}") from error


def _check_optimizer(optimizer: dict[str, Any] | None) -> None:
    try:
        optimizer_rows(optimizer)
    except (OptionError, TypeError) as error:
        raise CheckpointError(f"meta.optimizer: {error}") from error


def _is_count(value: object, limit: int = _MAX_ID, least: int = 0) -> bool:
    return type(value) is int and least <= value < limit


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _has(value: object, checks: Mapping[str, Callable[[Any], bool]]) -> bool:
    """Whether `value` is an object of just these keys."""
    return isinstance(value, dict) and value.keys() == checks.keys() and all(holds(value[key]) for key, holds in checks.items())


def _are_activations(value: object) -> bool:
    return isinstance(value, list) and len(value) >= 2 and all(map(_is_text, value)) and value[0] == "identity"


def _are_names(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and all(type(name) in (str, int) for name in value) and len(set(value)) == len(value)


def _is_shape(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, list) and len(value) == 2 and all(_is_count(side, _MAX_SLOTS, 1) for side in value)


def _is_rng(value: object) -> bool:
    words: dict[str, Callable[[Any], bool]] = {
        "bit_generator": lambda v: v == "PCG64",
        "state": lambda v: _has(v, {"state": _is_long, "inc": _is_long}),
        "has_uint32": lambda v: _is_count(v, 2),
        "uinteger": lambda v: _is_count(v, _WORD),
    }
    return _has(value, words)


def _is_long(value: object) -> bool:
    return _is_count(value, _LONG)


def _is_optimizer(value: object) -> bool:
    options = {"name": _is_text, "options": _is_object, "step": _is_count}
    return value is None or _has(value, options)


def _is_schedule(value: object) -> bool:
    return _has(value, {"epochs": _is_count, "best": _is_loss, "stalled": _is_count, "steps": _is_count})


def _are_statistics(value: object) -> bool:
    return _has(value, {"steps": _is_count, "counts": _are_counts})


def _are_counts(value: object) -> bool:
    return isinstance(value, dict) and all(name in STATISTICS and _is_count(count) for name, count in value.items())


def _is_standing(value: object) -> bool:
    fields: dict[str, Callable[[Any], bool]] = {
        "samples": lambda v: _is_count(v, least=1),
        "batch_size": lambda v: _is_count(v, least=1),
        "loss": _is_text,
        "batches": _is_count,
        "total": _is_number,
        "hits": _is_number,
    }
    return value is None or (_has(value, fields) and value["batches"] <= -(-value["samples"] // value["batch_size"]))  # type: ignore[index]


def _is_loss(value: object) -> bool:
    return value is None or _is_number(value)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_rule(value: object) -> bool:
    return _has(value, {"births": _are_parts, "deaths": _are_parts, "when": _is_part})


def _are_parts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_part, value))


def _is_part(value: object) -> bool:
    return isinstance(value, dict) and _is_text(value.get("name"))


def _are_events(value: object) -> bool:
    return isinstance(value, list) and all(_has(event, EVENT) for event in value)


def _are_levels(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_level, value))


def _is_level(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and _is_count(value[0], _MAX_SLOTS, 1) and _is_text(value[1])


def _are_signals(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


EVENT: dict[str, Callable[[Any], bool]] = {
    "number": _is_count,
    "epoch": _is_count,
    "trigger": _is_text,
    "signals": _are_signals,
    "options": _is_rule,
    "optimizer": lambda v: v is None or _is_text(v),
    "version": _is_count,
    "cells_before": _is_count,
    "cells_after": _is_count,
    "first_id": _is_count,
    "n_born": _is_count,
    "n_split": _is_count,
    "n_died": _is_count,
    "state_rows": lambda v: _is_count(v, _MAX_ROWS),
    "seconds": _is_number,
    "bytes": _is_count,
    "capacity": lambda v: _is_count(v, _MAX_SLOTS, 1),
    "fragmentation": lambda v: _is_number(v) and 0 <= v <= 1,
    "capacity_before": lambda v: _is_count(v, _MAX_SLOTS, 1),
    "free_before": lambda v: _is_count(v, _MAX_SLOTS),
    "first_node": lambda v: _is_count(v, _MAX_SLOTS),
    "n_nodes_born": lambda v: _is_count(v, _MAX_SLOTS),
    "levels_born": _are_levels,
    "schedule_before": _is_schedule,
    "loss_before": _is_loss,
    "loss_after": _is_loss,
    "loss_next": _is_loss,
}
"""Every key of an event of the fossil record, as `dna.fossils.ExtinctionEvent` explains them. `n_split` cells split; the
optimizer's state has `state_rows` rows; `levels_born` are pairs of a place and an activation."""

META: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "dtype": (f"one of {', '.join(REALS)}", lambda v: _is_text(v) and v in REALS),
    "kind": ("the name of a cell kind", _is_text),
    "activations": ("a list of names, one a level, the first 'identity'", _are_activations),
    "node_names": ("null, or a list of different texts and integers", _are_names),
    "input_shape": ("null, or [height, width]", _is_shape),
    "capacity": (f"an integer in [1, {_MAX_SLOTS})", lambda v: _is_count(v, _MAX_SLOTS, 1)),
    "fixed": ("true or false", _is_flag),
    "next_id": (f"an integer in [0, {_MAX_NEXT_ID})", lambda v: _is_count(v, _MAX_NEXT_ID)),
    "version": (f"an integer in [0, {_MAX_SLOTS})", lambda v: _is_count(v, _MAX_SLOTS)),
    "seed": (f"an integer in [0, {_MAX_ID})", _is_count),
    "deterministic": ("true or false", _is_flag),
    "plan": (f"one of {', '.join(PLANS)}", lambda v: _is_text(v) and v in PLANS),
    "rng": ("the state of a PCG64 generator", _is_rng),
    "optimizer": ("null, or an object of name, options and step", _is_optimizer),
    "schedule": ("an object of epochs, best, stalled and steps", _is_schedule),
    "extinction": ("null, or an object of births, deaths and when", lambda v: v is None or _is_rule(v)),
    "epoch": ("an integer of at least 0", _is_count),
    "standing": ("null, or an object of samples, batch_size, loss, batches, total and hits", _is_standing),
    "trained": ("an integer of at least 0", _is_count),
    "statistics": ("an object of steps and counts, by names of statistics", _are_statistics),
    "fossils": (f"a list of objects of {', '.join(EVENT)}, one an event", _are_events),
    "dna_version": ("a text", _is_text),
}
"""Every key of `State.meta`: what it holds, and the test of it."""
