// The table of all samples: a page of rows at a time, searched, filtered, sorted.

const ROWS_A_PAGE = 50;
const TYPING_MS = 120;

class Table {
  constructor(report) {
    this.report = report;
    this.rows = report.rows;
    this.page = 0;
    this.body = document.querySelector("#sample-table tbody");
    this.makeFilters();
    this.makeHead();
    this.makePager();
    this.body.addEventListener("keydown", (event) => this.press(event));
    this.rows.listeners.push(() => this.turnTo(0));
    this.turnTo(0);
  }

  makeFilters() {
    let waiting;
    const typed = (event) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.rows.search(event.target.value), TYPING_MS);
    };
    const search = make("input", { type: "search", id: "search", placeholder: "id, class, reason, words of the detail", autocomplete: "off", oninput: typed });
    const chosen = this.rows.columns.filter(({ name }) => ["status", "label_name"].includes(name) || name.startsWith("split_"));
    this.selects = chosen.map((column) => ({ column, select: this.makeSelect(column) }));
    byId("filters").append(
      make("label", { class: "grow" }, "search", search),
      ...this.selects.map(({ column, select }) => make("label", {}, column.title, select)),
    );
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
  }

  makeSelect({ name, names }) {
    const choose = ({ target: { value } }) => this.rows.filter(name, value === "" ? null : { codes: new Set([Number(value)]) });
    return make("select", { "data-column": name, onchange: choose }, make("option", { value: "" }, "all"), names.map((text, code) => make("option", { value: code }, text)));
  }

  makeHead() {
    const head = this.rows.columns.map(({ name, title, unit, kind }) => {
      const label = unit && unit !== title ? `${title}, ${unit}` : title;
      return make("th", { scope: "col", class: kind, "data-column": name }, make("button", { type: "button", onclick: () => this.rows.sortBy(name) }, label));
    });
    document.querySelector("#sample-table thead").append(make("tr", {}, head));
  }

  makePager() {
    const button = (name, label, to) => make("button", { type: "button", "aria-label": label, onclick: () => this.turnTo(to()) }, name);
    this.place = make("span", { role: "status" });
    this.before = button("‹ before", "The page before", () => this.page - 1);
    this.after = button("after ›", "The page after", () => this.page + 1);
    byId("pager").append(button("« first", "The first page", () => 0), this.before, this.place, this.after, button("last »", "The last page", () => this.nPages - 1));
  }

  get nPages() {
    return Math.max(1, Math.ceil(this.rows.found.length / ROWS_A_PAGE));
  }

  turnTo(page) {
    this.page = Math.min(Math.max(page, 0), this.nPages - 1);
    const first = this.page * ROWS_A_PAGE;
    const shown = [...this.rows.found.subarray(first, first + ROWS_A_PAGE)];
    this.body.replaceChildren(...shown.map((row) => this.makeRow(row)));
    this.before.disabled = this.page === 0;
    this.after.disabled = this.page === this.nPages - 1;
    this.place.textContent = `page ${formatCount(this.page + 1)} of ${formatCount(this.nPages)}`;
    byId("found").textContent = `${formatCount(this.rows.found.length)} of ${countOf(this.rows.n, "sample")}`;
    this.drawSort();
    this.drawChips();
  }

  makeRow(row) {
    const cells = this.rows.columns.map((column) => {
      const text = this.rows.text(column, row);
      if (column.name !== "sample_id") return make("td", { class: column.kind }, text);
      const open = () => this.report.viewer.open(row, [...this.rows.found]);
      return make("th", { scope: "row" }, make("button", { type: "button", class: this.report.shownOf.has(row) ? "plays" : "", onclick: open }, text));
    });
    return make("tr", { class: this.rows.isOk(row) ? "" : "failed" }, cells);
  }

  drawSort() {
    const { name, falling } = this.rows.sort;
    for (const cell of document.querySelectorAll("#sample-table thead th")) {
      const sorted = cell.dataset.column === name;
      cell.setAttribute("aria-sort", sorted ? (falling ? "descending" : "ascending") : "none");
    }
  }

  // Every filter as a button that takes it back, and the selects at what is filtered.
  drawChips() {
    const chips = [...this.rows.filters].map(([name, filter]) => {
      const told = `${this.rows.byName.get(name).title}: ${this.tellFilter(name, filter)}`;
      return make("button", { type: "button", class: "chip", "aria-label": "Take back the filter " + told, onclick: () => this.rows.filter(name, null) }, told + " ×");
    });
    byId("chips").replaceChildren(...chips);
    for (const { column, select } of this.selects) {
      const codes = [...(this.rows.filters.get(column.name)?.codes ?? [])];
      select.value = codes.length === 1 ? codes[0] : "";
    }
  }

  tellFilter(name, { codes, from, to }) {
    const { names, unit } = this.rows.byName.get(name);
    if (codes) return [...codes].map((code) => names[code]).join(" or ");
    return `${formatMeasure(from)} to ${formatMeasure(to, unit)}`;
  }

  // Up and down walk through the rows of the page, and on to the next page.
  press(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const buttons = [...this.body.querySelectorAll("th button")];
    const next = buttons.indexOf(document.activeElement) + steps[event.key];
    if (next in buttons) buttons[next].focus();
    else if (this.turns(steps[event.key])) {
      const there = this.body.querySelectorAll("th button");
      there[next < 0 ? there.length - 1 : 0].focus();
    }
  }

  turns(step) {
    const before = this.page;
    this.turnTo(before + step);
    return this.page !== before;
  }
}
