// Every reason with its count, sentences of its recordings, and a command to look closer.

const SENTENCES = 5;

function drawFailures(place, report) {
  const { rows, facts } = report;
  const reasons = facts.counts.reasons;
  if (!reasons.length) {
    place.append(make("p", { class: "note" }, "No recording failed."));
    return;
  }
  place.append(...reasons.map(({ reason, n }, i) => drawReason(report, reason, n, i === 0)));
}

function drawReason(report, reason, n, open) {
  const { rows, facts, viewer } = report;
  const failed = listFailed(rows, reason, SENTENCES);
  const folder = quoteForShell(facts.folder);
  const sentences = failed.map((row) => {
    const id = rows.text(rows.byName.get("sample_id"), row);
    return make("li", {},
      make("button", { type: "button", class: "id", onclick: () => viewer.open(row, failed) }, id), " ",
      rows.text(rows.byName.get("detail"), row) || "no detail",
      makeCommand(`ctxtool inspect ${folder} --sample ${quoteForShell(id)}`));
  });
  const all = make("button", { type: "button", onclick: () => showReason(rows, reason) }, `Show ${n === 1 ? "it" : `all ${formatCount(n)}`} in the table`);
  return make("details", { class: "reason", open },
    make("summary", {}, make("code", {}, reason), " ", countOf(n, "recording")), make("ul", {}, sentences), all);
}

function listFailed(rows, reason, most) {
  const code = rows.status.names.indexOf(reason);
  const found = [];
  for (let row = 0; row < rows.n && found.length < most; row++) if (rows.status.values[row] === code) found.push(row);
  return found;
}

function showReason(rows, reason) {
  rows.filter("status", { codes: new Set([rows.status.names.indexOf(reason)]) });
  byId("samples").scrollIntoView();
  byId("search").focus({ preventScroll: true });
}
