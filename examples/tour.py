"""A tour, to be read from top to bottom: build a network, train it, let cells split and die, look, export, and ask networkx.

Each part, from one `# %%` to the next, is a cell for editors that run notebooks of this form; `python examples/tour.py` runs all.
It needs `hebbian-dna[plots]`, and no download: the data is drawn here. What it writes goes to the folder `runs/tour`.
"""

# %% Data: 8 x 8 images of a stroke that rises or falls, somewhere near the diagonal, and noise. Which of the two is the class.
from pathlib import Path

import networkx as nx
import numpy as np

import dna
from dna.graph.lives import lives
from dna.graph.plots import plot_families, plot_survival, save_figure
from dna.training import JSONLines, LivePage

FOLDER = Path("runs/tour")
FOLDER.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(0)
y = rng.integers(0, 2, 600)
strokes = np.stack([np.eye(8, k=int(k)) for k in rng.integers(-1, 2, 600)])
strokes[y == 0] = strokes[y == 0, :, ::-1]
x = (0.3 * rng.random((600, 8, 8)) + 0.7 * strokes).reshape(600, 64).astype(np.float32)

# %% A network: 64 pixels, 12 hidden nodes, 2 classes. Every edge is a cell with a weight and a bias of its own.
net = dna.Network([64, 12, 2], input_shape=(8, 8), seed=1, device="cpu")
print(net, "with", len(net), "cells")
print("before training:", net.evaluate(x, y))

# %% Train. Every fourth epoch, in each layer, the strongest tenth of the cells splits and the weakest fifth dies. Two callbacks
# watch: one writes a line of JSON an epoch, one rewrites a page after every extinction, to be reloaded in a browser meanwhile.
rule = dna.Extinction(split=0.10, delete=0.20, scope="layer", every=4, patience=0, min_delta=10.0)
history = net.fit(
    x, y, epochs=18, batch_size=50, optimizer=dna.Adam(5e-3, bias_lr=0.1), extinction=rule, progress=False,
    callbacks=[JSONLines(FOLDER / "epochs.jsonl"), LivePage(FOLDER / "topology.html")],
)  # fmt: skip
print("after training:", net.evaluate(x, y))
for event in net.fossils:
    print(event)

# %% The cells of now, as NumPy arrays; and one family, the dead included.
cells = net.cells
family = net.fossils.lineage(int(cells.id[-1]))
print(len(cells), "cells live; the youngest descends from", family.ancestors, "and its family has", len(family.family), "members")

# %% Export. The page shows all of it; Gephi takes the GEXF, with the lifetime of every cell on its timeline.
for name in ("topology.html", "topology.gexf", "topology.csv", "topology.png"):
    print("wrote", dna.export(net, FOLDER / name))

# %% networkx: the topology is a graph like any other. Which pixels still reach a class? Which hidden node carries most?
graph = net.graph(parallel="merged")
falls = net.n_in + 12 + 1  # the output node of the class "falls"
reaching = [node for node in nx.ancestors(graph, falls) if graph.nodes[node]["role"] == "input"]
middle = nx.betweenness_centrality(graph)
busiest = max((node for node in graph if graph.nodes[node]["role"] == "hidden"), key=middle.__getitem__)
joined = nx.compose(graph, nx.DiGraph(("all", pixel) for pixel in range(64)))
print(len(reaching), "of 64 pixels reach it; hidden node", busiest, "lies on most shortest paths;", end=" ")
print(nx.maximum_flow_value(joined, "all", falls, capacity="count"), "cells wide is the way from all pixels to it")

# %% Filters build only the part that is asked for: here the neighbourhood of that node, and its five strongest cells.
print("around it:", net.graph(around=busiest))
for source, target, weight in net.graph(source=busiest, strongest=5).edges(data="weight"):
    print(f"  {source} -> {target}: {weight:+.3f}")

# %% Time: what lived in version 2, and how long cells live.
then = net.at(2)
print("version 2 had", len(then.cells), "cells;", np.isin(then.cells.id, cells.id).sum(), "of them live")
past = lives(net.topology(), net.fossils)
save_figure(plot_survival(past).figure, FOLDER / "survival.png")
save_figure(plot_families(past, 4).figure, FOLDER / "families.png")

# %% Keep it, and go on another day: bit by bit where it stood.
net.save(FOLDER / "tour.dna")
twin = dna.load(FOLDER / "tour.dna", device="cpu")
assert np.array_equal(twin.forward(x[:5]), net.forward(x[:5]))
print("saved; now try: dna inspect", FOLDER / "tour.dna")
