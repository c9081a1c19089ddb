// Puts the page together from what it carries; parts of which there is nothing stay hidden.

async function drawPage() {
  const { header: page, array } = await unpack("page");
  byId("title").textContent = page.title;
  byId("lead").textContent = page.lead;
  if (page.tables) drawTables(page);
  if (page.test) drawTest(page, array);
  if (page.curves) {
    show("curves");
    drawCurves(page);
  }
  if (page.surroundings) drawMaking(page);
  if (page.mistakes) {
    show("mistakes");
    await drawMistakes(page);
  }
  byId("parts").append(...[...document.querySelectorAll("main > section:not([hidden])")].map((section) =>
    make("a", { href: `#${section.id}` }, section.querySelector("h2").textContent)));
  const size = [...document.scripts].reduce((sum, { textContent }) => sum + textContent.length, 0);
  byId("colophon").textContent = `Written by ctxtool. This page is one file of about ${formatBytes(size)}, and needs no network.`;
  document.documentElement.dataset.ready = "all";
}

function show(id) {
  byId(id).hidden = false;
}

function drawTest({ test, against }, array) {
  const theirs = against?.test;
  byId("tiles").append(...test.figures.flatMap(([name, shares], i) =>
    shares.map((share, k) => {
      const other = theirs?.figures[i][1][k];
      const about = [name, k ? test.heads[k] : ""].filter(Boolean).join(", ");
      return make("div", {}, make("dt", {}, about), make("dd", {}, share, other ? make("div", { class: "note" }, `${other} in ${against.title}`) : []));
    })));
  byId("limits").append(...test.limits.map((sentence) => make("p", { class: "note" }, sentence)));
  const answers = new Answers(test, array);
  const other = theirs && { title: against.title, answers: new Answers(theirs, array) };
  for (const id of ["confusion", "classes"]) show(id);
  drawConfusion(test, answers);
  drawClasses(answers, other);
}

function drawMaking({ recipe, settings, surroundings }) {
  show("made");
  byId("recipe").textContent = settings.length
    ? `Settings that differ from the recipe ${recipe}: the recipe's, then this run's.`
    : `All settings are those of the recipe ${recipe}.`;
  makePairs(byId("settings"), settings);
  makePairs(byId("surroundings"), surroundings);
}

function drawTables({ tables, runs }) {
  show("tables");
  for (const { title, note, heads, rows } of tables) {
    const line = (texts, tag) => make("tr", {}, texts.map((text, k) => make(k ? tag : "th", k ? { class: "number" } : {}, text)));
    byId("table-list").append(make("h3", {}, title), make("p", { class: "note table-note" }, note),
      make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
        make("table", {}, make("thead", {}, line(heads, "th")), make("tbody", {}, rows.map((row) => line(row, "td"))))));
  }
  byId("runs").append(...runs.map(([name, state, link]) =>
    make("li", {}, link ? make("a", { href: link }, name) : name, " ", make("span", { class: "note" }, state))));
}

drawPage().catch((error) => {
  byId("trouble").textContent = `This page could not be drawn: ${error.message}`;
  byId("trouble").hidden = false;
  throw error;
});
