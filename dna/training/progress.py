"""Progress: the bar that `fit` shows."""

from __future__ import annotations

from dna.training.history import Epoch


class Progress:
    """A bar over all batches of a fit, and a line for each extinction."""

    def __init__(self, shown: bool, epochs: int, batches: int) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=epochs * batches, disable=not shown, unit="batch", dynamic_ncols=True, leave=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def step(self, batches: int = 1) -> None:
        self._bar.update(batches)

    def show(self, epoch: Epoch) -> None:
        if self._bar.disable:
            return
        self._bar.set_description(f"epoch {epoch.number}", refresh=False)
        figures = {"loss": f"{epoch.loss:.4f}"}
        if epoch.val_loss is not None:
            figures["val"] = f"{epoch.val_loss:.4f}"
        self._bar.set_postfix(figures | {"cells": epoch.cells if epoch.event is None else epoch.event.cells_after})
        for event in epoch.events:
            self._bar.write(str(event))
