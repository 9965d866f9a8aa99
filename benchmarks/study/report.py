"""Tables and pictures of the study, from its results alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE, PICTURES = ROOT / "benchmarks" / "results", ROOT / "docs" / "results.md", ROOT / "docs" / "images"
TABLE = re.compile(r"(?P<head><!-- table: (?P<part>\w+)/(?P<group>[^/\n]*) -->\n).*?(?=<!-- end -->)", re.DOTALL)
MASKED = {
    "RigL in PyTorch, 12 epochs": (94.0, 96.2, 97.3, 97.8, 98.4),
    "RigL in PyTorch, 60 epochs": (96.8, 97.1, 97.7, 98.0, 98.3),
}
"""One seed each, in percent, for the budgets in their order: measured elsewhere, with masks and Adam."""

COLORS = {
    "fixed": "0.5", "regrow by gradient": "tab:blue", "regrow at random": "tab:orange", "regrow by correlation": "tab:purple",
    "grown": "tab:cyan", "split the strongest": "tab:green", "split at random": "tab:red",
}  # fmt: skip

CURVES = ("fixed", "article: halves, by |w|", "control: halves, at random", "half the pairs, fixed", "half the pairs, RigL")
"""Rows of one level that are drawn epoch by epoch."""


def report() -> None:
    """Write the tables of `docs/results.md` anew, and draw the pictures."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    draw_budgets(PICTURES / "results-budget.png")
    draw_curves(PICTURES / "results-curves.png")
    print(f"wrote {PAGE} and pictures in {PICTURES}")


def filled(page: str) -> str:
    """Return a page with each table between its marks as the results say it."""
    return TABLE.sub(lambda found: found["head"] + table(rows_of(found["part"], found["group"]), found["part"]), page)


def rows_of(part: str, group: str) -> list[dict[str, Any]]:
    result = json.loads((RESULTS / f"study_{part}.json").read_text(encoding="utf-8"))
    return [row for row in result["rows"] if row["group"] == group]


def table(rows: list[dict[str, Any]], part: str) -> str:
    """Return a table in Markdown: budgets side by side, other rows one below another."""
    if part == "budget" and all(re.match(r"\d+ cells: ", row["name"]) for row in rows) and rows[0]["group"] != "biases":
        return budget_table(rows)
    columns = {
        "setting": lambda row: short(row).replace("|", r"\|"),
        "accuracy, %": percent,
        "training, %": lambda row: f"{100 * row['training accuracy']:.2f}",
        "extinctions": lambda row: f"{row['extinctions']:.0f}",
        "cells": lambda row: f"{row['cells']:.0f}",
        "pairs": lambda row: f"{row['pairs']:.0f}",
    }
    if part == "single":
        columns |= {"loss at once": lambda row: change(row, "loss at once"), "loss later": lambda row: change(row, "loss later")}
    return markdown([list(columns), *([tell(row) for tell in columns.values()] for row in rows)])


def short(row: dict[str, Any]) -> str:
    """Return the name of a row without what its whole table shares."""
    shared = "" if row["group"] in ("biases", "levels") else row["name"].split(": ")[0] + ": "
    return row["name"].removeprefix(shared)


def budget_table(rows: list[dict[str, Any]]) -> str:
    """Return the rules down, the budgets across."""
    cells = {tuple(row["name"].split(" cells: ")): row for row in rows}
    budgets, names = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    lines = [[name, *(percent(cells[budget, name]) for budget in budgets)] for name in names]
    return markdown([["rule", *(f"{int(budget):,} cells" for budget in budgets)], *lines])


def percent(row: dict[str, Any]) -> str:
    return f"{100 * row['accuracy']:.2f} ± {100 * row['deviation']:.2f}"


def change(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:+.4f}" if name in row else ""


def markdown(lines: list[list[str]]) -> str:
    head, *body = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body]) + "\n"


def draw_budgets(path: Path) -> None:
    """Draw accuracy against the budget of cells, a line a rule."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
    for ax, group, aim in zip(axes, ("12 epochs, Adam", "60 epochs, AdamW"), MASKED, strict=True):
        lines: dict[str, list[dict[str, Any]]] = {}
        for row in rows_of("budget", group):
            lines.setdefault(row["name"].split(": ", 1)[1], []).append(row)
        for name, rows in lines.items():
            budgets = [int(row["name"].split()[0]) for row in rows]
            mean, deviation = ([100 * row[key] for row in rows] for key in ("accuracy", "deviation"))
            ax.errorbar(budgets, mean, deviation, fmt="o-", markersize=4, capsize=2, label=name, color=color_of(name))
        ax.plot(budgets, MASKED[aim], "k--", linewidth=1, label="masks in PyTorch: RigL,\none seed, measured elsewhere")
        ax.set(xscale="log", title=group, xlabel="cells, never more", ylim=(88, 99))
        ax.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
        ax.minorticks_off()
    handles = {line.get_label().split(" (")[0]: line for ax in axes[::-1] for line in ax.get_legend_handles_labels()[0]}
    figure.legend(handles.values(), handles, loc="outside right center", frameon=False)
    axes[0].set_ylabel("accuracy on test images, %")
    figure.savefig(path, dpi=80)
    plt.close(figure)


def color_of(name: str) -> str:
    """Return the color of a rule, the same in all pictures."""
    return next(color for start, color in COLORS.items() if name.startswith(start))


def draw_curves(path: Path) -> None:
    """Draw accuracy and cells epoch by epoch: one level of relu cells, and a budget of 4,000 cells."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 6), layout="constrained", height_ratios=(3, 1), sharex="col")
    single = {row["name"]: row for row in rows_of("single", "relu")}
    budget = [row for row in rows_of("budget", "60 epochs, AdamW") if row["name"].startswith("4000 ")]
    for column, rows in enumerate(([single[f"relu: {name}"] for name in CURVES], budget)):
        for row in rows:
            accuracy, cells = (np.array([run[f"{what} by epoch"] for run in row["runs"]]) for what in ("accuracy", "cells"))
            epochs = np.arange(1, accuracy.shape[1] + 1)
            mean = axes[0, column].plot(epochs, 100 * accuracy.mean(0), label=row["name"].split(": ", 1)[1], linewidth=1)
            color = mean[0].get_color()
            axes[0, column].fill_between(epochs, 100 * accuracy.min(0), 100 * accuracy.max(0), alpha=0.15, color=color)
            axes[1, column].plot(epochs, cells.mean(0), linewidth=1, color=color)
        axes[0, column].legend(frameon=False, fontsize=8, loc="lower right")
        axes[1, column].set(xlabel="epoch", ylim=(0, None))
    axes[0, 0].set(title="one level of relu cells", ylabel="accuracy on test images, %", ylim=(82, 93))
    axes[0, 1].set(title="two hidden levels, at most 4,000 cells", ylim=(91, 98.5))
    axes[1, 0].set(ylabel="cells")
    figure.savefig(path, dpi=80)
    plt.close(figure)
