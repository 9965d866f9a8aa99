"""The rows of each part of the study."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import dna
from study.rules import Forgetful, grown, halves, rewired, stalled
from study.train import Row, densities

Rule = Callable[[int], dna.Extinction | None]
"""Of the number of steps in all."""

# one level

INITS = {"linear": "ones", "relu": "spread", "tanh": "spread"}
SINGLE = {
    "fixed": lambda steps: None,
    "article: halves, by |w|": stalled(passthrough="weight", rule="article"),
    "code: halves, by |w + b|": stalled(passthrough="weight_bias", rule="article"),
    "control: halves, at random": stalled(passthrough="random", rule="article"),
    "function-preserving, by |w|, jitter": stalled(passthrough="weight", jitter=0.3),
    "function-preserving, by gradient, jitter": stalled(passthrough="gradient", jitter=0.3),
    "function-preserving, at random, jitter": stalled(passthrough="random", jitter=0.3),
}
HALF = {
    "half the pairs, fixed": lambda steps: None,
    "half the pairs, SET": rewired(by="random"),
    "half the pairs, RigL": rewired(by="gradient"),
}


def single_rows() -> list[Row]:
    """Return one level by the article's extinction, its code's, function-preserving ones, controls, and constant budgets."""
    rows = []
    for cell, init in INITS.items():
        for name, rule in (SINGLE | HALF).items():
            options = {"cell": cell, "init": init, "density": 0.5 if name in HALF else 1.0}
            rows.append(Row(f"{cell}: {name}", cell, (784, 10), 30, rule, options=options, calm=0 if name in HALF else 5))
    return rows


# a budget of cells

BUDGETS = (2000, 4000, 8000, 16000, 40000)
REFERENCE_LAYERS = (784, 100, 50, 10)
REFERENCE: dict[str, Rule] = {
    "fixed": lambda steps: None,
    "split at random (control)": rewired(lambda: halves("random"), passthrough="random"),
    "split the strongest": rewired(halves),
    "regrow at random (SET)": rewired(by="random"),
    "regrow by correlation (Hebb)": rewired(by="correlation"),
    "regrow by gradient (RigL)": rewired(by="gradient"),
}
RECIPE = {"share": 0.2, "last": 0.9, "scope": "network"}
RECIPES: dict[str, Callable[[int], Rule]] = {
    "fixed": lambda cells: lambda steps: None,
    "regrow at random": lambda cells: rewired(by="random", **RECIPE),
    "regrow by gradient": lambda cells: rewired(by="gradient", **RECIPE),
    "grown from a quarter, by gradient": lambda cells: grown(cells // 4, cells),
}


def layers_of(cells: int) -> tuple[int, ...]:
    """Return the levels of the recipe: wide ones where the budget fills them."""
    return (784, 100, 50, 10) if cells <= 8000 else (784, 300, 100, 10)


def decayed(lr: float = 5e-3, decay: float = 0.1, bias_lr: float | None = None) -> Callable[[int], dna.Optimizer]:
    """Return AdamW with a rate that falls to zero over the training."""
    return lambda steps: dna.AdamW(dna.Cosine(lr, until=steps, unit="steps"), weight_decay=decay, bias_lr=bias_lr)


def budget_row(
    name: str, group: str, cells: int, rule: Rule, *, epochs: int = 60, layers: tuple[int, ...] | None = None,
    optimizer: Callable[[int], dna.Optimizer] | None = None, of: int = 1, cell: str = "linear",
) -> Row:  # fmt: skip
    """Return a row of a budget of cells, that begins with one part `of` them; by the recipe where nothing else is said."""
    layers = layers_of(cells) if layers is None else layers
    options = {"density": densities(layers, cells // of), "activation": "relu", "cell": cell}
    return Row(f"{cells} cells: {name}", group, layers, epochs, rule, optimizer or decayed(), options)


def budget_rows() -> list[Row]:
    """Return networks that never hold more than their budget, by the rule that moves cells about."""
    plain = lambda steps: dna.Adam(2e-3)  # noqa: E731
    rows = [
        budget_row(name, "12 epochs, Adam", cells, rule, epochs=12, layers=REFERENCE_LAYERS, optimizer=plain)
        for cells, (name, rule) in product(BUDGETS, REFERENCE.items())
    ]
    for cells, (name, rule) in product(BUDGETS, RECIPES.items()):
        rows.append(budget_row(name, "60 epochs, AdamW", cells, rule(cells), of=4 if name.startswith("grown") else 1))
    rigl = rewired(by="gradient", **RECIPE)
    rows += [
        budget_row("cells with biases", "biases", 4000, rigl),
        budget_row("weights alone", "biases", 4000, rigl, optimizer=decayed(bias_lr=0.0)),
        budget_row("weights alone, as many parameters", "biases", 8000, rigl, optimizer=decayed(bias_lr=0.0)),
        budget_row("tanh cells", "biases", 4000, rigl, cell="tanh"),
        budget_row("relu cells", "biases", 4000, rigl, cell="relu"),
    ]
    return rows


# ablations: one thing changed of the recipe


def ablation_rows() -> list[Row]:
    """Return the recipe at 4,000 cells with one part changed, and splits of non-linear cells in one level."""
    changed = {
        "the recipe": {},
        "birth: by correlation": {"by": "correlation"},
        "birth: at random": {"by": "random"},
        "birth: split the strongest": {"birth": lambda: dna.Split(share="died", jitter=0.3)},
        "birth: split at random": {"birth": lambda: dna.Split(share="died", jitter=0.3, passthrough="random")},
        "birth: split the strongest, 5 % every 400 steps": {
            "birth": lambda: dna.Split(share="died", jitter=0.3), "share": 0.05, "every": 400,
        },
        "birth: split at random, 5 % every 400 steps": {
            "birth": lambda: dna.Split(share="died", jitter=0.3, passthrough="random"), "share": 0.05, "every": 400,
        },
        "death: by |w + b|": {"passthrough": "weight_bias"},
        "death: by gradient": {"passthrough": "gradient"},
        "death: by current": {"passthrough": "current"},
        "death: by hebbian": {"passthrough": "hebbian"},
        "death: at random": {"passthrough": "random"},
        "death: newborns spared for two extinctions": {"grace": 2},
        "fraction: 5 %": {"share": 0.05},
        "fraction: 10 %": {"share": 0.1},
        "fraction: 30 %": {"share": 0.3},
        "fraction: 50 %": {"share": 0.5},
        "fraction: 20 % to the end": {"fall": False},
        "schedule: every 50 steps": {"every": 50},
        "schedule: every 400 steps": {"every": 400},
        "schedule: after each epoch": {"every": None},
        "schedule: for 3/4 of the steps": {"last": 0.75},
        "schedule: for half of the steps": {"last": 0.5},
        "scope: level by level": {"scope": "layer"},
    }  # fmt: skip
    rows = [budget_row(name, "recipe", 4000, rewired(**RECIPE | change)) for name, change in changed.items()]  # type: ignore[arg-type]
    optimizers = {
        "optimizer: Adam, constant rate": lambda steps: dna.Adam(2e-3),
        "optimizer: Adam, falling rate": lambda steps: dna.Adam(dna.Cosine(5e-3, until=steps, unit="steps")),
        "optimizer: AdamW, constant rate": lambda steps: dna.AdamW(2e-3, weight_decay=0.1),
    }
    rows += [budget_row(name, "recipe", 4000, rewired(**RECIPE), optimizer=optimizer) for name, optimizer in optimizers.items()]
    return rows + split_rows()


def split_rows() -> list[Row]:
    """Return single levels of relu cells that split: with and without jitter, with inherited and with new optimizer state."""
    splits = {
        "no splits, a tenth dies": [],
        "no jitter, state inherited": [dna.Split(share=0.1)],
        "jitter 0.3, state inherited": [dna.Split(share=0.1, jitter=0.3)],
        "jitter 0.9, state inherited": [dna.Split(share=0.1, jitter=0.9)],
        "no jitter, state reset": [Forgetful(dna.Split(share=0.1))],
        "jitter 0.3, state reset": [Forgetful(dna.Split(share=0.1, jitter=0.3))],
    }
    when, deaths = dna.Every(epochs=2), dna.Delete(share=0.1)
    return [
        Row(
            f"relu, 784-10: {name}", "splits", (784, 10), 30,
            lambda steps, births=births: dna.Extinction(deaths=deaths, births=births, when=when),
            options={"cell": "relu", "init": "spread"}, calm=5,
        )
        for name, births in splits.items()
    ]  # fmt: skip


# what surrounds the recipe


def choice_rows() -> list[Row]:
    """Return the recipe with other rates, decays, levels and scopes, to be judged on held-out training images."""
    rows = []
    for lr, decay in product((2.5e-3, 5e-3, 1e-2), (0.03, 0.1, 0.3)):
        rows.append(budget_row(f"rate {lr}, decay {decay}", "rates", 4000, rewired(**RECIPE), optimizer=decayed(lr, decay)))  # type: ignore[arg-type]
    shapes = ((784, 100, 10), (784, 100, 50, 10), (784, 300, 100, 10))
    for cells, layers, scope in product(BUDGETS, shapes, ("layer", "network")):
        name = f"{'-'.join(map(str, layers))}, by {scope}"
        rows.append(budget_row(name, "levels", cells, rewired(**RECIPE | {"scope": scope}), layers=layers))  # type: ignore[arg-type]
    return rows


ROWS: dict[str, Callable[[], list[Row]]] = {
    "single": single_rows, "budget": budget_rows, "ablation": ablation_rows, "choice": choice_rows,
}  # fmt: skip
