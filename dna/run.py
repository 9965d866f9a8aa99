"""A run's folder: the trained model, its topology in open formats, and pictures."""

from __future__ import annotations

from pathlib import Path

from dna.graph.export import export
from dna.graph.lives import chronicle_of
from dna.network import Network
from dna.training import History

FORMATS = ("html", "gexf", "graphml")


def write_run(network: Network, history: History, folder: str | Path, *, pictures: bool = True) -> list[Path]:
    """Write `model.dna`, the topology as `.html`, `.gexf` and `.graphml`, `loss.png`; `classes.png` where pixels join to outputs.

    Parameters
    ----------
    network : Network
    history : History
        Of the fit that led here.
    folder : str or Path
        Made if it is missing; files of these names are replaced.
    pictures : bool
        Whether to draw the PNGs, which takes matplotlib.

    Returns
    -------
    list of Path
        What was written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / "model.dna")
    written = [folder / "model.dna"]
    topology = network.topology()
    written += [export(topology, folder / f"topology.{suffix}", chronicle_of(network)) for suffix in FORMATS]
    if pictures:
        written += _draw(network, history, folder)
    return written


def _draw(network: Network, history: History, folder: Path) -> list[Path]:
    from dna.graph.plots import plot_class_maps, plot_loss, save_figure

    first = history.epochs[0].number if history.epochs else 1
    marks = [(event.epoch - first + 1, event.n_born, event.n_died) for event in history.extinctions]
    validation = history.val_loss if any(value is not None for value in history.val_loss) else None
    axes = plot_loss(history.loss, validation, marks)
    written = [save_figure(axes.figure, folder / "loss.png")]
    topology = network.topology()
    if topology.n_levels == 2 and topology.input_shape is not None:
        written.append(save_figure(plot_class_maps(topology), folder / "classes.png"))
    return written
