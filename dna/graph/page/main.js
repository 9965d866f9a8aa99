// The page: one state, what changes it, and what is drawn of it.

function start() {
  const data = readData(JSON.parse(document.getElementById("payload").textContent));
  const at = (id) => document.getElementById(id);
  const state = { version: data.last, mode: "weight", least: 0, bornFrom: 0, bornTo: data.last, levels: new Set(data.levels.keys()), node: null, cell: null, family: null };
  setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const scene = createScene(at("scene"), data);
  const drawTimeline = createTimeline(at("curve"), data, (version) => change({ version }));

  function change(what) {
    Object.assign(state, what);
    const shown = paint(scene, data, state);
    const living = livingAt(data, state.version);
    at("slider").value = state.version;
    at("modes").querySelector(`[value="${state.mode}"]`).checked = true;
    at("slider").setAttribute("aria-valuetext", momentOf(data, state.version));
    at("moment").replaceChildren(element("b", { textContent: momentOf(data, state.version) }), `: ${momentText(data, state.version, living)}`);
    at("facts").textContent = factsOf(data, shown, living);
    drawTimeline(state.version);
    drawLegend(at("legend"), data, state);
    showDetails(at("details"), data, state, choose);
  }

  function choose({ node = null, cell = null }) {
    const version = cell === null || livesAt(data, cell, state.version) ? state.version : Math.max(data.cells.born[cell], data.first);
    change({ node, cell, family: cell === null ? null : new Set(familyOf(data, cell)), version });
  }

  const setShare = shareSetter(at, data);
  prepare(at, data);
  if (data.size > MANY) state.least = setShare(Math.floor(100 * Math.sqrt(MANY / data.size)));
  listenToPanel(at, data, state, change, choose, setShare);
  listenToScene(at, data, state, scene, choose);
  listenToKeys(at, data, state, scene, change, choose);
  change({});
  Object.assign(window, { dnaPage: { data, state, scene, change, choose } });
  requestAnimationFrame(() => document.documentElement.setAttribute("data-ready", String(Math.round(performance.now()))));
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
}

function livingAt(data, version) {
  let count = 0;
  for (let row = 0; row < data.size; row++) count += livesAt(data, row, version);
  return count;
}

function factsOf(data, shown, living) {
  const part = shown === living ? "" : `, ${shown.toLocaleString("en")} drawn`;
  const sizes = data.levels.map((level) => level.nodes.toLocaleString("en")).join(" \u2013 ");
  return `${sizes} nodes, ${living.toLocaleString("en")} ${data.kind} cells${part}`;
}

function prepare(at, data) {
  const slider = at("slider");
  Object.assign(slider, { min: data.first, max: data.last, value: data.last });
  at("replay").hidden = data.first === data.last;
  at("note").textContent = data.note;
  for (const id of ["born-from", "born-to"]) Object.assign(at(id), { min: data.oldest, max: data.last, value: id === "born-from" ? data.oldest : data.last });
  at("ages").hidden = data.oldest === data.last;
  at("share-text").textContent = "all";
  if (data.levels.length < 3) return;
  data.levels.slice(1).forEach((_, k) => at("levels").append(element("label", {}, element("input", { type: "checkbox", checked: true, value: k + 1 }), ` into level ${k + 1}`)));
}

// Set the slider of the strongest, which runs as the square root of their share; returns the least |weight| that is shown.
function shareSetter(at, data) {
  const sizes = Float32Array.from(data.cells.weight, Math.abs).sort();
  return (value) => {
    const share = (value / 100) ** 2;
    at("share").value = value;
    at("share-text").textContent = share === 1 ? "all" : `${number(Number((share * 100).toPrecision(2)))} %`;
    return share === 1 ? 0 : sizes[Math.min(Math.floor(sizes.length * (1 - share)), sizes.length - 1)] || 0;
  };
}

function listenToPanel(at, data, state, change, choose, setShare) {
  at("slider").addEventListener("input", () => change({ version: Number(at("slider").value) }));
  at("modes").addEventListener("change", (event) => change({ mode: event.target.value }));
  at("share").addEventListener("input", () => change({ least: setShare(Number(at("share").value)) }));
  for (const id of ["born-from", "born-to"]) at(id).addEventListener("input", () => change({ bornFrom: Number(at("born-from").value), bornTo: Number(at("born-to").value) }));
  at("levels").addEventListener("change", () => change({ levels: new Set(Array.from(at("levels").querySelectorAll("input:checked"), (box) => Number(box.value))) }));
  at("search").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const text = at("search").value;
    const found = text.trim() ? find(data, text) : {};
    at("found").textContent = found ? "" : `Nothing here is called \u201c${text}\u201d.`;
    if (found) choose(found);
  });
  at("theme").addEventListener("click", () => turnTheme(change));
  at("play").addEventListener("click", () => replay(at, data, state, change));
}

