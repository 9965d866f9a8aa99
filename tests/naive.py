"""The oracle: each phase in plain Python, slow and readable, one object a cell. It reads as the specification.

It imports nothing of `dna`.
Reals are Python floats (float64). A network is a `Net`: nodes with levels, and slots that hold a `Cell` or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

# --- what cells and nodes compute ---------------------------------------------------------------------------------------


def step(z: float) -> float:
    return 1.0 if z > 0 else 0.0


CURRENT: dict[str, Callable[[float, float, float], float]] = {
    "linear": lambda w, v, b: w * v - b,
    "relu": lambda w, v, b: max(w * v - b, 0.0),
    "tanh": lambda w, v, b: math.tanh(w * v - b),
}

SLOPES: dict[str, Callable[[float, float, float], tuple[float, float, float]]] = {
    # (dI/dw, dI/dV, dI/db)
    "linear": lambda w, v, b: (v, w, -1.0),
    "relu": lambda w, v, b: (step(w * v - b) * v, step(w * v - b) * w, -step(w * v - b)),
    "tanh": lambda w, v, b: tuple((1 - math.tanh(w * v - b) ** 2) * inner for inner in (v, w, -1.0)),  # type: ignore[return-value]
}

SIGMA: dict[str, Callable[[float], float]] = {
    "identity": lambda z: z,
    "relu": lambda z: max(z, 0.0),
    "tanh": math.tanh,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
}

SIGMA_SLOPE: dict[str, Callable[[float], float]] = {
    # of the value, not of the sum
    "identity": lambda v: 1.0,
    "relu": step,
    "tanh": lambda v: 1 - v * v,
    "sigmoid": lambda v: v * (1 - v),
}


@dataclass
class Cell:
    source: int
    target: int
    weight: float
    bias: float
    id: int
    parent: int = -1
    born: int = 0
    weight_grad: float = 0.0
    bias_grad: float = 0.0
    state: list[float] = field(default_factory=list)  # moments: weight's and bias's first, then weight's and bias's second


@dataclass
class Net:
    level: list[int]  # of each node
    inputs: list[int]
    outputs: list[int]
    kind: str
    activations: list[str]  # one a level
    slots: list[Cell | None]  # below the bump pointer
    free: list[int]  # the stack of free slots, its top at the end
    next_id: int
    capacity: int
    fixed: bool = False
    version: int = 0
    seed: int = 0

    def cells(self) -> list[Cell]:
        return [cell for cell in self.slots if cell is not None]

    def sigma(self, node: int) -> str:
        return self.activations[self.level[node]]


# --- forward, backward --------------------------------------------------------------------------------------------------


def forward(net: Net, x: Sequence[float]) -> list[float]:
    """Return the potentials of all nodes for one sample: V = sigma(sum of currents), level by level."""
    potential = [0.0] * len(net.level)
    for node, value in zip(net.inputs, x, strict=True):
        potential[node] = float(value)
    for level in range(1, max(net.level) + 1):
        for node in range(len(net.level)):
            if net.level[node] == level:
                into = (cell for cell in net.cells() if cell.target == node)
                total = sum(CURRENT[net.kind](cell.weight, potential[cell.source], cell.bias) for cell in into)
                potential[node] = SIGMA[net.sigma(node)](total)
    return potential


def outputs(net: Net, x: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[potential[node] for node in net.outputs] for potential in (forward(net, sample) for sample in x)]


def backward(net: Net, x: Sequence[Sequence[float]], gy: Sequence[Sequence[float]]) -> list[list[float]]:
    """Write every cell's gradient, summed over the samples, and return that of the inputs, one row a sample."""
    for cell in net.cells():
        cell.weight_grad = cell.bias_grad = 0.0
    return [_backward_sample(net, forward(net, sample), row) for sample, row in zip(x, gy, strict=True)]


def _backward_sample(net: Net, potential: list[float], gy: Sequence[float]) -> list[float]:
    by_potential = [0.0] * len(net.level)  # dL/dV
    for node, value in zip(net.outputs, gy, strict=True):
        by_potential[node] = float(value)
    for level in range(max(net.level), 0, -1):  # no cell into this level is visited before all that leave its target
        for cell in net.cells():
            if net.level[cell.target] == level:
                by_sum = by_potential[cell.target] * SIGMA_SLOPE[net.sigma(cell.target)](potential[cell.target])
                by_w, by_v, by_b = SLOPES[net.kind](cell.weight, potential[cell.source], cell.bias)
                cell.weight_grad += by_sum * by_w
                cell.bias_grad += by_sum * by_b
                by_potential[cell.source] += by_sum * by_v
    return [by_potential[node] for node in net.inputs]


