// Bars by category and histograms by number: grey for all samples, in colour those that match.

const MOST_BINS = 24;
const CHART = { width: 320, height: 150, left: 44, right: 8, top: 10, bottom: 34 };
// Without one of their own, the panels come in the manifest's order.
const CHARTS = ["status", "label_name", "n_frames", "n_bodies", "max_drift_ms"];
const HISTOGRAMS = ["n_frames", "max_drift_ms"];

function drawCharts(place, rows, facts) {
  const splits = rows.columns.filter(({ name }) => name.startsWith("split_"));
  const named = CHARTS.map((name) => rows.byName.get(name)).filter(Boolean);
  const others = rows.columns.filter(
    (column) => column.kind === "category" && !named.includes(column) && !splits.includes(column),
  );
  const panels = [...splits, ...named, ...others]
    .filter((column) => column.kind === "category" || HISTOGRAMS.includes(column.name))
    .map((column) => (column.kind === "category" ? new BarPanel(rows, column) : new Histogram(rows, column)));
  place.append(...panels.map((panel) => panel.element), ...drawConfidence(facts.joints));
  const update = () => panels.forEach((panel) => panel.update());
  rows.listeners.push(update);
  update();
}

class BarPanel {
  constructor(rows, column) {
    Object.assign(this, { rows, column });
    this.all = this.count(rows.order());
    this.most = this.all.reduce((most, { ok, failed }) => Math.max(most, ok + failed), 1);
    this.bars = column.names.map((name, code) => this.makeBar(name, code));
    const list = make("div", { class: "bars" }, this.bars.map((bar) => bar.button));
    const note = column.names.length > 1 ? countOf(column.names.length, "value") : "samples";
    this.element = makePanel(column.title, note, list);
  }

  makeBar(name, code) {
    const parts = ["ghost", "ok", "failed"].map((part) => make("i", { class: part }));
    const count = make("output", {});
    const press = () => this.rows.toggleCode(this.column.name, code);
    const button = make("button", { type: "button", class: "bar", onclick: press },
      make("span", { class: "name", title: name }, name), make("span", { class: "track" }, parts), count);
    return { button, parts, count };
  }

  count(found) {
    const { rows: { isFailed }, column: { names, values } } = this;
    const counts = new Uint32Array(2 * NO_CODE + 2);
    for (let i = 0; i < found.length; i++) counts[2 * values[found[i]] + isFailed[found[i]]]++;
    return names.map((_, code) => ({ ok: counts[2 * code], failed: counts[2 * code + 1] }));
  }

  update() {
    const chosen = this.rows.filters.get(this.column.name)?.codes;
    this.count(this.rows.found).forEach(({ ok, failed }, code) => {
      const { button, parts, count } = this.bars[code];
      const total = this.all[code].ok + this.all[code].failed;
      const widths = [total, ok, failed].map((n) => (100 * n) / this.most + "%");
      parts.forEach((part, i) => part.style.setProperty("width", widths[i]));
      parts[2].style.setProperty("left", widths[1]);
      count.textContent = formatCount(ok + failed);
      button.title = `${formatCount(ok)} ok, ${formatCount(failed)} failed, of ${formatCount(total)}`;
      button.setAttribute("aria-pressed", Boolean(chosen?.has(code)));
      button.classList.toggle("off", ok + failed === 0);
    });
  }
}

class Histogram {
  constructor(rows, column) {
    Object.assign(this, { rows, column, bars: [] });
    this.edges = chooseEdges(column.values);
    if (!this.edges) {
      const only = column.values.find((value) => !Number.isNaN(value));
      this.element = makePanel(column.title, "", make("p", { class: "note" }, `${formatMeasure(only, column.unit)} in every sample`));
      return;
    }
    this.binOf = this.makeBins();
    this.all = this.count(rows.order());
    const { group, y, low } = drawAxes(this.edges, Math.max(1, ...this.all), column.unit);
    this.y = y;
    this.low = low;
    this.bars = this.all.map((n, i) => this.makeBar(n, i));
    group.append(...this.bars.map((bar) => bar.group));
    this.element = makePanel(column.title, `samples by ${column.unit}`, group);
  }

  makeBar(n, bin) {
    const [from, to] = [this.edges[bin], this.edges[bin + 1]];
    const n_bins = this.edges.length - 1;
    const step = (CHART.width - CHART.left - CHART.right) / n_bins;
    const x = CHART.left + bin * step;
    const place = { x: x + 0.75, width: Math.max(1, step - 1.5) };
    const rect = (kind) => makeSvg("rect", { class: kind, ...place });
    const parts = [rect("ghost"), rect("ok")];
    const title = makeSvg("title", {});
    const hit = makeSvg("rect", { class: "hit", x, width: step, y: CHART.top, height: this.low - CHART.top });
    const press = (event) => this.press(bin, event.shiftKey);
    const keyed = (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      press(event);
    };
    const group = makeSvg("g", { role: "button", tabindex: n ? 0 : -1, onclick: press, onkeydown: keyed }, title, parts, hit);
    return { group, parts, title, from, to };
  }

