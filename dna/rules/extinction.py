"""Extinction: which rule, which fractions, and when it fires."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from dna.cells import Scalar
from dna.errors import OptionError, UnknownNameError
from dna.rules.passthrough import Passthrough, find_passthrough
from dna.rules.split import SPLIT_RULES

SCOPES = ("network", "layer")


@dataclass(frozen=True, kw_only=True)
class Extinction:
    """One event of splits and deletions, and the plateau schedule that fires it.

    Parameters
    ----------
    split, delete : float
        Shares in [0, 1] of the living cells in scope: the floor(share * n) strongest split, the weakest die. The share is taken
        as the decimal number that is written, so that 0.29 of 100 is 29. Together at most 1.
    split_above, delete_below : float, optional
        Thresholds of passthrough in place of the shares: cells above (strictly) split, cells below (strictly) die. A share
        and its threshold exclude each other.
    passthrough : str, Passthrough or callable
        `weight` (the default), `weight_bias`, `random`, or a scalar function `(w, b) -> score`.
    rule : {"preserve", "article"}
        What a split makes of a cell: the cell kind's function-preserving rule, or the article's (w/2, b) and (w/2, 0). For linear
        cells they are the same.
    jitter : float
        In [0, 1): twins take shares (1 + j)/2 and (1 - j)/2 of their parent, j uniform in [-jitter, jitter] by cell. Their
        sum is kept.
    scope : {"network", "layer"}
        Whether cells are ranked over the whole network or among the cells into one level.
    keep_outputs : bool
        Whether the strongest cell of each output node is exempt from deletion, so that no output loses its last one.
    every : int
        n: at least so many epochs pass between extinctions, and before the first.
    patience : int
        k: the watched loss must have failed to improve for more than k epochs.
    min_delta : float
        What counts as an improvement of the best watched loss since the last extinction.

    Raises
    ------
    OptionError, UnknownNameError
        An argument is out of range, contradicts another or names something unknown.

    Notes
    -----
    Selection is exact and the same on every backend: the weakest come first by (passthrough up, id up); the strongest, among the
    cells that do not die, by (passthrough down, id up).
    """

    split: float | None = None
    delete: float | None = None
    split_above: float | None = None
    delete_below: float | None = None
    passthrough: str | Passthrough | Scalar = "weight"
    rule: str = "preserve"
    jitter: float = 0.0
    scope: str = "network"
    keep_outputs: bool = True
    every: int = 5
    patience: int = 3
    min_delta: float = 1e-3

    def __post_init__(self) -> None:
        for share, threshold in (("split", "split_above"), ("delete", "delete_below")):
            self._settle_share(share, threshold)
        if Fraction(repr(self.split)) + Fraction(repr(self.delete)) > 1:
            raise OptionError(f"split + delete: expected at most 1, got {self.split} + {self.delete}")
        if self.split_above is not None and self.delete_below is not None and self.split_above < self.delete_below:
            raise OptionError(f"split_above: expected at least delete_below = {self.delete_below}, got {self.split_above}")
        find_passthrough(self.passthrough)
        if self.rule not in SPLIT_RULES:
            raise UnknownNameError("split rule", self.rule, SPLIT_RULES)
        if self.scope not in SCOPES:
            raise UnknownNameError("scope", self.scope, SCOPES)
        _require_number("jitter", self.jitter, 0.0, 1.0, open_end=True)
        _require_number("min_delta", self.min_delta, 0.0, math.inf)
        _require_count("every", self.every, 1)
        _require_count("patience", self.patience, 0)

    def _settle_share(self, share: str, threshold: str) -> None:
        value, bound = getattr(self, share), getattr(self, threshold)
        if bound is not None:
            if value not in (None, 0, 0.0):
                raise OptionError(f"{share} and {threshold}: expected one of them, got both ({value}, {bound})")
            _require_number(threshold, bound, -math.inf, math.inf)
            value = 0.0
        value = 0.10 if value is None else value
        _require_number(share, value, 0.0, 1.0)
        object.__setattr__(self, share, float(value))

    def counts(self, n: int) -> tuple[int, int]:
        """Return how many of `n` living cells split and how many die by the shares."""
        return math.floor(Fraction(repr(self.split)) * n), math.floor(Fraction(repr(self.delete)) * n)

    def options(self) -> dict[str, Any]:
        """Return the arguments as plain values; a function of the user's is given by its name."""
        return asdict(self) | {"passthrough": find_passthrough(self.passthrough).name}


class ScheduleState(NamedTuple):
    """Where the plateau schedule stands; it belongs to the network, survives `fit`, and is saved with it."""

    epochs: int = 0  # since the last extinction
    best: float | None = None  # lowest watched loss since the last extinction
    stalled: int = 0  # epochs since that improved

    def after_epoch(self, loss: float, min_delta: float) -> ScheduleState:
        """Return the state after one more epoch that ended with the watched loss `loss`."""
        improved = self.best is None or loss < self.best - min_delta
        return ScheduleState(self.epochs + 1, loss if improved else self.best, 0 if improved else self.stalled + 1)

    def fires(self, extinction: Extinction) -> bool:
        """Whether an extinction is due."""
        return self.epochs >= extinction.every and self.stalled > extinction.patience


def _require_number(name: str, value: object, low: float, high: float, *, open_end: bool = False) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < low or value > high or (open_end and value == high):  # type: ignore[operator, arg-type]
        raise OptionError(f"{name}: expected a number in [{low}, {high}{')' if open_end else ']'}, got {value!r}")


def _require_count(name: str, value: object, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise OptionError(f"{name}: expected an integer of at least {low}, got {value!r}")
