// The drawing: a graph of graphology with all nodes and all cells that ever lived, and sigma, which draws what `look` allows.

const MANY = 30000; // cells, beyond which parallel ones lie on each other, as thin lines that are not drawn while the view moves

function createScene(container, data) {
  const graph = new graphology.MultiDirectedGraph();
  addNodes(graph, data);
  addCells(graph, data);
  const look = { nodes: new Array(data.order), cells: new Array(data.size).fill(HIDDEN), bends: data.size <= MANY ? bends(data) : null };
  const sigma = new Sigma(graph, container, {
    itemSizesReference: "positions",
    zoomToSizeRatioFunction: (ratio) => ratio,
    autoRescale: true,
    stagePadding: data.names ? 96 : 48,
    minEdgeThickness: 1,
    defaultEdgeType: "line",
    hideEdgesOnMove: data.size > MANY,
    edgeProgramClasses: { line: data.size > MANY ? Sigma.rendering.EdgeLineProgram : Sigma.rendering.EdgeRectangleProgram, curve: Sigma.rendering.EdgeCurveProgram },
    nodeProgramClasses: { square: squareProgram(), disc: Sigma.rendering.NodeCircleProgram },
    enableEdgeEvents: true,
    labelFont: "system-ui, sans-serif",
    labelSize: 12,
    labelRenderedSizeThreshold: 0,
    labelDensity: 100,
    labelGridCellSize: 20,
    zIndex: true,
    minCameraRatio: 0.02,
    maxCameraRatio: 4,
    defaultDrawNodeHover: () => {},
    defaultDrawNodeLabel: drawLabel,
    nodeReducer: (key, attributes) => ({ ...attributes, ...look.nodes[attributes.node] }),
    edgeReducer: (key, attributes) => look.cells[attributes.row],
  });
  return { graph, sigma, look };
}

function addNodes(graph, data) {
  const last = Math.max(...data.levels.keys());
  data.levels.forEach((level, depth) => {
    const labelled = level.nodes <= 60 && (data.names || depth === last);
    for (const node of level.members) {
      const square = level.pixels;
      const spacing = data.nodes.spacing[node];
      graph.addNode(String(node), {
        node,
        level: depth,
        x: data.nodes.x[node],
        y: -data.nodes.y[node],
        type: square ? "square" : "disc",
        size: square ? 0.5 : Math.min(Math.max(spacing * 0.36, 0.08), 0.62),
        label: labelled ? labelOf(data, node, depth === last) : null,
        forceLabel: Boolean(labelled),
      });
    }
  });
}

function labelOf(data, node, isOutput) {
  if (data.names) return String(data.names[node]);
  return isOutput ? String(data.outputs.indexOf(node)) : null;
}

// Names of inputs stand on their left, as cells leave them to the right; all others on their right.
function drawLabel(context, node, settings) {
  if (!node.label) return;
  const beside = node.size + 4;
  context.fillStyle = settings.labelColor.color;
  context.font = `${settings.labelSize}px ${settings.labelFont}`;
  context.textAlign = node.level ? "left" : "right";
  context.textBaseline = "middle";
  context.fillText(node.label, node.x + (node.level ? beside : -beside), node.y);
}

// Weak cells first, so that strong ones lie on top.
function addCells(graph, data) {
  const { source, target, weight } = data.cells;
  const order = Uint32Array.from({ length: data.size }, (_, row) => row);
  order.sort((a, b) => Math.abs(weight[a]) - Math.abs(weight[b]));
  for (const row of order) graph.addDirectedEdgeWithKey(`c${row}`, String(source[row]), String(target[row]), { row });
}

// How far each cell is bent. Of several of one pair: not at all, and then to both sides in turn. One that skips a level leaves the
// axis of the layout, so that no node hides it.
function bends(data) {
  const seen = new Map();
  const { level, y } = data.nodes;
  return Float32Array.from({ length: data.size }, (_, row) => {
    const source = data.cells.source[row], target = data.cells.target[row];
    const pair = source * data.order + target;
    const arc = level[target] - level[source] > 1 ? (y[source] + y[target] > 0 ? -0.16 : 0.16) : 0;
    const k = seen.get(pair) || 0;
    seen.set(pair, k + 1);
    return arc + Math.min(Math.ceil(k / 2) * 0.025, 0.3) * (k % 2 ? 1 : -1);
  });
}

// Decide how every node and cell looks, and draw. Returns how many cells are drawn.
function paint(scene, data, state) {
  const palette = readPalette();
  rim.color = palette.paper.map((value) => value / 255);
  const shown = shownCells(data, state);
  paintCells(scene.look, data, state, palette, shown);
  paintNodes(scene.look.nodes, data, state, palette);
  scene.sigma.setSetting("labelColor", { color: css(palette.ink) });
  scene.sigma.refresh();
  let count = 0;
  for (const visible of shown) count += visible;
  return count;
}