function turnTheme(change) {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  change({});
}

// Two versions a second; again from the start when the end is reached. A second press stops.
function replay(at, data, state, change) {
  if (state.timer) return stop();
  if (state.version === data.last) change({ version: data.first });
  at("play").textContent = "stop";
  state.timer = setInterval(() => {
    change({ version: state.version + 1 });
    if (state.version >= data.last) stop();
  }, 500);
  function stop() {
    clearInterval(state.timer);
    state.timer = null;
    at("play").textContent = "replay";
  }
}

function listenToScene(at, data, state, scene, choose) {
  const { sigma, graph } = scene;
  const tip = at("tip");
  const show = (facts, { x, y }) => {
    tip.replaceChildren(list(facts));
    tip.hidden = false;
    const box = at("stage").getBoundingClientRect();
    tip.style.left = `${Math.min(x + 14, box.width - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(y + 14, box.height - tip.offsetHeight - 8)}px`;
  };
  const rowOf = (edge) => graph.getEdgeAttribute(edge, "row");
  sigma.on("enterEdge", ({ edge, event }) => show(cellFacts(data, rowOf(edge), state.version), event));
  sigma.on("enterNode", ({ node, event }) => show([["name", nameOf(data, Number(node))], ...nodeFacts(data, Number(node), state.version)], event));
  for (const leave of ["leaveEdge", "leaveNode"]) sigma.on(leave, () => (tip.hidden = true));
  sigma.on("clickEdge", ({ edge }) => choose({ cell: rowOf(edge) }));
  sigma.on("clickNode", ({ node }) => choose({ node: Number(node) }));
  sigma.on("clickStage", () => choose({}));
  at("closer").addEventListener("click", () => sigma.getCamera().animatedZoom());
  at("further").addEventListener("click", () => sigma.getCamera().animatedUnzoom());
  at("fit").addEventListener("click", () => sigma.getCamera().animatedReset());
}

function listenToKeys(at, data, state, scene, change, choose) {
  const camera = scene.sigma.getCamera();
  const typing = (target) => target instanceof HTMLInputElement && ["search", "number"].includes(target.type);
  const pan = (x, y) => camera.setState({ x: camera.x + x * camera.ratio, y: camera.y + y * camera.ratio });
  const go = (step) => change({ version: Math.min(Math.max(state.version + step, data.first), data.last) });
  const anywhere = {
    "/": () => at("search").focus(),
    Escape: () => choose({}),
    t: () => turnTheme(change),
    " ": () => data.first < data.last && replay(at, data, state, change),
    ",": () => go(-1),
    ".": () => go(1),
    "+": () => camera.animatedZoom(),
    "-": () => camera.animatedUnzoom(),
    0: () => camera.animatedReset(),
  };
  const onScene = { ArrowLeft: () => pan(-0.08, 0), ArrowRight: () => pan(0.08, 0), ArrowUp: () => pan(0, 0.08), ArrowDown: () => pan(0, -0.08) };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (typing(event.target) && event.key !== "Escape")) return;
    if (event.key === " " && event.target instanceof HTMLButtonElement) return;
    const action = (event.target === at("scene") && onScene[event.key]) || anywhere[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function drawLegend(box, data, state) {
  const palette = readPalette();
  const bar = (color) => {
    const canvas = element("canvas", { width: 90, height: 8 });
    const context = canvas.getContext("2d");
    for (let k = 0; k < 90; k++) {
      context.fillStyle = css(color(k / 89));
      context.fillRect(k, 0, 1, 8);
    }
    return canvas;
  };
  const key = (...parts) => element("span", { className: "key" }, ...parts);
  const top = number(Number(data.scale.toPrecision(2)));
  const cells = {
    weight: () => [key(`weight \u2212${top}`, bar((share) => diverging(palette, 2 * share - 1)), `+${top}`)],
    age: () => [key(`born in version ${data.oldest}`, bar((share) => blend(palette.age, share)), `${state.version}`)],
    change: () => [key(bar(() => palette.born), "born in this version"), key(bar(() => palette.died), "died on the way to it")],
  }[state.mode]();
  const nodes = state.node === null ? key("few cells", bar((share) => blend(palette.tile, share)), "many") : key("\u2212", bar((share) => diverging(palette, 2 * share - 1)), `+ summed weight to ${nameOf(data, state.node)}`);
  box.replaceChildren(...cells, nodes);
}

start();
