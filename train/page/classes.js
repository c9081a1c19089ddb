// How often each true class was recognised, the worst first; another run as a thin bar below.

function drawClasses(answers, other) {
  const there = answers.list("accuracy").filter((label) => answers.total[label]);
  byId("classes-about").textContent = `${formatCount(there.length)} classes with samples, the worst first: right answers of all.`;
  if (other) {
    const key = (kind, name) => make("span", {}, make("i", { class: kind }), name);
    byId("classes-legend").append(key("ok", "this run"), key("dashed", other.title));
  }
  byId("class-bars").append(...there.map((label) => makeClass(answers, label, other?.answers)));
}

function makeClass(answers, label, other) {
  const [hits, total] = [answers.at(label, label), answers.total[label]];
  let told = `${formatCount(hits)} of ${formatCount(total)}`;
  const theirs = other?.share(label);
  if (theirs >= 0) told += ` (${formatSigned(answers.share(label) - theirs)})`;
  const bar = makeShare(answers.names[label], answers.share(label), told);
  bar.title = `${answers.names[label]}: ${formatShare(answers.share(label))}`;
  if (theirs >= 0) {
    const thin = make("i", { class: "against" });
    thin.style.setProperty("width", 100 * theirs + "%");
    bar.querySelector(".track").append(thin);
  }
  return bar;
}

function formatSigned(difference) {
  return (difference > 0 ? "+" : difference < 0 ? "−" : "±") + formatShare(Math.abs(difference));
}
