"""The parts of the check: what each runs, how long it may take, and whether another may run beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

MINUTES = 9.5
"""In which all parts are done, unless more or less is asked for."""

STARTS = 0.1
"""The share of a run that goes into starting processes, and into what parts were in the middle of when their time was up."""


class Part(NamedTuple):
    """One part, which runs in a process of its own."""

    where: str  # "module.function" of this folder
    seconds: float  # its share of the time: after that it begins nothing new (see `stretch`)
    timed: bool = False  # it runs alone
    options: dict[str, Any] = {}

    def function(self) -> Callable[..., None]:
        """Return what is to be called with a session."""
        module, _, name = self.where.rpartition(".")
        return partial(getattr(import_module(f"gpu.{module}"), name), **self.options)


PARTS: dict[str, Part] = {
    "agreement:linear": Part("agreement.phases", 80, options={"kind": "linear"}),
    "agreement:relu": Part("agreement.phases", 80, options={"kind": "relu"}),
    "agreement:tanh": Part("agreement.phases", 80, options={"kind": "tanh"}),
    "agreement:learning": Part("agreement.learning", 80),
    "agreement:topology": Part("agreement.topology", 80),
    "agreement:scale": Part("agreement.scale", 80),
    "allocator": Part("allocator.check", 60),
    "ceilings": Part("ceilings.measure", 20, timed=True),
    "step": Part("step.measure", 40, timed=True),
    "phases": Part("phases.measure", 120, timed=True),
    "life": Part("life.measure", 70, timed=True),
    "claims": Part("allocator.measure", 20, timed=True),
    "kernels": Part("kernels.measure", 40, timed=True),
    "tests": Part("suite.run", 130),
    "sanitizer": Part("sanitizer.run", 130),
}
"""In the order in which they run: what is right, how fast, and then what takes long."""

NAMES = tuple(dict.fromkeys(name.partition(":")[0] for name in PARTS if name != "ceilings"))
"""What a user chooses from; ceilings are measured wherever something is timed."""


def chosen(names: Sequence[str]) -> dict[str, Part]:
    """Return the parts of these names."""
    found = {name: part for name, part in PARTS.items() if name.partition(":")[0] in names}
    timed = any(part.timed for part in found.values())
    return {name: part for name, part in PARTS.items() if name in found or (timed and name == "ceilings")}


def rounds(parts: dict[str, Part]) -> list[dict[str, Part]]:
    """Return the parts by rounds: a timed one by itself, neighbours that are not timed together."""
    found: list[dict[str, Part]] = []
    for name, part in parts.items():
        if part.timed or not found or any(other.timed for other in found[-1].values()):
            found.append({})
        found[-1][name] = part
    return found


def stretch(parts: dict[str, Part], minutes: float) -> float:
    """Return by what the seconds of these parts are to be multiplied, so that they take so many minutes."""
    together = sum(max(part.seconds for part in group.values()) for group in rounds(parts))
    return 60 * minutes * (1 - STARTS) / max(together, 1.0)
