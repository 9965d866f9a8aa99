"""Draw the pictures of the documentation's gallery: `python examples/gallery.py`, where `hebbian-dna[demo]` is installed.

Pictures of the page are taken where playwright is installed and has a Chromium (named by CHROMIUM, or its own).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

import dna
from dna.data import load_bundled
from dna.graph.lives import lives
from dna.graph.plots import (
    plot_cells,
    plot_class_maps,
    plot_degrees,
    plot_families,
    plot_loss,
    plot_signals,
    plot_survival,
    plot_topology,
    plot_values,
    save_figure,
)

FOLDER = Path("docs/images")


def main(folder: Path, epochs: int) -> None:
    """Train a single layer and a deeper network, and write all plots of them into a folder."""
    single, deep = train([784, 10], epochs, cell="linear"), train([784, 24, 10], epochs, cell="relu", density=[0.12, 0.8])
    marks = [(event.epoch, event.n_born, event.n_died) for event in single.fossils]
    history, past = single.history, lives(single.topology(), single.fossils)
    last = single.fossils[-1].version
    before, after = single.at(last - 1), single.at(last)

    plot_loss(history.loss, history.val_loss, marks, ax := axes())
    save(ax.figure, folder / "gallery-loss.png")
    plot_cells(history.cells, marks, ax := axes())
    save(ax.figure, folder / "gallery-cells.png")
    for column, name in (("weight", "weights"), ("bias", "biases")):
        plot_values(before, after, column, ax := axes())
        save(ax.figure, folder / f"gallery-{name}.png")
    plot_survival(past, ax := axes())
    save(ax.figure, folder / "gallery-survival.png")
    plot_families(lives(deep.topology(), deep.fossils), 5, ax := axes())
    save(ax.figure, folder / "gallery-families.png")
    plot_degrees(deep.topology(), ax := axes())
    save(ax.figure, folder / "gallery-degrees.png")
    save(plot_topology(deep.topology()).figure, folder / "gallery-topology.png")
    save(plot_class_maps(single.topology()), folder / "gallery-classes.png")
    draw_signals(deep, folder)
    look_at_page(single, folder)


def draw_signals(network: dna.Network, folder: Path) -> None:
    """Draw the growth signals that were measured after every epoch."""
    measured = network.history.signals
    signals = {name: [values[name] for values in measured] for name in measured[0]}
    plot_signals(signals, [epoch.number for epoch in network.history.epochs], ax := axes())
    save(ax.figure, folder / "gallery-signals.png")


def train(layers: list[int], epochs: int, **options: object) -> dna.Network:
    digits = load_bundled()
    net = dna.Network(layers, input_shape=digits.image_shape, seed=2, device="cpu", **options)
    net.fit(
        digits.x,
        digits.y,
        epochs=epochs,
        batch_size=100,
        optimizer=dna.Adam(3e-3, weight_decay=1e-3, bias_lr=0.1),
        extinction=dna.Extinction(split=0.12, delete=0.10, every=max(epochs // 10, 1), patience=0, min_delta=10.0),
        validation=(digits.x_test, digits.y_test),
        signals=["entropy", "mutual_information"] if len(layers) > 2 else [],
        progress=False,
    )
    return net


def axes() -> object:
    return Figure(figsize=(4.6, 3.2), layout="constrained").subplots()


def save(figure: object, path: Path) -> None:
    shrink(save_figure(figure, path))


def shrink(path: Path) -> None:
    """Make a small file of a picture, as the gallery travels with the source: 1,000 pixels and 128 colours at most."""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((1000, 1000))
    small.quantize(128).save(path, optimize=True)
    print(f"wrote {path}, {path.stat().st_size // 1024} KiB")


def look_at_page(net: dna.Network, folder: Path) -> None:
    """Take pictures of the page: whole in light, and the cells of one class in dark."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("no playwright: no pictures of the page")
        return
    arguments = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        path = dna.export(net, Path(scratch) / "topology.html")
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM"), args=arguments)
        three = int(net.topology().outputs[3])
        for theme, action in (("light", "0"), ("dark", f"dnaPage.choose({{ node: {three} }})")):
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme=theme)
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready]")
            page.evaluate(action)
            page.wait_for_timeout(800)
            page.screenshot(path=folder / f"page-{theme}.png")
            shrink(folder / f"page-{theme}.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER, epochs=40)
