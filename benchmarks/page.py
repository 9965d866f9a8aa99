"""The page: how long it takes to write, to open, and to draw another version, by the number of cells.

A browser without a GPU draws WebGL by software, so the times of drawing are those of the slowest machine. Opening is from the
browser's first moment with the file to the end of the page's own script, drawing the median of redraws of all versions.

    CHROMIUM=/usr/bin/chromium python benchmarks/page.py       # writes benchmarks/results/page.json
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, sync_playwright
from record import write_result

import dna

ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
REDRAW = """() => { const times = []; for (let version = dnaPage.data.first; version <= dnaPage.data.last; version++) {
    const start = performance.now(); dnaPage.change({ version }); times.push(performance.now() - start); } return times; }"""
OPENINGS = 3


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM"), args=ARGUMENTS)
        for outputs in (10, 100, 195):
            rows.append(measure(browser, lived(outputs), Path(folder) / "topology.html"))
            print(rows[-1], flush=True)
        browser.close()
    print(f"wrote {write_result('page', {'rows': rows})}")


def lived(outputs: int) -> dna.Network:
    """Return a network of 784 inputs after three extinctions."""
    net = dna.Network([784, outputs], device="cpu", init="glorot", input_shape=(28, 28))
    for _ in range(3):
        net.extinction(dna.Extinction(split=0.1, delete=0.1, jitter=0.5))
    return net


def measure(browser: Browser, net: dna.Network, path: Path) -> dict[str, Any]:
    start = time.perf_counter()
    dna.export(net, path)
    written = time.perf_counter() - start
    opened, redrawn = [], []
    for _ in range(OPENINGS):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=120_000)
        opened.append(float(page.get_attribute("html", "data-ready") or "nan"))
        redrawn += page.evaluate(REDRAW)
        page.close()
    return {
        "living": len(net),
        "with_the_dead": len(net) + sum(event.n_died for event in net.fossils),
        "mib": round(path.stat().st_size / 2**20, 2),
        "written_ms": round(1e3 * written, 1),
        "opened_ms": min(opened),
        "redrawn_ms": round(float(np.median(redrawn)), 1),
    }


if __name__ == "__main__":
    main()
