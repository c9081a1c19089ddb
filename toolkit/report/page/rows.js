// All samples as columns; which of them match the search and the filters, and in which order.

const NO_CODE = 0xffff;

class Rows {
  constructor(columns, array) {
    this.columns = columns.map((column) => ({
      ...column,
      values: Array.isArray(column.values) ? column.values : array(column.values),
    }));
    this.byName = new Map(this.columns.map((column) => [column.name, column]));
    this.n = this.columns[0].values.length;
    this.status = this.byName.get("status");
    this.okCode = this.status.names.indexOf("ok");
    this.filters = new Map();
    this.words = [];
    this.sort = { name: "sample_id", falling: false };
    this.listeners = [];
    this.find();
  }

  isOk(row) {
    return this.status.values[row] === this.okCode;
  }

  text(column, row) {
    const value = column.values[row];
    if (column.kind === "number") return formatMeasure(value);
    if (column.kind === "category") return value === NO_CODE ? NOTHING : column.names[value];
    return value;
  }

  // A filter is { codes: Set } of a category, or { from, to } of a number, `to` left out.
  filter(name, filter) {
    const empty = !filter || filter.codes?.size === 0;
    if (empty) this.filters.delete(name);
    else this.filters.set(name, filter);
    this.changed();
  }

  toggleCode(name, code) {
    const codes = new Set(this.filters.get(name)?.codes);
    if (!codes.delete(code)) codes.add(code);
    this.filter(name, { codes });
  }

  search(text) {
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.changed();
  }

  sortBy(name) {
    const again = this.sort.name === name;
    // Numbers are asked for from the top: the worst drift, the longest sample.
    const falling = again ? !this.sort.falling : this.byName.get(name).kind === "number";
    this.sort = { name, falling };
    this.changed();
  }

  changed() {
    this.find();
    for (const listener of this.listeners) listener();
  }

  find() {
    const tests = [...this.filters].map(([name, filter]) => this.makeTest(this.byName.get(name), filter));
    if (this.words.length) tests.push(this.makeSearch());
    const found = new Uint32Array(this.n);
    let n = 0;
    for (let row = 0; row < this.n; row++) if (tests.every((test) => test(row))) found[n++] = row;
    this.found = this.inOrder(found.subarray(0, n));
  }

  makeTest({ values }, { codes, from, to }) {
    if (codes) return (row) => codes.has(values[row]);
    return (row) => values[row] >= from && values[row] < to;
  }

  // Every word must stand in the id, the class, the status or the detail.
  makeSearch() {
    const texts = ["sample_id", "detail"].map((name) => this.byName.get(name).values);
    const named = ["status", "label_name"].map((name) => this.byName.get(name)).filter(Boolean);
    const tests = this.words.map((word) => {
      const codes = named.map(({ names }) => new Set(names.flatMap((name, i) => (name.toLowerCase().includes(word) ? [i] : []))));
      return (row) =>
        named.some(({ values }, i) => codes[i].has(values[row])) ||
        texts.some((values) => values[row] !== "" && values[row].toLowerCase().includes(word));
    });
    return (row) => tests.every((test) => test(row));
  }

  // Rows come by id. Names of categories come in order, so their codes sort as they do.
  inOrder(rows) {
    const { name, falling } = this.sort;
    const { values, kind } = this.byName.get(name);
    if (name === "sample_id") return falling ? rows.reverse() : rows;
    if (kind === "text") {
      const compare = new Intl.Collator("en", { numeric: true }).compare;
      return rows.sort((a, b) => this.emptyLast(values[a] === "", values[b] === "") ?? (falling ? -1 : 1) * compare(values[a], values[b]));
    }
    const keys = Float64Array.from(values, (value) => (kind === "category" && value === NO_CODE ? NaN : falling ? -value : value));
    for (let row = 0; row < keys.length; row++) if (Number.isNaN(keys[row])) keys[row] = Infinity;
    return rows.sort((a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : a - b));
  }

  emptyLast(a, b) {
    return a === b ? undefined : a ? 1 : -1;
  }
}
