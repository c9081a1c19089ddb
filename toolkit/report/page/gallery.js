// Contact sheets of the samples that carry frames, the worst drift first.

const SHEET = { columns: 2, tiles: 4, tileHeight: 180, gap: 4 };

class Gallery {
  constructor(report) {
    this.report = report;
    this.zoom = byId("zoom");
    this.canvases = report.shown.map((id, i) => this.makeCard(id, i));
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
    byId("gallery").append(
      make("button", { type: "button", class: "card", "data-shown": i, onclick: open },
        canvas,
        make("span", { class: "class" }, text("label_name")),
        make("span", { class: "id" }, id),
        make("span", { class: "told" }, `${text("n_frames")} frames${drift}`)),
    );
    return canvas;
  }

  async draw() {
    for (let i = 0; i < this.canvases.length; i++) {
      const sample = await this.report.sample(i);
      await drawSheet(this.canvases[i], sample, this.zoom.checked);
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
    await drawFrame(canvas.getContext("2d"), { x, y, width, height: tileHeight }, sample, i, { zoom });
  }
}
