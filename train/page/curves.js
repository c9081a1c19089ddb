// Curves by epoch as SVG: one panel for each quantity, another run dashed.

const LINES = { width: 380, height: 220, left: 52, right: 10, top: 10, bottom: 34 };
const UNITS = { "loss": "", "top-1": "%", "learning rate": "" };
// A longer curve is not marked point by point.
const MOST_MARKED = 40;

function drawCurves({ curves, against }) {
  const all = [...curves, ...(against?.curves ?? []).map((series) => ({ ...series, other: true }))];
  for (const name of new Set(all.map(({ panel }) => panel))) {
    const series = all.filter(({ panel }) => panel === name);
    byId("curve-panels").append(makePanel(name, UNITS[name] && `in ${UNITS[name]}`, drawLines(name, series)));
  }
  const key = (kind, name) => make("span", {}, make("i", { class: kind }), name);
  byId("curve-legend").append(key("ok", "training"), key("failed", "validation"));
  if (against) byId("curve-legend").append(key("dashed", against.title));
}

function drawLines(name, series) {
  const { width, height, left, right, top, bottom } = LINES;
  const low = height - bottom;
  const last = Math.max(...series.flatMap(({ x }) => x));
  const most = name === "top-1" ? 100 : Math.max(...series.flatMap(({ y }) => y), 1e-9);
  const stepY = roundStep(most / 5);
  const highest = Math.ceil(most / stepY - 1e-9) * stepY;
  const px = (x) => left + ((width - left - right) * x) / last;
  const py = (y) => low - ((low - top) * y) / highest;
  const ends = series.map((s) => `${s.kind}${s.other ? " of the other run" : ""} ${formatValue(s.y.at(-1))}`);
  const chart = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, class: "lines", role: "img", "aria-label": `${name} by epoch, at the end: ${ends.join(", ")}` });
  for (let i = 0; i * stepY <= highest * (1 + 1e-9); i++) {
    const y = i * stepY;
    chart.append(
      makeSvg("line", { x1: left, x2: width - right, y1: py(y), y2: py(y), class: i ? "grid" : "axis" }),
      makeSvg("text", { x: left - 6, y: py(y) + 3.5, class: "end" }, formatValue(y)),
    );
  }
  const stepX = Math.max(1, roundStep(last / 6));
  for (let x = 0; x <= last; x += stepX) chart.append(makeSvg("text", { x: px(x), y: low + 14, class: "middle" }, formatValue(x)));
  chart.append(makeSvg("text", { x: (left + width - right) / 2, y: height - 3, class: "middle" }, "epoch"));
  for (const { kind, other, x, y } of series) {
    const kinds = kind + (other ? " other" : "");
    chart.append(makeSvg("polyline", { class: kinds, points: x.map((at, i) => `${px(at).toFixed(2)},${py(y[i]).toFixed(2)}`).join(" ") }));
    if (x.length > MOST_MARKED) continue;
    chart.append(...x.map((at, i) =>
      makeSvg("circle", { class: kinds, cx: px(at), cy: py(y[i]), r: 2.5 }, makeSvg("title", {}, `${kind}, epoch ${at}: ${formatValue(y[i])}`))));
  }
  return chart;
}

function formatValue(value) {
  return value && Math.abs(value) < 0.01 ? value.toExponential(1) : String(Number(value.toPrecision(4)));
}
