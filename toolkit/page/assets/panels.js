// What figures of every page are made of.

function makePanel(title, note, ...content) {
  return make("figure", { class: "panel" }, make("figcaption", {}, make("b", {}, title), " ", make("span", {}, note)), ...content);
}

// The next of 1, 2, 5, 10, 20, ... times a power of ten.
function roundStep(least) {
  if (!(least > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= least * 0.999);
}

function makeShare(name, share, told) {
  const bar = make("i", { class: "ok" });
  bar.style.setProperty("width", 100 * share + "%");
  return make("div", { class: "bar" }, make("span", { class: "name" }, name), make("span", { class: "track" }, bar), make("output", {}, told));
}