# --- loss ---------------------------------------------------------------------------------------------------------------


class Judged(NamedTuple):
    loss: float
    hits: float  # how right the sample is, in [0, 1]
    gradient: list[float]  # dL/dy


def cross_entropy(y: Sequence[float], label: int) -> Judged:
    total = sum(math.exp(v - max(y)) for v in y)
    share = [math.exp(v - max(y)) / total for v in y]
    gradient = [p - (o == label) for o, p in enumerate(share)]
    return Judged(math.log(total) + max(y) - y[label], float(list(y).index(max(y)) == label), gradient)


def binary_cross_entropy(y: Sequence[float], target: Sequence[float]) -> Judged:
    """The mean over the outputs, each a logit."""
    n = len(y)
    losses = [max(v, 0.0) - v * t + math.log1p(math.exp(-abs(v))) for v, t in zip(y, target, strict=True)]
    hits = sum((v > 0) == (t > 0.5) for v, t in zip(y, target, strict=True))
    return Judged(sum(losses) / n, hits / n, [(SIGMA["sigmoid"](v) - t) / n for v, t in zip(y, target, strict=True)])


def mse(y: Sequence[float], target: Sequence[float]) -> Judged:
    n = len(y)
    differences = [v - t for v, t in zip(y, target, strict=True)]
    return Judged(sum(d * d for d in differences) / n, 0.0, [2 * d / n for d in differences])


LOSSES: dict[str, Callable[..., Judged]] = {
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "mse": mse,
}


# --- apply --------------------------------------------------------------------------------------------------------------


