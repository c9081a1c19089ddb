// What the data set is, in a sentence, in figures, and by the options that made it.

function drawOverview({ facts, shown }) {
  const { counts, sizes, layout } = facts;
  byId("title").textContent = facts.name;
  byId("summary").textContent =
    `${countOf(counts.planned, "recording")} planned, ${formatCount(counts.ok)} usable: ` +
    `${countOf(sizes.frames, "frame")} in ${countOf(sizes.clips, "clip")} of up to 16, ` +
    `with skeletons of ${layout.joints} joints (${layout.name})` +
    `${facts.drift ? " over stored pictures." : ", without pictures."}`;
  byId("tiles").append(...listTiles(facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  makePairs(byId("parameters"), listParameters(facts));
  const size = [...document.scripts].reduce((sum, { textContent }) => sum + textContent.length, 0);
  byId("colophon").textContent =
    `Written by ctxtool ${facts.toolkit_version}'s report. This page is one file of about ${formatBytes(size)}: ` +
    `the table holds all ${countOf(counts.planned, "recording")}, and ${formatCount(shown.length)} carry frames. It needs no network.`;
}

function listTiles({ counts, sizes, lengths, drift }) {
  const failed = counts.planned - counts.ok;
  return [
    ["usable", formatCount(counts.ok)],
    ["failed", formatCount(failed)],
    ["frames", formatCount(sizes.frames)],
    ["clips", formatCount(sizes.clips)],
    ["median length", lengths ? formatMeasure(lengths.median, "frames") : NOTHING],
    ["worst drift", drift ? formatMeasure(drift.worst_ms, "ms") : NOTHING],
    ["shards", formatCount(sizes.shards)],
    ["on disk", formatBytes(sizes.bytes)],
  ];
}

function listParameters(facts) {
  const told = Object.entries(facts.parameters).map(([name, value]) => [name.replaceAll("_", " "), value]);
  return [
    ["folder", facts.folder],
    ["made by", `ctxtool ${facts.toolkit_version}, format ${facts.format_version}`],
    ["plan", facts.fingerprint],
    ["skeleton", `${facts.layout.name}, ${facts.layout.joints} joints of ${facts.layout.channels.join(" ")}`],
    ["default split", facts.default_split],
    ["pictures", Object.entries(facts.pictures).map(([size, n]) => `${size} in ${countOf(n, "sample")}`).join(", ") || "none"],
    ...told,
  ];
}
