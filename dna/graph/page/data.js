// What the page shows: columns of nodes and cells as typed arrays, and questions about them.

const ALIVE = -1;

function readData(payload) {
  const column = (packed) => new ({ f4: Float32Array, f8: Float64Array, i4: Int32Array })[packed.type](bytesOf(packed.data));
  const unpack = (columns) => Object.fromEntries(Object.entries(columns).map(([name, packed]) => [name, column(packed)]));
  const data = { ...payload, nodes: unpack(payload.nodes), cells: unpack(payload.cells), known: unpack(payload.known) };
  data.size = data.cells.id.length;
  data.order = data.nodes.level.length;
  data.rowOf = new Map(Array.from(data.cells.id, (id, row) => [id, row]));
  data.firstKnown = firstKnown(data.known.row, data.size);
  return data;
}

function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let k = 0; k < binary.length; k++) bytes[k] = binary.charCodeAt(k);
  return bytes.buffer;
}

// Where the known earlier weights of each row begin; they are in order of row and version.
function firstKnown(rows, size) {
  const first = new Int32Array(size + 1);
  for (const row of rows) first[row + 1]++;
  for (let row = 0; row < size; row++) first[row + 1] += first[row];
  return first;
}

function livesAt(data, row, version) {
  return data.cells.born[row] <= version && (data.cells.died[row] === ALIVE || version < data.cells.died[row]);
}

// The first value that is known from a version on: weights are recorded just before a split, before death, and now.
function knownAt(data, row, version, name) {
  for (let k = data.firstKnown[row]; k < data.firstKnown[row + 1]; k++) {
    if (version <= data.known.version[k]) return data.known[name][k];
  }
  return data.cells[name][row];
}

function childrenOf(data) {
  if (data.children) return data.children;
  data.children = new Map();
  for (let row = 0; row < data.size; row++) {
    const parent = data.rowOf.get(data.cells.parent[row]);
    if (parent === undefined) continue;
    if (!data.children.has(parent)) data.children.set(parent, []);
    data.children.get(parent).push(row);
  }
  return data.children;
}

// The founder of a cell's line and all that came of it: rows in the order of a walk down the tree.
function familyOf(data, row) {
  let founder = row;
  for (let up = data.rowOf.get(data.cells.parent[founder]); up !== undefined; up = data.rowOf.get(data.cells.parent[founder])) founder = up;
  const family = [];
  const waiting = [founder];
  while (waiting.length) {
    const next = waiting.pop();
    family.push(next);
    const children = childrenOf(data).get(next) || [];
    for (let k = children.length - 1; k >= 0; k--) waiting.push(children[k]);
  }
  return family;
}

function nameOf(data, node) {
  return data.names ? String(data.names[node]) : `node ${node}`;
}

function eventOf(data, version) {
  return data.events.find((event) => event.version === version);
}

function momentOf(data, version) {
  const event = eventOf(data, version);
  return event ? `version ${version}, after epoch ${event.epoch}` : `version ${version}`;
}
