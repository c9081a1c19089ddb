// Puts the page together from what it carries.

// Also for a look from the browser's console.
let report;

async function drawReport() {
  const { header, array } = await unpack("table");
  const rows = new Rows(header.columns, array);
  const ids = rows.byName.get("sample_id").values;
  const rowOf = new Map(header.shown.map((id) => [id, ids.indexOf(id)]));
  const samples = new Map();
  report = {
    ...header,
    rows,
    rowOf,
    playFps: header.play_fps,
    shownOf: new Map(header.shown.map((id, i) => [rowOf.get(id), i])),
    sample(i) {
      if (!samples.has(i)) samples.set(i, unpack(`sample-${i}`).then((packed) => new ShownSample(packed, header.drawing)));
      return samples.get(i);
    },
  };
  report.viewer = new Viewer(report);
  drawOverview(report);
  drawCharts(byId("charts"), rows, header.facts);
  new Table(report);
  drawFailures(byId("reasons"), report);
  const gallery = new Gallery(report);
  document.documentElement.dataset.ready = "table";
  await gallery.draw();
  document.documentElement.dataset.ready = "all";
}

drawReport().catch((error) => {
  byId("trouble").textContent = `This page could not be drawn: ${error.message}`;
  byId("trouble").hidden = false;
  throw error;
});