function shownCells(data, state) {
  const { cells, nodes } = data;
  const shown = new Uint8Array(data.size);
  for (let row = 0; row < data.size; row++) {
    const lives = livesAt(data, row, state.version) || (state.mode === "change" && cells.died[row] === state.version);
    const born = cells.born[row] >= state.bornFrom && cells.born[row] <= state.bornTo;
    const strong = Math.abs(knownAt(data, row, state.version, "weight")) >= state.least;
    const near = state.node === null || cells.source[row] === state.node || cells.target[row] === state.node;
    const kin = state.family === null || state.family.has(row);
    shown[row] = kin && (state.family ? lives : lives && born && strong && near && state.levels.has(nodes.level[cells.target[row]])) ? 1 : 0;
  }
  return shown;
}

function paintCells(look, data, state, palette, shown) {
  const { cells, nodes } = data;
  const paper = data.tall * 14; // so much ink covers the space before a level about once
  const strength = new Float32Array(data.size);
  const count = new Float64Array(data.levels.length);
  for (let row = 0; row < data.size; row++) {
    if (!shown[row]) continue;
    strength[row] = Math.min(Math.abs(knownAt(data, row, state.version, "weight")) / data.scale, 1);
    count[nodes.level[cells.target[row]]]++;
  }
  const faintest = count.map((cells) => Math.min(Math.max((0.2 * paper) / cells, 0.05), 0.3)); // few cells are never faint
  const opacityOf = (row) => {
    const faint = faintest[nodes.level[cells.target[row]]];
    return faint + (0.9 - faint) * strength[row] ** 1.5;
  };
  const ink = new Float64Array(data.levels.length);
  for (let row = 0; row < data.size; row++) if (shown[row]) ink[nodes.level[cells.target[row]]] += opacityOf(row);
  const thick = Math.min(Math.max(Math.sqrt(1500 / shown.reduce((sum, one) => sum + one, 1)), 1), 3);
  for (let row = 0; row < data.size; row++) {
    if (!shown[row]) {
      look.cells[row] = HIDDEN;
      continue;
    }
    const scaled = Math.min(1, paper / ink[nodes.level[cells.target[row]]]);
    const chosen = row === state.cell;
    const least = state.family ? 0.6 : 0.016;
    const [color, changed] = cellColor(data, row, state, palette);
    const opacity = changed ? Math.max(0.18, least) : Math.max(opacityOf(row) * scaled, least);
    const bend = look.bends ? look.bends[row] : 0;
    look.cells[row] = {
      type: bend ? "curve" : "line",
      curvature: bend,
      hidden: false,
      color: premultiplied(chosen ? palette.accent : color, chosen ? 1 : opacity),
      size: (chosen ? 0.16 : 0.05 * thick) + 0.1 * thick * strength[row],
      zIndex: chosen ? 2 : changed ? 1 : 0,
    };
  }
}

const HIDDEN = { hidden: true, type: "line" };

// The colour of a cell, and whether it was born or died in the version that is shown.
function cellColor(data, row, state, palette) {
  const { cells } = data;
  if (state.mode === "age") {
    const span = Math.max(state.version - data.oldest, 1);
    return [blend(palette.age, (cells.born[row] - data.oldest) / span), false];
  }
  if (state.mode === "change") {
    if (cells.died[row] === state.version) return [palette.died, true];
    if (cells.born[row] === state.version && state.version > data.first) return [palette.born, true];
    return [palette.neutral, false];
  }
  return [knownAt(data, row, state.version, "weight") < 0 ? palette.negative : palette.positive, false];
}

// Nodes are darker with more cells; next to a chosen node, the others show their summed weight to it.
function paintNodes(look, data, state, palette) {
  const value = state.node === null ? degrees(data, state) : weightsTo(data, state);
  const most = new Float64Array(data.levels.length);
  for (let node = 0; node < data.order; node++) {
    const level = data.nodes.level[node];
    most[level] = Math.max(most[level], Math.abs(value[node]));
  }
  for (let node = 0; node < data.order; node++) {
    const share = value[node] / (most[data.nodes.level[node]] || 1);
    const color = state.node === null ? blend(palette.tile, share <= 0 ? 0 : 0.15 + 0.85 * Math.sqrt(share)) : diverging(palette, share);
    look[node] = { color: css(node === state.node ? palette.accent : color) };
  }
}

function degrees(data, state) {
  const count = new Float64Array(data.order);
  for (let row = 0; row < data.size; row++) {
    if (!livesAt(data, row, state.version)) continue;
    count[data.cells.source[row]]++;
    count[data.cells.target[row]]++;
  }
  return count;
}

function weightsTo(data, state) {
  const sum = new Float64Array(data.order);
  const { source, target } = data.cells;
  for (let row = 0; row < data.size; row++) {
    if (!livesAt(data, row, state.version)) continue;
    const weight = knownAt(data, row, state.version, "weight");
    if (target[row] === state.node) sum[source[row]] += weight;
    if (source[row] === state.node) sum[target[row]] += weight;
  }
  return sum;
}
