// The slider through versions, and the loss curve under it.

const BOX = { left: 44, right: 14, top: 8, bottom: 20, height: 96 };

function createTimeline(svg, data, go) {
  const spans = spansOf(data);
  const curves = curvesOf(data);
  const points = curves.flatMap((curve) => curve.points);
  svg.toggleAttribute("hidden", points.length === 0);
  const draw = (version) => {
    if (!points.length) return;
    const width = Math.max(svg.clientWidth, 200);
    const bounds = boundsOf(points, spans);
    const x = (at) => BOX.left + ((at - bounds.x0) / (bounds.x1 - bounds.x0)) * (width - BOX.left - BOX.right);
    const y = (at) => BOX.top + (1 - (at - bounds.y0) / (bounds.y1 - bounds.y0)) * (BOX.height - BOX.top - BOX.bottom);
    svg.setAttribute("viewBox", `0 0 ${width} ${BOX.height}`);
    svg.replaceChildren(...frame(bounds, x, y, width), ...marks(spans, version, x, go), ...curves.map((curve) => path(curve, x, y)), ...targets(spans, x, go));
    svg.append(...legendOf(curves, width));
  };
  new ResizeObserver(() => draw(svg.dataset.version === undefined ? data.last : Number(svg.dataset.version))).observe(svg);
  return (version) => {
    svg.dataset.version = version;
    draw(version);
  };
}

// From which epoch to which each version lasted; without epochs, one step a version.
function spansOf(data) {
  const last = Math.max(...data.losses.map((loss) => loss[0]), ...data.events.map((event) => event.epoch), data.first === data.last ? 0 : 1);
  const epochs = new Set(data.events.map((event) => event.epoch)).size === data.events.length;
  const starts = [{ version: data.first, start: epochs ? Math.min(1, ...data.losses.map((loss) => loss[0])) : 0 }];
  data.events.forEach((event, k) => starts.push({ version: event.version, start: epochs ? event.epoch : k + 1 }));
  return starts.map((one, k) => ({ ...one, end: k + 1 < starts.length ? starts[k + 1].start : epochs ? Math.max(last, one.start) : one.start + 1, epochs }));
}

function curvesOf(data) {
  const curves = [
    { name: "training", points: data.losses.map((loss) => [loss[0], loss[1]]) },
    { name: "validation", points: data.losses.filter((loss) => loss[2] !== null).map((loss) => [loss[0], loss[2]]) },
  ];
  if (!curves[0].points.length) curves[0] = { name: "watched", points: watchedPoints(data) };
  return curves.filter((curve) => curve.points.length);
}

// Of a model whose history is gone, the record still has the loss before and after each extinction.
function watchedPoints(data) {
  return spansOf(data).slice(1).flatMap((span) => {
    const { loss_before: before, loss_after: after } = eventOf(data, span.version);
    return [before, after].filter((loss) => loss !== null).map((loss) => [span.start, loss]);
  });
}

function boundsOf(points, spans) {
  const y = points.map((point) => point[1]);
  const low = Math.min(...y);
  const high = Math.max(...y);
  const room = (high - low) * 0.08 || 1;
  const x0 = Math.min(spans[0].start, ...points.map((point) => point[0]));
  const x1 = Math.max(spans[spans.length - 1].end, ...points.map((point) => point[0]));
  return { x0, x1: x1 > x0 ? x1 : x0 + 1, y0: low - room, y1: high + room };
}

function frame(bounds, x, y, width) {
  const bottom = BOX.height - BOX.bottom;
  const label = (value) => drawn("text", { x: BOX.left - 6, y: y(value) + 3.5, "text-anchor": "end" }, number(Number(value.toPrecision(2))));
  const ticks = [bounds.x0, bounds.x1].map((at, k) => drawn("text", { x: x(at), y: BOX.height - 6, "text-anchor": k ? "end" : "start" }, k ? `epoch ${Math.round(at)}` : String(Math.round(at))));
  const inner = (bounds.y1 - bounds.y0) * 0.09;
  return [drawn("line", { class: "axis", x1: BOX.left, x2: width - BOX.right, y1: bottom, y2: bottom }), label(bounds.y0 + inner), label(bounds.y1 - inner), ...ticks];
}

function marks(spans, version, x) {
  const made = [];
  for (const span of spans) {
    if (span.version === version) {
      made.push(drawn("rect", { class: "span", x: x(span.start), y: BOX.top, width: Math.max(x(span.end) - x(span.start), 3), height: BOX.height - BOX.top - BOX.bottom }));
    }
    if (span !== spans[0]) {
      const here = span.version === version ? " here" : "";
      made.push(drawn("line", { class: `extinction${here}`, x1: x(span.start), x2: x(span.start), y1: BOX.top, y2: BOX.height - BOX.bottom }));
    }
  }
  return made;
}

function path(curve, x, y) {
  const points = curve.points.map(([at, loss]) => `${x(at).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
  return drawn("polyline", { class: curve.name === "validation" ? "validation" : "training", points });
}

function targets(spans, x, go) {
  return spans.map((span) => {
    const area = drawn("rect", { class: "hit", x: x(span.start), y: 0, width: Math.max(x(span.end) - x(span.start), 3), height: BOX.height });
    area.addEventListener("click", () => go(span.version));
    return area;
  });
}

function legendOf(curves, width) {
  const text = `${curves.map((curve) => curve.name).join(" (blue) and ")}${curves.length > 1 ? " (orange)" : ""} loss`;
  return [drawn("text", { x: width / 2, y: BOX.height - 6, "text-anchor": "middle" }, text)];
}

function momentText(data, version, count) {
  const event = eventOf(data, version);
  const parts = [`${count.toLocaleString("en")} cells`];
  if (event) {
    parts.push(`+${event.born.toLocaleString("en")} \u2212${event.died.toLocaleString("en")}`);
    if (event.loss_before !== null && event.loss_after !== null) parts.push(`loss ${number(event.loss_before)} \u2192 ${number(event.loss_after)}`);
  }
  return parts.join(", ");
}
