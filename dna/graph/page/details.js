// The panel beside the drawing and the tip at the pointer: what is known of a node or a cell. Texts are set, never parsed.

const SVG = "http://www.w3.org/2000/svg";
const MOST_KIN = 60; // lives that a family tree shows

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function list(pairs) {
  return element("dl", {}, ...pairs.flatMap(([term, text]) => [element("dt", { textContent: term }), element("dd", { textContent: text })]));
}

const number = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(5))).replace("-", "\u2212") : String(value));

function cellFacts(data, row, version) {
  const { id, source, target, parent, born, died } = data.cells;
  return [
    ["cell", `${id[row]}`],
    ["joins", `${nameOf(data, source[row])} \u2192 ${nameOf(data, target[row])}`],
    ["weight", number(knownAt(data, row, version, "weight"))],
    ["bias", number(knownAt(data, row, version, "bias"))],
    ["parent", parent[row] < 0 ? "none" : `cell ${parent[row]}`],
    ["born", momentOf(data, born[row])],
    ...(died[row] === ALIVE ? [] : [["died", momentOf(data, died[row])]]),
  ];
}

function nodeFacts(data, node, version) {
  let into = 0;
  let out = 0;
  for (let row = 0; row < data.size; row++) {
    if (!livesAt(data, row, version)) continue;
    into += data.cells.target[row] === node;
    out += data.cells.source[row] === node;
  }
  const pixel = data.nodes.column[node] < 0 ? [] : [["pixel", `column ${data.nodes.column[node]}, row ${data.nodes.row[node]}`]];
  return [["node", `${node}`], ["level", `${data.nodes.level[node]}`], ...pixel, ["cells in", `${into}`], ["cells out", `${out}`]];
}

function showDetails(panel, data, state, choose) {
  panel.replaceChildren();
  if (state.cell !== null) showCell(panel, data, state, choose);
  else if (state.node !== null) showNode(panel, data, state, choose);
  else showStrongest(panel, data, state, choose);
}

function showCell(panel, data, state, choose) {
  const row = state.cell;
  panel.append(element("h2", { textContent: `Cell ${data.cells.id[row]}` }), list(cellFacts(data, row, state.version).slice(1)));
  const family = familyOf(data, row);
  const title = family.length === 1 ? "Lineage: it never split" : `Lineage: ${family.length} cells of one founder`;
  panel.append(element("h3", { textContent: title }));
  if (family.length > 1) panel.append(familyTree(data, family, row, state.version, choose));
  panel.append(element("div", { className: "row" }, button("show all cells", () => choose({})), button("source", () => choose({ node: data.cells.source[row] })), button("target", () => choose({ node: data.cells.target[row] }))));
}

function showNode(panel, data, state, choose) {
  panel.append(element("h2", { textContent: nameOf(data, state.node) }), list(nodeFacts(data, state.node, state.version)));
  panel.append(element("h3", { textContent: "Its strongest cells" }));
  const mine = (row) => data.cells.source[row] === state.node || data.cells.target[row] === state.node;
  panel.append(cellButtons(data, state, mine, choose), element("div", { className: "row" }, button("show all cells", () => choose({}))));
}

function showStrongest(panel, data, state, choose) {
  panel.append(element("h3", { textContent: "Strongest cells" }), cellButtons(data, state, () => true, choose));
  panel.append(element("p", { className: "hint", textContent: "Click a cell to follow its lineage, or a node to see its cells alone." }));
}

function button(text, onclick) {
  return element("button", { type: "button", textContent: text, onclick });
}

function cellButtons(data, state, wanted, choose) {
  const best = [];
  for (let row = 0; row < data.size; row++) {
    if (!livesAt(data, row, state.version) || !wanted(row)) continue;
    const size = Math.abs(knownAt(data, row, state.version, "weight"));
    if (best.length === 6 && size <= best[5].size) continue;
    best.push({ row, size });
    best.sort((a, b) => b.size - a.size);
    best.length = Math.min(best.length, 6);
  }
  const label = ({ row }) => `${data.cells.id[row]}: ${number(knownAt(data, row, state.version, "weight"))}`;
  return element("div", { className: "row" }, ...best.map((one) => button(label(one), () => choose({ cell: one.row }))));
}

// Time runs to the right; a line is a life, a thin upright one a birth, a dot a death.
function familyTree(data, family, chosen, version, choose) {
  const kin = family.slice(0, MOST_KIN);
  const step = 14;
  const span = data.last + 1 - data.first;
  const x = (at) => 6 + ((Math.max(at, data.first) - data.first) / span) * 236;
  const y = new Map(kin.map((row, k) => [row, 10 + k * step]));
  const tree = drawn("svg", { id: "tree", viewBox: `0 0 288 ${kin.length * step + 8}`, role: "group", "aria-label": "family tree" });
  tree.append(drawn("line", { class: "birth", x1: x(version), x2: x(version), y1: 0, y2: kin.length * step + 8 }));
  for (const row of kin) {
    const { id, parent, born, died } = data.cells;
    const end = died[row] === ALIVE ? data.last + 1 : died[row];
    const up = y.get(data.rowOf.get(parent[row]));
    const life = drawn("g", { class: row === chosen ? "here" : "", tabindex: 0, role: "button", "aria-label": `cell ${id[row]}` });
    if (up !== undefined) life.append(drawn("line", { class: "birth", x1: x(born[row]), x2: x(born[row]), y1: up, y2: y.get(row) }));
    for (const kind of ["life", "hit"]) life.append(drawn("line", { class: kind, x1: x(born[row]), x2: x(end), y1: y.get(row), y2: y.get(row) }));
    if (died[row] !== ALIVE) life.append(drawn("circle", { class: "death", cx: x(end), cy: y.get(row), r: 3 }));
    life.append(drawn("text", { x: 248, y: y.get(row) + 3.5 }, String(id[row])));
    life.addEventListener("click", () => choose({ cell: row }));
    life.addEventListener("keydown", (event) => event.key === "Enter" && choose({ cell: row }));
    tree.append(life);
  }
  if (kin.length < family.length) tree.append(drawn("title", {}, `the first ${kin.length} of ${family.length}`));
  return tree;
}

// "cell 12", "node 12", a name or the beginning of one, or a bare number: a node if there is one, else a cell.
function find(data, text) {
  const wanted = text.trim();
  const [, what, digits] = wanted.match(/^(cell|node|#)?\s*(\d+)$/i) || [];
  const named = data.names ? data.names.findIndex((name) => String(name).toLowerCase() === wanted.toLowerCase()) : -1;
  if (named >= 0) return { node: named };
  if (digits !== undefined) {
    const value = Number(digits);
    if ((!what || what.toLowerCase() === "node") && value < data.order) return { node: value };
    const row = data.rowOf.get(value);
    if (row !== undefined && (!what || what.toLowerCase() !== "node")) return { cell: row };
  }
  const near = data.names ? data.names.findIndex((name) => String(name).toLowerCase().startsWith(wanted.toLowerCase())) : -1;
  return near >= 0 ? { node: near } : null;
}
