// Contact sheets of the samples that carry frames, the worst drift first.

const SHEET = { columns: 2, tiles: 4, tileHeight: 180, gap: 4 };
const CARDS_AT_FIRST = 8;

class Gallery {
  constructor(report) {
    this.report = report;
    this.zoom = byId("zoom");
    this.cards = report.shown.map((id, i) => this.makeCard(id, i));
    this.more = make("button", { type: "button", onclick: () => this.showAll() }, `Show all ${formatCount(this.cards.length)}`);
    byId("gallery").append(...this.cards.slice(0, CARDS_AT_FIRST).map(({ card }) => card));
    if (this.cards.length > CARDS_AT_FIRST) byId("gallery").after(this.more);
    byId("pictures-note").textContent = report.shown.length
      ? `${countOf(report.shown.length, "sample")} of ${formatCount(report.rows.n)}, the worst drift first. Press one to play its clips.`
      : "This report was written without pictures; --samples says how many to show.";
    this.zoom.addEventListener("change", () => this.draw());
    drawLegend(byId("sides"), report.drawing.sides);
  }

  makeCard(id, i) {
    const { rows, rowOf } = this.report;
    const row = rowOf.get(id);
    const text = (name) => rows.text(rows.byName.get(name), row);
    const drift = rows.byName.has("max_drift_ms") ? ` · drift ${text("max_drift_ms")} ms` : "";
    const canvas = make("canvas", { width: 640, height: 360, "aria-hidden": "true" });
    const open = () => this.report.viewer.open(row, this.report.shown.map((name) => rowOf.get(name)));
    const card = make("button", { type: "button", class: "card", "data-shown": i, onclick: open },
      canvas,
      make("span", { class: "class" }, text("label_name")),
      make("span", { class: "id" }, id),
      make("span", { class: "told" }, `${text("n_frames")} frames${drift}`));
    return { card, canvas };
  }

  showAll() {
    const hidden = this.cards.slice(CARDS_AT_FIRST).map(({ card }) => card);
    this.more.remove();
    byId("gallery").append(...hidden);
    hidden[0].focus();
    return this.draw();
  }

  // Draws the cards that are on the page, one after the other.
  async draw() {
    for (const [i, { card, canvas }] of this.cards.entries()) {
      if (!card.isConnected) continue;
      const sample = await this.report.sample(i);
      await drawSheet(canvas, sample, this.zoom.checked);
      await sample.forgetPictures();
    }
  }
}

function drawLegend(place, sides) {
  place.replaceChildren(...Object.entries(sides).map(([side, colour]) => {
    const swatch = make("i", {});
    swatch.style.setProperty("background", colour);
    return make("span", {}, swatch, side);
  }));
}

async function drawSheet(canvas, sample, zoom) {
  const { columns, tiles, tileHeight, gap } = SHEET;
  const width = Math.round(tileHeight * (await sample.aspect()));
  const lines = Math.ceil(tiles / columns);
  canvas.width = columns * width + (columns - 1) * gap;
  canvas.height = lines * tileHeight + (lines - 1) * gap;
  const last = sample.frame.length - 1;
  for (let tile = 0; tile < tiles; tile++) {
    const x = (tile % columns) * (width + gap);
    const y = Math.floor(tile / columns) * (tileHeight + gap);
    const i = Math.round((last * tile) / (tiles - 1));
    const box = { x, y, width, height: tileHeight, bold: true };
    await drawFrame(canvas.getContext("2d"), box, sample, i, { zoom });
  }
}
