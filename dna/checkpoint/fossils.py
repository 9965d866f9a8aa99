"""Whether a fossil record can be that of the network it comes with: lives that fit together, and slots that undo can rely on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from dna.checkpoint.expect import check_each, check_range, expect
from dna.checkpoint.state import FOSSILS, State
from dna.types import FREE

Event = dict[str, Any]

COUNTS = {"births": "n_born", "split": "n_split", "dead": "n_died"}


class Fate(NamedTuple):
    """The remains of one event that say who was born of whom, who split and who died."""

    parents: np.ndarray  # ids, of those born
    split: np.ndarray  # ids
    dead: np.ndarray  # ids
    slot: np.ndarray  # of the dead


def check_fossils(state: State) -> None:
    """Check the fossil record of a state whose cells and nodes are checked already.

    Weights of the dead may be NaN or Inf: a network that has diverged can recover by their death.
    """
    _check_sizes(state)
    _check_order(state)
    _check_ids(state)
    _check_dead(state)
    _Replay(state).run()


def _check_sizes(state: State) -> None:
    events = state.meta["fossils"]
    cells = {kind: [event[count] for event in events] for kind, count in COUNTS.items()}
    for name in FOSSILS:
        kind, _, column = name.partition(".")
        counts = cells[kind]
        if column == "state":
            counts = [n * event["state_rows"] for n, event in zip(counts, events, strict=True)]
        found = len(state.arrays[name])
        expect(found == sum(counts), name, f"{sum(counts)} values, as meta.fossils counts", f"{found}")


def _check_order(state: State) -> None:
    """Events follow each other in number, version and ids, and each counts its cells."""
    events, meta = state.meta["fossils"], state.meta
    for k, event in enumerate(events):
        region = f"meta.fossils[{k}]"
        expect(event["number"] == k, f"{region}.number", f"{k}", event["number"])
        expect(event["version"] > 0, f"{region}.version", "at least 1", event["version"])
        after = event["cells_before"] + event["n_born"] - event["n_died"]
        expect(event["cells_after"] == after, f"{region}.cells_after", f"{after}, by births and deaths", event["cells_after"])
        used = event["cells_before"] + event["free_before"]
        expect(used <= event["capacity_before"], f"{region}.capacity_before", f"at least {used}", event["capacity_before"])
    ends: list[Event] = [*events, {"version": meta["version"] + 1, "first_id": meta["next_id"]}]
    for k, (event, later) in enumerate(pairwise(ends)):
        region, end = f"meta.fossils[{k}]", event["first_id"] + event["n_born"]
        expect(event["version"] < later["version"], f"{region}.version", f"below {later['version']}", event["version"])
        expect(end <= later["first_id"], f"{region}.first_id", f"births before id {later['first_id']}", f"births up to id {end}")


def _check_ids(state: State) -> None:
    """Who split or died is older than the children of the event, and nobody dies twice or lives on."""
    arrays, events = state.arrays, state.meta["fossils"]
    for name, least in (("births.parent", FREE), ("split.id", 0), ("dead.id", 0)):
        counts = [event[COUNTS[name.partition(".")[0]]] for event in events]
        first = np.repeat([event["first_id"] for event in events], counts).astype(np.int64)
        check_each(name, (arrays[name] >= least) & (arrays[name] < first), arrays[name], "cells older than the event")
    dead = arrays["dead.id"]
    expect(len(np.unique(dead)) == len(dead), "dead.id", "cells that die once", "one twice")
    back = dead[np.isin(dead, arrays["cells.id"])]
    expect(len(back) == 0, "dead.id", "cells that are dead", f"cell {back[:1]}, which lives")
    for fate in fates(state):
        expect(len(np.unique(fate.split)) == len(fate.split), "split.id", "cells that split once an event", "one twice")
        expect(not np.isin(fate.split, fate.dead).any(), "split.id", "cells that live on", "one that dies in the same event")


def fates(state: State) -> list[Fate]:
    """Return who split and who died, event by event."""
    arrays, events = state.arrays, state.meta["fossils"]
    if not events:
        return []
    ends = {kind: np.cumsum([event[count] for event in events])[:-1] for kind, count in COUNTS.items()}
    names = ("births.parent", "split.id", "dead.id", "dead.slot")
    parts = [np.split(arrays[name], ends[name.partition(".")[0]]) for name in names]
    return [Fate(*part) for part in zip(*parts, strict=True)]


def _check_dead(state: State) -> None:
    """The dead were cells as the living are."""
    arrays, level, events = state.arrays, state.arrays["nodes.level"], state.meta["fossils"]
    ids, parents = arrays["dead.id"], arrays["dead.parent"]
    source, target = arrays["dead.source"], arrays["dead.target"]
    check_range("dead.source", source, 0, len(level))
    check_range("dead.target", target, 0, len(level))
    check_each("dead.target", level[source] < level[target], ids, "targets at a higher level than their sources")
    check_each("dead.parent", (parents >= FREE) & (parents < ids), ids, "parents that are older than their children")
    counts, born, slots = [event["n_died"] for event in events], arrays["dead.born"], arrays["dead.slot"]
    versions = np.repeat([event["version"] for event in events], counts).astype(np.int64)
    check_each("dead.born", (born >= 0) & (born < versions), ids, "births before the death")
    used = np.repeat([event["cells_before"] + event["free_before"] for event in events], counts).astype(np.int64)
    check_each("dead.slot", (slots >= 0) & (slots < used), ids, "slots that were in use")


class _Replay:
    """The events that can be undone, taken back one by one: each must find the children, the slots and the stack that it left.

    Only ids and slots are followed, so that the time is that of all births and deaths. It ends at a version that kernels made,
    which undo cannot pass either.
    """

    def __init__(self, state: State) -> None:
        arrays = state.arrays
        living = np.flatnonzero(arrays["cells.id"] != FREE)
        ids = np.concatenate([arrays["cells.id"][living], arrays["dead.id"]])
        order = np.argsort(ids)
        self.ids = ids[order]  # of all cells that lived in the record's time
        self.parent = np.concatenate([arrays["cells.parent"][living], arrays["dead.parent"]])[order]
        self.born = np.concatenate([arrays["cells.born"][living], arrays["dead.born"]])[order]
        self.slot = np.concatenate([living, np.full(len(arrays["dead.id"]), FREE)])[order]  # now, or -1
        self.free = arrays["heap.free"].astype(np.int64)
        self.next_id, self.version, self.bump = state.meta["next_id"], state.meta["version"], len(arrays["cells.id"])
        self.events, self.fates = state.meta["fossils"], fates(state)

    def run(self) -> None:
        for event, fate in zip(reversed(self.events), reversed(self.fates), strict=True):
            if event["version"] != self.version:
                return
            self._check_counts(event)
            children = self._check_children(event, fate)
            self._check_slots(event, fate, children)
            self._take_back(event, fate, children)

    def _check_counts(self, event: Event) -> None:
        region, births = f"meta.fossils[{event['number']}]", event["first_id"] + event["n_born"]
        expect(births == self.next_id, f"{region}.n_born", f"births up to id {self.next_id}", f"up to {births}")
        living = self.bump - len(self.free)
        expect(event["cells_after"] == living, f"{region}.cells_after", f"{living} cells", event["cells_after"])

    def _check_children(self, event: Event, fate: Fate) -> np.ndarray:
        """Return the children's slots."""
        first, last = np.searchsorted(self.ids, [event["first_id"], event["first_id"] + event["n_born"]])
        found, region = last - first, f"meta.fossils[{event['number']}].n_born"
        expect(found == event["n_born"], region, f"{found} births, as there are such cells", event["n_born"])
        children = self.slot[first:last]
        check_each("dead.id", children != FREE, self.ids[first:last], "children that live until a later event")
        check_each("births.parent", self.parent[first:last] == fate.parents, self.ids[first:last], "the children's parents")
        born = self.born[first:last] == event["version"]
        check_each("meta.fossils.version", born, self.ids[first:last], "births of its children")
        check_each("split.id", np.isin(fate.split, self.ids), fate.split, "cells of the network")
        alive = self.slot[np.searchsorted(self.ids, fate.split)] != FREE
        check_each("split.id", alive, fate.split, "cells that live at their split")
        return children

    def _check_slots(self, event: Event, fate: Fate, children: np.ndarray) -> None:
        """Children took the slots of the dead, the last one first, then free ones (whichever they were), then new ones."""
        n, dead, free = len(children), len(fate.slot), event["free_before"]
        bump = event["cells_before"] + free
        taken = np.concatenate([fate.slot[::-1][:n], children[dead : dead + free], np.arange(max(0, n - dead - free)) + bump])
        here = f"event {event['number']}"
        expect(np.array_equal(children, taken), "dead.slot", f"the slots that the children of {here} took", "others")
        kept = free - max(0, min(n - dead, free))
        left = fate.slot[: max(0, dead - n)]
        lies = len(self.free) == kept + len(left) and np.array_equal(self.free[kept:], left)
        expect(lies, "dead.slot", f"the slots on top of the stack since {here}", "others")

    def _take_back(self, event: Event, fate: Fate, children: np.ndarray) -> None:
        dead, free = len(fate.slot), event["free_before"]
        from_stack = children[dead : dead + free][::-1].copy()
        self.free = np.concatenate([self.free[: free - len(from_stack)], from_stack])
        self.slot[np.searchsorted(self.ids, event["first_id"]) :] = FREE
        self.slot[np.searchsorted(self.ids, fate.dead)] = fate.slot
        self.next_id, self.version, self.bump = event["first_id"], event["version"] - 1, event["cells_before"] + free
