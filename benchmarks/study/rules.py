"""The rules that the study compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dna

PLATEAU = dna.Plateau(every=2, patience=0, min_delta=5e-3)
"""The article's schedule, short enough for several extinctions in thirty epochs."""


def stalled(**options: Any) -> Callable[[int], dna.Extinction]:
    """Return the article's extinction: a tenth splits and a tenth dies whenever the training loss stalls."""
    return lambda steps: dna.Extinction(when=PLATEAU, **options)


def rewired(
    birth: Callable[[], Any] | None = None, *, by: str = "gradient", share: float = 0.3, fall: bool = True, last: float = 0.75,
    every: int | None = 100, passthrough: str = "weight", scope: Any = "layer", grace: int = 0,
) -> Callable[[int], dna.Extinction]:  # fmt: skip
    """Return the rule by which the weakest die and as many are born, every so many steps (None: epochs), up to a part of them."""

    def rule(steps: int) -> dna.Extinction:
        until = int(last * steps)
        part = dna.Cosine(share, until=until, unit="steps") if fall else share
        deaths = dna.Delete(share=part, scope=scope, passthrough=passthrough, grace=grace)
        births = dna.Regrow(share="died", by=by, scope=scope) if birth is None else birth()  # type: ignore[arg-type]
        when = dna.Every(epochs=1) if every is None else dna.Every(steps=every, until=until)
        return dna.Extinction(deaths=deaths, births=births, when=when)

    return rule


def grown(start: int, cells: int) -> Callable[[int], dna.Extinction]:
    """Return the rule by which a network grows from `start` to `cells` along a cubic while the weakest fifth is rewired."""

    def rule(steps: int) -> dna.Extinction:
        deaths = dna.Delete(share=dna.Cosine(0.2, until=int(0.9 * steps), unit="steps"))
        births = dna.Regrow(cells=dna.Cubic(start, cells, until=steps // 2, unit="steps"))
        return dna.Extinction(deaths=deaths, births=births, when=dna.Every(steps=100, until=int(0.9 * steps)))

    return rule


def halves(passthrough: str = "weight") -> dna.Split:
    """Return the split of as many of the strongest as die in the level."""
    return dna.Split(share="died", scope="layer", jitter=0.3, passthrough=passthrough)


@dataclass(frozen=True)
class Forgetful:
    """A split whose children begin without their parent's optimizer state; a rule as users write them."""

    split: dna.Split
    name = "forgetful split"

    def check(self, maths: Any) -> None:
        self.split.check(maths)

    def prepare(self, selection: Any) -> ForgetfulTwins:
        return ForgetfulTwins(self.split.prepare(selection))

    def options(self) -> dict[str, Any]:
        return self.split.options() | {"name": self.name}


@dataclass(frozen=True)
class ForgetfulTwins:
    twins: Any

    @property
    def parents(self) -> Any:
        return self.twins.parents

    def write(self, cells: Any, children: Any, first_id: int) -> None:
        self.twins.write(cells, children, first_id)
        cells.state[:, children] = 0
