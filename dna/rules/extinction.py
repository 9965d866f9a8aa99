"""Extinction: who is born, who dies, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dna.cells import Scalar
from dna.errors import OptionError
from dna.rules.amount import Share, as_written, largest_share, settle_share
from dna.rules.births import Birth, Split
from dna.rules.deaths import Death, Delete
from dna.rules.node_split import SplitNodes
from dna.rules.passthrough import Passthrough, find_passthrough
from dna.rules.paths import Cosine
from dna.rules.schedule import Plateau, Schedule
from dna.rules.scope import Scope

Rule = TypeVar("Rule")

SHARED = ("passthrough", "scope")
OF_BIRTHS = ("split", "split_above", "rule", "jitter")
OF_DEATHS = ("delete", "delete_below", "keep_outputs")
OF_WHEN = ("every", "patience", "min_delta")


@dataclass(frozen=True, init=False)
class Extinction:
    """One event of births and deaths, and the schedule that fires it.

    It is composed of rules: `Extinction(births=Split(share=0.1), deaths=Delete(share=0.1), when=Plateau(every=5))`. The short
    form `Extinction(split=0.1, delete=0.1, every=5)` is another spelling of just that.

    Parameters
    ----------
    births : Birth or sequence of Birth
        Rules by which cells are born: `dna.Split`, `dna.Regrow`; and nodes: `dna.SplitNodes`, `dna.InsertNodes`,
        `dna.InsertLevel`, `dna.GrowNodes`.
    deaths : Death or sequence of Death
        Rules by which cells die: `dna.Delete`. Where only one of births and deaths is given, there are none of the other.
    when : Schedule
        `dna.Plateau`, `dna.Every`, `dna.Signal`.
    split, delete : float
        Short for the shares of `Split` and `Delete`; 0.10 each.
    split_above, delete_below : float, optional
        Short for their thresholds. A share and its threshold exclude each other.
    rule, jitter : str, float
        Short for those of `Split`.
    keep_outputs : bool
        Short for that of `Delete`.
    passthrough, scope : str
        Short for those of both.
    every, patience, min_delta : int, int, float
        Short for those of `Plateau`.

    Raises
    ------
    OptionError, UnknownNameError
        An argument is out of range, contradicts another or names something unknown.

    Notes
    -----
    First the deaths are chosen, rule by rule, then the births: a cell that dies does not split. Shares are of the cells that
    live before the event.
    """

    births: tuple[Birth, ...]
    deaths: tuple[Death, ...]
    when: Schedule

    def __init__(
        self,
        *,
        births: Birth | Sequence[Birth] | None = None,
        deaths: Death | Sequence[Death] | None = None,
        when: Schedule | None = None,
        split: Share | None = None,
        delete: float | Cosine | None = None,
        split_above: float | None = None,
        delete_below: float | None = None,
        passthrough: str | Passthrough | Scalar | None = None,
        rule: str | None = None,
        jitter: float | None = None,
        scope: Scope | None = None,
        keep_outputs: bool | None = None,
        every: int | None = None,
        patience: int | None = None,
        min_delta: float | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self" and value is not None}
        composed = births is not None or deaths is not None
        for part, short in (("births", OF_BIRTHS), ("deaths", OF_DEATHS), ("when", OF_WHEN)):
            _require_one_form(given, part, short)
        if composed:
            _require_one_form(given, "births" if births is not None else "deaths", SHARED)
        _check_short(given)
        if births is None:
            births = () if composed and not _has(given, OF_BIRTHS) else _short_split(given)
        if deaths is None:
            deaths = () if composed and not _has(given, OF_DEATHS) else _short_delete(given)
        schedule = Plateau(**_take(given, {name: name for name in OF_WHEN})) if when is None else when
        object.__setattr__(self, "births", _each("births", births, "prepare"))
        object.__setattr__(self, "deaths", _each("deaths", deaths, "mark"))
        object.__setattr__(self, "when", _require_part("when", schedule, "fires"))
        _require_one_split(self.births)
        _require_shares_of_one_whole(self.births, self.deaths)

    @property
    def statistics(self) -> tuple[str, ...]:
        """The statistics that its measures of passthrough take, by name: what must be gathered while the network trains."""
        measures = (find_passthrough(rule.passthrough) for rule in (*self.births, *self.deaths) if hasattr(rule, "passthrough"))
        return tuple(sorted({measure.statistic for measure in measures if measure.statistic is not None}))

    @property
    def needs_batch(self) -> bool:
        """Whether a rule of birth looks at potentials and gradients of a batch."""
        return any(getattr(birth, "needs_batch", False) for birth in self.births)

    def options(self) -> dict[str, Any]:
        """Return births, deaths and schedule, each with its name and parameters as plain values, for the fossil record."""
        return {
            "births": [birth.options() for birth in self.births],
            "deaths": [death.options() for death in self.deaths],
            "when": self.when.options(),
        }


def _short_split(given: dict[str, Any]) -> Split:
    names = {"share": "split", "above": "split_above", "rule": "rule", "jitter": "jitter"}
    return Split(**_take(given, names | {name: name for name in SHARED}))


def _short_delete(given: dict[str, Any]) -> Delete:
    names = {"share": "delete", "below": "delete_below", "keep_outputs": "keep_outputs"}
    return Delete(**_take(given, names | {name: name for name in SHARED}))


def _take(given: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {name: given[short] for name, short in names.items() if short in given}


def _has(given: dict[str, Any], names: tuple[str, ...]) -> bool:
    return any(name in given for name in names)


def _require_one_form(given: dict[str, Any], part: str, short: tuple[str, ...]) -> None:
    both = [name for name in short if name in given]
    if part in given and both:
        raise OptionError(f"{part} and {both[0]}: expected one of them, got both; {part}=... has parameters of its own")


def _check_short(given: dict[str, Any]) -> None:
    """Check the shares and thresholds of the short form by the names that they have there."""
    settle_share("split", given.get("split"), "split_above", given.get("split_above"), may_follow=True)
    settle_share("delete", given.get("delete"), "delete_below", given.get("delete_below"))
    above, below = given.get("split_above"), given.get("delete_below")
    if above is not None and below is not None and above < below:
        raise OptionError(f"split_above: expected at least delete_below = {below}, got {above}")


def _each(name: str, rules: Any, method: str) -> tuple[Any, ...]:
    members = tuple(rules) if isinstance(rules, list | tuple) else (rules,)
    return tuple(_require_part(name, member, method) for member in members)


def _require_part(name: str, part: Rule, method: str) -> Rule:
    if isinstance(part, type) or not callable(getattr(part, method, None)):
        kinds = {"births": "dna.Split(...)", "deaths": "dna.Delete(...)", "when": "dna.Plateau(...)"}
        raise OptionError(f"{name}: expected {kinds[name]} or another rule with a method `{method}`, got {part!r}")
    return part


def _require_one_split(births: tuple[Birth, ...]) -> None:
    """Refuse two rules that mark cells for a split: each would take the marks of the other for its own."""
    splits = sum(isinstance(birth, Split | SplitNodes) for birth in births)
    if splits > 1:
        raise OptionError(f"births: expected at most one dna.Split or dna.SplitNodes, got {splits}")


def _require_shares_of_one_whole(births: tuple[Birth, ...], deaths: tuple[Death, ...]) -> None:
    shares = [largest_share(rule.share) for rule in (*births, *deaths) if isinstance(rule, Split | Delete)]
    if sum(map(as_written, shares)) > 1:
        raise OptionError(f"shares of splits and deletions: expected at most 1, got {' + '.join(map(str, shares))}")