  press(bin, extend) {
    const { name } = this.column;
    const before = this.rows.filters.get(name);
    // Bins are counted from 1; rows are taken by bin, as a value may lie a rounding off its edge.
    let [first, last] = [bin + 1, bin + 1];
    if (extend && before) [first, last] = [Math.min(first, before.first), Math.max(last, before.last)];
    const again = before && before.first === first && before.last === last;
    const [from, to] = [this.edges[first - 1], this.edges[last]];
    this.rows.filter(name, again ? null : { bins: this.binOf, first, last, from, to });
  }

  // The bin of each row, from 1; 0 where there is no value.
  makeBins() {
    const { edges, column: { values } } = this;
    const step = edges[1] - edges[0];
    const last = edges.length - 2;
    const place = (value) => Math.min(last, Math.floor((value - edges[0]) / step + 1e-6));
    return Uint16Array.from(values, (value) => (Number.isNaN(value) ? 0 : 1 + place(value)));
  }

  count(found) {
    const counts = new Array(this.edges.length).fill(0);
    for (let i = 0; i < found.length; i++) counts[this.binOf[found[i]]]++;
    return counts.slice(1);
  }

  update() {
    const chosen = this.rows.filters.get(this.column.name);
    if (!this.bars.length) return;
    this.count(this.rows.found).forEach((n, bin) => {
      const { group, parts, title, from, to } = this.bars[bin];
      [this.all[bin], n].forEach((height, i) => {
        parts[i].setAttribute("y", this.y(height));
        parts[i].setAttribute("height", this.low - this.y(height));
      });
      const told = `${formatMeasure(from)} to ${formatMeasure(to, this.column.unit)}: ${countOf(n, "sample")} of ${formatCount(this.all[bin])}`;
      title.textContent = told;
      group.setAttribute("aria-label", told);
      group.setAttribute("aria-pressed", Boolean(chosen && bin >= chosen.first - 1 && bin < chosen.last));
    });
  }
}

// Edges at round numbers, evenly apart, that hold every value; the last one is not reached.
// None where there is one value only.
function chooseEdges(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low === high) return null;
  const whole = values.every((value) => Number.isNaN(value) || Number.isInteger(value));
  const step = Math.max(roundStep((high - low) / MOST_BINS), whole ? 1 : 0);
  const first = Math.floor(low / step + 1e-6);
  const n = Math.floor(high / step + 1e-6) - first + 1;
  return Array.from({ length: n + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function drawAxes(edges, most, unit) {
  const { width, height, left, right, top, bottom } = CHART;
  const low = height - bottom;
  const step = Math.max(1, roundStep(most / 4));
  const highest = Math.ceil(most / step) * step;
  const y = (n) => low - ((low - top) * n) / highest;
  const group = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", class: "histogram" });
  for (let n = 0; n <= highest; n += step) {
    group.append(
      makeSvg("line", { x1: left, x2: width - right, y1: y(n), y2: y(n), class: n ? "grid" : "axis" }),
      makeSvg("text", { x: left - 6, y: y(n) + 3.5, class: "end" }, formatCount(n)),
    );
  }
  const n_bins = edges.length - 1;
  const every = Math.max(1, Math.ceil(n_bins / 5));
  for (let i = 0; i <= n_bins; i += every) {
    const x = left + ((width - left - right) * i) / n_bins;
    group.append(makeSvg("text", { x, y: low + 14, class: "middle" }, formatMeasure(edges[i])));
  }
  group.append(makeSvg("text", { x: (left + width - right) / 2, y: height - 3, class: "middle unit" }, unit));
  return { group, y, low };
}

// How sure the source is of joints, from the shards that were read: fixed, no filter changes it.
function drawConfidence(joints) {
  const named = Object.entries(joints.by_joint);
  if (!named.length) return [];
  const where = joints.shards_read === joints.shards ? "all shards" : `${joints.shards_read} of ${joints.shards} shards`;
  const panel = (title, pairs, format) => makePanel(title, where, make("div", { class: "bars" }, pairs.map(([name, share]) => makeShare(name, share, format(share)))));
  const levels = Object.entries(joints.levels);
  const total = Math.max(1, levels.reduce((sum, [, n]) => sum + n, 0));
  return [
    panel("joint confidence", levels.map(([name, n]) => [name, n / total]), formatShare),
    panel(`${joints.quantity} of each joint`, named, (share) => formatMeasure(share)),
  ];
}