def sgd(net: Net, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
    """v = m*v + (g + d*x), x = x - lr*v; without momentum no velocity is kept."""
    for cell in net.cells():
        for k, name in enumerate(("weight", "bias")):
            velocity = getattr(cell, f"{name}_grad") + weight_decay * getattr(cell, name)
            if momentum:
                velocity += momentum * cell.state[k]
                cell.state[k] = velocity
            setattr(cell, name, getattr(cell, name) - lr * velocity)


def adam(
    net: Net, t: int, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0,
    decoupled_decay: float = 0.0,
) -> None:  # fmt: skip
    """Kingma and Ba, algorithm 1, for step t = 1, 2, ... of the network; the decoupled decay is that of Loshchilov and Hutter.

    Biases of linear cells below hidden nodes learn at (nodes above the inputs) / cells of the rate.
    """
    cells = list(net.cells())
    above = sum(level > 0 for level in net.level)
    bias_rate = lr * min(1.0, above / len(cells)) if net.kind == "linear" and max(net.level) > 1 else lr
    for cell in cells:
        for k, name in enumerate(("weight", "bias")):
            gradient = getattr(cell, f"{name}_grad") + weight_decay * getattr(cell, name)
            cell.state[k] = beta1 * cell.state[k] + (1 - beta1) * gradient
            cell.state[k + 2] = beta2 * cell.state[k + 2] + (1 - beta2) * gradient**2
            first, second = cell.state[k] / (1 - beta1**t), cell.state[k + 2] / (1 - beta2**t)
            rate = lr if name == "weight" else bias_rate
            kept = getattr(cell, name) * (1 - rate * decoupled_decay)
            setattr(cell, name, kept - rate * first / (math.sqrt(second) + eps))


# --- passthrough --------------------------------------------------------------------------------------------------------


TWINS = 0x7477696E73  # what tells the draws of twins' shares from those of the passthrough `random`


def uniform(seed: int, event: int, cell_id: int) -> float:
    """A number in [0, 1) with 24 random bits, hashed from the words of its arguments, 32 bits each."""
    h = 0x9E3779B9
    for word in (seed % 2**32, seed >> 32, event % 2**32, cell_id % 2**32, cell_id >> 32):
        h ^= word
        h = ((h ^ (h >> 16)) * 0x7FEB352D) % 2**32
        h = ((h ^ (h >> 15)) * 0x846CA68B) % 2**32
        h ^= h >> 16
    return (h >> 8) / 2**24


def scores(net: Net, passthrough: str | Callable[[float, float], float], event: int = 0) -> dict[int, float]:
    """Return the passthrough of every cell, by id."""
    if passthrough == "random":
        return {cell.id: uniform(net.seed, event, cell.id) for cell in net.cells()}
    measure = {"weight": lambda w, b: abs(w), "weight_bias": lambda w, b: abs(w + b)}.get(passthrough, passthrough)  # type: ignore[call-overload]
    return {cell.id: measure(cell.weight, cell.bias) for cell in net.cells()}


def mean_current(net: Net, x: Sequence[Sequence[float]]) -> dict[int, float]:
    """Return the mean |I| of every cell over some samples, by id."""
    potentials = [forward(net, sample) for sample in x]
    currents = {
        cell.id: [abs(CURRENT[net.kind](cell.weight, v[cell.source], cell.bias)) for v in potentials] for cell in net.cells()
    }
    return {i: sum(values) / len(values) for i, values in currents.items()}


def correlation(net: Net, x: Sequence[Sequence[float]]) -> dict[int, float]:
    """Return |Pearson's r| of source and target potential of every cell over some samples, by id; 0 where one is constant."""
    potentials = [forward(net, sample) for sample in x]
    return {cell.id: _pearson([v[cell.source] for v in potentials], [v[cell.target] for v in potentials]) for cell in net.cells()}


def _pearson(a: list[float], b: list[float]) -> float:
    a_mean, b_mean = sum(a) / len(a), sum(b) / len(b)
    products = [(p - a_mean) * (q - b_mean) for p, q in zip(a, b, strict=True)]
    squares = sum((p - a_mean) ** 2 for p in a) * sum((q - b_mean) ** 2 for q in b)
    return abs(sum(products)) / math.sqrt(squares) if squares > 1e-25 else 0.0


# --- extinction ---------------------------------------------------------------------------------------------------------


class Rule(NamedTuple):
    split: float = 0.0
    delete: float = 0.0
    split_above: float = math.inf
    delete_below: float = -math.inf
    passthrough: str | Callable[[float, float], float] = "weight"
    rule: str = "preserve"
    jitter: float = 0.0
    scope: str = "network"
    keep_outputs: bool = True
    grace: int = 0


class Event(NamedTuple):
    born: list[int]  # ids, in the order of birth
    parents: list[int]  # ids
    died: list[int]  # ids, by ascending slot


class Exhausted(Exception):
    """A fixed capacity does not suffice; nothing has changed."""


def select(net: Net, rule: Rule, score: dict[int, float]) -> tuple[set[int], set[int]]:
    """Return the ids of the cells that split, and of those that die: never the same. First the dying are chosen."""
    exempt = _last_of_outputs(net, score) if rule.keep_outputs else set()
    mortal = [cell for cell in net.cells() if cell.id not in exempt and not _is_young(net, cell, rule.grace)]
    dead = {cell.id for cell in mortal if score[cell.id] < rule.delete_below}
    dead |= _first(net, rule.delete, rule.scope, mortal, lambda i: (score[i], i))
    rest = [cell for cell in net.cells() if cell.id not in dead]
    split = {cell.id for cell in rest if score[cell.id] > rule.split_above}
    return split | _first(net, rule.split, rule.scope, rest, lambda i: (-score[i], i)), dead


def _is_young(net: Net, cell: Cell, grace: int) -> bool:
    """Whether fewer than `grace` extinctions have passed since the one that a cell was born in."""
    return cell.born > 0 and net.version - cell.born < grace


def stranded(net: Net) -> set[int]:
    """Return the ids of the cells that die, one after another, as their nodes have lost all cells on the other side."""
    rest = net.cells()
    while True:
        fed = set(net.inputs) | {cell.target for cell in rest}
        heard = set(net.outputs) | {cell.source for cell in rest}
        left = [cell for cell in rest if cell.source in fed and cell.target in heard]
        if len(left) == len(rest):
            return {cell.id for cell in net.cells()} - {cell.id for cell in rest}
        rest = left


def cells_of_weak_nodes(net: Net, share: float, score: dict[int, float]) -> set[int]:
    """Return the ids of all cells of the hidden nodes whose cells outwards have the smallest sums of scores."""
    hidden = {cell.source for cell in net.cells()} - set(net.inputs)
    activity = {node: sum(score[cell.id] for cell in net.cells() if cell.source == node) for node in hidden}
    weak = sorted(hidden, key=lambda node: (activity[node], node))[: int(Decimal(str(share)) * len(hidden))]
    return {cell.id for cell in net.cells() if {cell.source, cell.target} & set(weak)}


def _first(net: Net, share: float, scope: str, candidates: list[Cell], order: Callable[[int], tuple[float, int]]) -> set[int]:
    """Return the ids of the first candidates, as many in each scope as the share of its living cells says."""
    chosen: set[int] = set()
    for living in _scopes(net, scope):
        count = int(Decimal(str(share)) * len(living))
        chosen |= set(sorted((cell.id for cell in candidates if cell in living), key=order)[:count])
    return chosen


def _scopes(net: Net, scope: str) -> list[list[Cell]]:
    if scope == "network":
        return [net.cells()]
    return [[cell for cell in net.cells() if net.level[cell.target] == level] for level in range(1, max(net.level) + 1)]


def _last_of_outputs(net: Net, score: dict[int, float]) -> set[int]:
    """Return, for each output node, its last cell in the order of the weakest."""
    into = {node: [cell.id for cell in net.cells() if cell.target == node] for node in net.outputs}
    return {max(ids, key=lambda i: (score[i], i)) for ids in into.values() if ids}


def twins(kind: str, rule: str, w: float, b: float, share: float = 0.5) -> tuple[float, float, float, float]:
    """Return (w, b) of the parent and of its child after a split."""
    first = w * share
    if rule == "article" or kind == "linear":
        return first, b, w - first, 0.0
    return {"relu": (first, b * share, w - first, b - b * share), "tanh": (w, b, 0.0, 0.0)}[kind]


def share_of(net: Net, jitter: float, child_id: int) -> float:
    """Return the parent's share, uniform in [(1 - jitter) / 2, (1 + jitter) / 2]; the draws are others than those of `random`."""
    return (1 + jitter * (2 * uniform(net.seed ^ TWINS, net.version, child_id) - 1)) / 2


def inherits_state(kind: str, rule: str) -> bool:
    """Whether both twins go on to see the gradient that the parent saw."""
    return kind == "linear" or (kind == "relu" and rule == "preserve")


def extinction(net: Net, rule: Rule, event: int = 0) -> Event:
    """Rank, choose, reserve; then release by ascending slot, claim, and write a child for each parent by ascending slot."""
    split, dead = select(net, rule, scores(net, rule.passthrough, event))
    reserve(net, len(split) - len(dead))
    slot_of = {cell.id: slot for slot, cell in enumerate(net.slots) if cell is not None}
    died = sorted(dead, key=slot_of.__getitem__)
    parents = sorted(split, key=slot_of.__getitem__)
    release(net, [slot_of[i] for i in died])
    net.version += 1
    for parent_id, (slot, child_id) in zip(parents, claim(net, len(parents)), strict=True):
        parent = net.slots[slot_of[parent_id]]
        assert parent is not None
        child, share = copy(parent), share_of(net, rule.jitter, child_id)
        parent.weight, parent.bias, child.weight, child.bias = twins(net.kind, rule.rule, parent.weight, parent.bias, share)
        child.id, child.parent, child.born = child_id, parent.id, net.version
        child.weight_grad = child.bias_grad = 0.0
        child.state = list(parent.state) if inherits_state(net.kind, rule.rule) else [0.0] * len(parent.state)
        net.slots[slot] = child
    return Event(list(range(net.next_id - len(parents), net.next_id)), parents, died)


def undo(net: Net, before: Net, event: Event) -> Net:
    """Return the network as it was before its last extinction, but for what the cells that it let be have learned since."""
    now = {cell.id: cell for cell in net.cells()}
    undone = deepcopy(before)
    for cell in undone.cells():
        if cell.id not in (*event.parents, *event.died):
            learned = now[cell.id]
            cell.weight, cell.bias, cell.state = learned.weight, learned.bias, list(learned.state)
        if cell.id not in event.died:
            cell.weight_grad, cell.bias_grad = now[cell.id].weight_grad, now[cell.id].bias_grad
    return undone


# --- regrowth -----------------------------------------------------------------------------------------------------------

GROWTH = 0x67726F777468  # what tells the draws of pairs from all others


class Growth(NamedTuple):
    """Which pairs of nodes that no cell joins get one."""

    by: str
    counts: dict[int, int]  # births by level of the target; -1 stands for all levels
    size: float = 0.0  # of a newborn's weight
    candidates: int | None = None  # pairs drawn for each birth; None: all
    reach: int = 1


def shuffle(number: int, count: int, seed: int, event: int) -> int:
    """A permutation of 0 to count - 1: four rounds of a Feistel network, gone through again while the result is too large."""
    bits = max(1, -(-max(count - 1, 1).bit_length() // 2))
    while True:
        left, right = number >> bits, number % 2**bits
        for turn in range(4):
            h = 0x9E3779B9
            for word in (seed % 2**32, seed >> 32, (event * 4 + turn) % 2**32, right):
                h ^= word
                h = ((h ^ (h >> 16)) * 0x7FEB352D) % 2**32
                h = ((h ^ (h >> 15)) * 0x846CA68B) % 2**32
                h ^= h >> 16
            left, right = right, left ^ (h % 2**bits)
        number = left * 2**bits + right
        if number < count:
            return number


def node_gradients(net: Net, potential: list[float], gy: Sequence[float]) -> list[float]:
    """Return dL/d(sum of its currents) for every node above the inputs, for one sample."""
    by_potential, by_sum = [0.0] * len(net.level), [0.0] * len(net.level)
    for node, value in zip(net.outputs, gy, strict=True):
        by_potential[node] = float(value)
    for level in range(max(net.level), 0, -1):
        for node in (n for n in range(len(net.level)) if net.level[n] == level):
            by_sum[node] = by_potential[node] * SIGMA_SLOPE[net.sigma(node)](potential[node])
            for cell in (c for c in net.cells() if c.target == node):
                by_potential[cell.source] += by_sum[node] * SLOPES[net.kind](cell.weight, potential[cell.source], cell.bias)[1]
    return by_sum


def rate_pair(
    net: Net, growth: Growth, draw: int, ends: tuple[int, int], seen: Sequence[tuple[list[float], list[float]]], event: int
) -> tuple[float, float]:
    """Return the score of a pair and the weight of a cell that would join it; `seen` is potentials and gradients by sample."""
    i, j = ends
    if growth.by == "gradient":
        up, down = (sum(g[j] * SLOPES[net.kind](w, v[i], 0.0)[0] for v, g in seen) for w in (growth.size, -growth.size))
        return (-up, growth.size) if -up >= down else (down, -growth.size)
    weight = growth.size if uniform(net.seed ^ GROWTH, event, draw) < 0.5 else -growth.size
    if growth.by == "random":
        return 0.0, weight
    n = len(seen)
    mean_i, mean_j = sum(v[i] for v, _ in seen) / n, sum(v[j] for v, _ in seen) / n
    spread = math.sqrt(sum((v[i] - mean_i) ** 2 for v, _ in seen) * sum((v[j] - mean_j) ** 2 for v, _ in seen))
    return (abs(sum((v[i] - mean_i) * (v[j] - mean_j) for v, _ in seen)) / spread if spread > 0 else 0.0), weight


def choose_pairs(
    net: Net, growth: Growth, dead: set[int], seen: Sequence[tuple[list[float], list[float]]], event: int
) -> list[tuple[int, int, float]]:
    """Return (source, target, weight) of the newborns, level by level, in the order of the draws."""
    chosen = []
    joined = {(cell.source, cell.target) for cell in net.cells() if cell.id not in dead}
    nodes = [[n for n in range(len(net.level)) if net.level[n] == level] for level in range(max(net.level) + 1)]
    for level, count in growth.counts.items():
        highs = range(1, len(nodes)) if level < 0 else [level]
        levels = [(low, high) for high in highs for low in range(max(0, high - growth.reach), high)]
        pairs = [(i, j) for low, high in levels for j in nodes[high] for i in nodes[low]]
        draws = len(pairs) if growth.candidates is None else min(len(pairs), growth.candidates * count)
        rated = []
        for draw in range(draws):
            ends = pairs[shuffle(draw, len(pairs), net.seed ^ GROWTH, event)]
            if ends not in joined:
                rated.append((*rate_pair(net, growth, draw, ends, seen, event), draw, ends))
        best = sorted(rated, key=lambda one: (-one[0], one[2]))[:count]
        chosen += [(*ends, weight) for _, weight, _, ends in sorted(best, key=lambda one: one[2])]
    return chosen


def regrow(
    net: Net, rule: Rule, growth: Growth, x: Sequence[Sequence[float]], gy: Sequence[Sequence[float]], event: int = 0
) -> Event:
    """The weakest die, as in `extinction`; then newborns join pairs of nodes."""
    _, dead = select(net, rule, scores(net, rule.passthrough, event))
    potentials = [forward(net, sample) for sample in x]
    seen = [(v, node_gradients(net, v, row)) for v, row in zip(potentials, gy, strict=True)]
    newborns = choose_pairs(net, growth, dead, seen, event)
    reserve(net, len(newborns) - len(dead))
    slot_of = {cell.id: slot for slot, cell in enumerate(net.slots) if cell is not None}
    died = sorted(dead, key=slot_of.__getitem__)
    rows = len(net.cells()[0].state)
    release(net, [slot_of[i] for i in died])
    net.version += 1
    taken = claim(net, len(newborns))
    for (source, target, weight), (slot, cell_id) in zip(newborns, taken, strict=True):
        net.slots[slot] = Cell(source, target, weight, 0.0, cell_id, born=net.version, state=[0.0] * rows)
    return Event([cell_id for _, cell_id in taken], [-1] * len(taken), died)


# --- births of nodes ----------------------------------------------------------------------------------------------------


class Births(NamedTuple):
    """What is born, cell by cell: ends, weight, bias, parent, and the cell whose optimizer state goes over, if any."""

    source: int
    target: int
    weight: float
    bias: float
    parent: int
    heir: int = -1


def activities(net: Net, score: dict[int, float]) -> dict[int, float]:
    """Return of every hidden node that cells leave the sum of their scores."""
    hidden = {cell.source for cell in net.cells()} - set(net.inputs)
    return {node: sum(score[cell.id] for cell in net.cells() if cell.source == node) for node in hidden}


def split_nodes(net: Net, count: int, jitter: float) -> Event:
    """The hidden nodes of the largest sums of |weight| get twins, numbered from the next node on by their number.

    Cell by cell, by ascending slot: what runs to the node is copied, what leaves it is split; a cell between two such nodes
    does both, so that four cells are left of it.
    """
    active = activities(net, {cell.id: abs(cell.weight) for cell in net.cells()})
    chosen = sorted(sorted(active, key=lambda node: (-active[node], node))[:count])
    twin = {node: len(net.level) + k for k, node in enumerate(chosen)}
    net.level += [net.level[node] for node in chosen]
    net.version += 1
    births = []
    for cell in net.cells():
        i, j = twin.get(cell.source), twin.get(cell.target)
        one = two = (cell.weight, cell.bias)
        if i is not None:
            w1, b1, w2, b2 = twins(net.kind, "preserve", *one, share_of(net, jitter, cell.id))
            one, two = (w1, b1), (w2, b2)
            births.append((cell, i, cell.target, two))
        if j is not None:
            births.append((cell, cell.source, j, one))
        if i is not None and j is not None:
            births.append((cell, i, j, two))
        cell.weight, cell.bias = one
    inherits = inherits_state(net.kind, "preserve")
    return bear(net, [Births(i, j, *wb, cell.id, cell.id if inherits else -1) for cell, i, j, wb in births], [])


RELAYS = {  # kind, activation of the new node, whether the source is never negative: the half that carries (w, b)
    ("linear", "identity", False): "above",
    ("linear", "identity", True): "above",
    ("linear", "relu", True): "above",
    ("relu", "identity", False): "below",
    ("relu", "identity", True): "above",  # w*V - b of V = max(1*V - 0, 0), where V >= 0
    ("relu", "relu", False): "below",
    ("relu", "relu", True): "above",
}


def is_positive(net: Net, node: int) -> bool:
    """Whether a node never holds a negative potential; inputs may."""
    sigma = net.sigma(node)
    return net.level[node] > 0 and (sigma in ("relu", "sigmoid") or (net.kind == "relu" and sigma in ("identity", "tanh")))


def insert_nodes(net: Net, count: int, replace: bool | None) -> Event:
    """On the way of each of the cells of the largest |weight|, by ascending slot, a node one level above the cell's source."""
    slot_of = {cell.id: slot for slot, cell in enumerate(net.slots) if cell is not None}
    strongest = sorted(net.cells(), key=lambda cell: (-abs(cell.weight), cell.id))[:count]
    chosen = sorted(strongest, key=lambda cell: slot_of[cell.id])
    short = {net.level[cell.target] for cell in chosen if net.level[cell.target] == net.level[cell.source] + 1}
    for place in sorted(short, reverse=True):
        net.level = [level + (level >= place) for level in net.level]
        net.activations.insert(place, "relu" if net.kind == "linear" else "identity")
    net.version += 1
    births, gone = [], []
    for cell in chosen:
        node, w, b = len(net.level), cell.weight, cell.bias
        net.level.append(net.level[cell.source] + 1)
        half = RELAYS.get((net.kind, net.sigma(node), is_positive(net, cell.source)))
        if replace is False or (replace is None and half is None):
            births += [Births(cell.source, node, w, b, cell.id), Births(node, cell.target, 0.0, 0.0, cell.id)]
            continue
        gone.append(cell.id)
        if half == "below":
            births += [Births(cell.source, node, w, b, cell.id, cell.id), Births(node, cell.target, 1.0, 0.0, cell.id)]
        else:
            births += [Births(cell.source, node, 1.0, 0.0, cell.id), Births(node, cell.target, w, b, cell.id, cell.id)]
    return bear(net, births, gone)


def bear(net: Net, births: list[Births], dead: list[int]) -> Event:
    """Reserve; release the dead by ascending slot, claim, and write what is born in order."""
    reserve(net, len(births) - len(dead))
    slot_of = {cell.id: slot for slot, cell in enumerate(net.slots) if cell is not None}
    rows = len(net.cells()[0].state)
    states = {cell.id: list(cell.state) for cell in net.cells()}
    died = sorted(dead, key=slot_of.__getitem__)
    release(net, [slot_of[i] for i in died])
    taken = claim(net, len(births))
    for one, (slot, cell_id) in zip(births, taken, strict=True):
        state = list(states[one.heir]) if one.heir >= 0 else [0.0] * rows
        net.slots[slot] = Cell(*one[:4], cell_id, one.parent, net.version, state=state)
    return Event([cell_id for _, cell_id in taken], [one.parent for one in births], died)


# --- pool ---------------------------------------------------------------------------------------------------------------


def reserve(net: Net, count: int) -> None:
    """Make room for `count` more cells: the capacity doubles, or takes what is needed if that is more."""
    needed = len(net.cells()) + count
    if needed > net.capacity:
        if net.fixed:
            raise Exhausted
        net.capacity = max(2 * net.capacity, needed)


def claim(net: Net, count: int) -> list[tuple[int, int]]:
    """Take slots from the top of the stack, then by bump; return each with the id of its cell."""
    taken = []
    for _ in range(count):
        if net.free:
            slot = net.free.pop()
        else:
            slot = len(net.slots)
            net.slots.append(None)
        taken.append((slot, net.next_id))
        net.next_id += 1
    return taken


def release(net: Net, slots: Sequence[int]) -> None:
    for slot in slots:
        net.slots[slot] = None
        net.free.append(slot)


# --- schedule -----------------------------------------------------------------------------------------------------------


def cosine(share: float, begin: int, until: int, now: int) -> float:
    """The fraction of RigL: all at `begin`, nothing at `until`."""
    if now >= until:
        return 0.0
    return share * (1 + math.cos(math.pi * max(now - begin, 0) / (until - begin))) / 2


def cubic(start: int, end: int, begin: int, until: int, now: int) -> int:
    """Gradual pruning in its authors' terms: the sparsity goes from s_i = 0 to s_f by s_f + (s_i - s_f) (1 - progress)^3."""
    final = 1 - end / start
    sparsity = final + (0 - final) * (1 - min(max(now - begin, 0) / (until - begin), 1)) ** 3
    return round(start * (1 - sparsity))


def epochs_that_fire(losses: Sequence[float], every: int, patience: int, min_delta: float) -> list[int]:
    """Return the epochs, counted from 1, that an extinction follows, given the watched loss at the end of each."""
    fired = []
    since: list[float] = []  # losses since the last extinction
    for epoch, loss in enumerate(losses, start=1):
        since.append(loss)
        best_at, best = 0, since[0]
        for k, value in enumerate(since):
            if value < best - min_delta:
                best_at, best = k, value
        stalled = len(since) - 1 - best_at
        if len(since) >= every and stalled > patience:
            fired.append(epoch)
            since = []
    return fired
