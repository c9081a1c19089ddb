"use strict";
// Numbers are put into words here and nowhere else.

const NOTHING = "–";
const wholeNumbers = new Intl.NumberFormat("en");
const measuredNumbers = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

function formatCount(n) {
  return wholeNumbers.format(n);
}

function formatMeasure(value, unit = "") {
  if (Number.isNaN(value)) return NOTHING;
  return measuredNumbers.format(value) + (unit ? " " + unit : "");
}

function formatShare(share) {
  // The space does not break: a line must not begin with the sign.
  return measuredNumbers.format(Math.round(share * 1000) / 10) + "\u00a0%";
}

function formatBytes(n) {
  for (const unit of ["bytes", "KB", "MB", "GB"]) {
    if (n < 1000) return measuredNumbers.format(unit === "bytes" ? n : Number(n.toPrecision(3))) + " " + unit;
    n /= 1000;
  }
  return measuredNumbers.format(Number(n.toPrecision(3))) + " TB";
}

function countOf(n, word) {
  return formatCount(n) + " " + word + (n === 1 ? "" : "s");
}

// A word that a POSIX shell takes as it is.
function quoteForShell(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : "'" + word.replaceAll("'", "'\"'\"'") + "'";
}
