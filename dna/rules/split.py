"""Split: what becomes of a cell (w, b) that branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dna.cells import CellKind, Scalar
from dna.errors import OptionError, UnknownNameError
from dna.rules.random import build_uniform

SPLIT_RULES = ("preserve", "article")


def article_split(real: type) -> Scalar:
    """Build the split of the DNA article: A becomes (w/2, b), B is (w/2, 0). It preserves the function of linear cells only."""
    zero = real(0)

    def split(w: Any, b: Any, share: Any) -> Any:
        first = w * share
        return first, b, w - first, zero

    return split


def build_split(rule: str, kind: CellKind, real: type) -> Scalar:
    """Return the scalar split `(w, b, share) -> (w1, b1, w2, b2)` of a rule; `share` is 1/2 but for jitter.

    Raises
    ------
    UnknownNameError
        The rule is not known.
    OptionError
        The cell kind has no function-preserving split.
    """
    if rule not in SPLIT_RULES:
        raise UnknownNameError("split rule", rule, SPLIT_RULES)
    if rule == "article":
        return article_split(real)
    split = kind.build(real).split
    if split is None:
        raise OptionError(f"cell kind {kind.name!r} has no function-preserving split; use rule='article', or register one")
    return split


def inherits_state(rule: str, kind: CellKind) -> bool:
    """Whether a child copies its parent's optimizer state: where both twins go on to see the gradient that the parent saw.

    Halves of a linear or ReLU cell do, so that momentum and second moments stay true. A child that starts silent does not, and
    neither does one that the article's rule gives another knot, so their state starts from zero.
    """
    return kind.halves and (rule == "preserve" or kind.affine)


def build_birth(jit: Callable[[Scalar], Scalar], rule: str, kind: CellKind, real: type) -> tuple[Scalar, ...]:
    """Build the steps by which one cell becomes two, in two slots of the pool; they do not depend on each other's order.

    Each is `step(cells, parent, child, child_id, version, seed, jitter)` and writes columns of its own. The twins' shares are
    (1 + j)/2 and (1 - j)/2 with j uniform in [-jitter, jitter], drawn by the child's id.
    """
    split, uniform, inherit = jit(build_split(rule, kind, real)), jit(build_uniform(real)), inherits_state(rule, kind)
    half, one, two = real(0.5), real(1), real(2)

    def share(cells: Any, parent: Any, child: Any, child_id: Any, version: Any, seed: Any, jitter: Any) -> None:
        share = half
        if jitter > 0:
            share = half * (one + jitter * (two * uniform(seed, version, child_id) - one))
        w1, b1, w2, b2 = split(cells.weight[parent], cells.bias[parent], share)
        cells.weight[parent], cells.bias[parent] = w1, b1
        cells.weight[child], cells.bias[child] = w2, b2

    def join(cells: Any, parent: Any, child: Any, child_id: Any, version: Any, seed: Any, jitter: Any) -> None:
        cells.source[child], cells.target[child] = cells.source[parent], cells.target[parent]
        cells.weight_grad[child], cells.bias_grad[child] = 0, 0

    def inherit_state(cells: Any, parent: Any, child: Any, child_id: Any, version: Any, seed: Any, jitter: Any) -> None:
        for row in range(cells.state.shape[0]):
            cells.state[row, child] = cells.state[row, parent] if inherit else 0

    def name(cells: Any, parent: Any, child: Any, child_id: Any, version: Any, seed: Any, jitter: Any) -> None:
        cells.parent[child], cells.born[child] = cells.id[parent], version
        cells.id[child] = child_id

    return jit(share), jit(join), jit(inherit_state), jit(name)
