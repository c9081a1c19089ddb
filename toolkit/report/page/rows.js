// All samples as columns; which of them match the search and the filters, and in which order.

const NO_CODE = 0xffff;
// A key and its row share one number that a double holds exactly: 32 bits and 21.
const ROW_BITS = 2 ** 21;
const LAST_KEY = 0xffffffff;

class Rows {
  constructor(columns, array) {
    this.columns = columns.map((column) => ({
      ...column,
      values: Array.isArray(column.values) ? column.values : array(column.values),
    }));
    this.byName = new Map(this.columns.map((column) => [column.name, column]));
    this.n = this.columns[0].values.length;
    this.status = this.byName.get("status");
    const okCode = this.status.names.indexOf("ok");
    this.isFailed = Uint8Array.from(this.status.values, (code) => (code === okCode ? 0 : 1));
    this.filters = new Map();
    this.words = [];
    this.sort = { name: "sample_id", falling: false };
    this.orders = new Map();
    this.listeners = [];
    this.find();
  }

  isOk(row) {
    return !this.isFailed[row];
  }

  text(column, row) {
    const value = column.values[row];
    if (column.kind === "number") return formatMeasure(value);
    if (column.kind === "category") return value === NO_CODE ? NOTHING : column.names[value];
    return value;
  }

  // A filter is { codes: Set } of a category, or { bins, first, last } of a number: the bin of each
  // row, and which of them are wanted, both ends included.
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
    const matches = new Uint8Array(this.n).fill(1);
    for (const [name, filter] of this.filters) keepWhere(matches, this.makeTest(this.byName.get(name), filter));
    for (const word of this.words) keepWhere(matches, this.makeSearch(word));
    const order = this.order();
    this.found = order.filter((row) => matches[row]);
  }

  makeTest({ values, names }, { codes, bins, first, last }) {
    if (!codes) return (row) => bins[row] >= first && bins[row] <= last;
    const wanted = Uint8Array.from(names, (_, code) => (codes.has(code) ? 1 : 0));
    return (row) => wanted[values[row]] === 1;
  }

  // A word is looked for in the id, the class, the status and the detail.
  makeSearch(word) {
    const [ids, details] = ["sample_id", "detail"].map((name) => this.lowered(this.byName.get(name)));
    const named = ["status", "label_name"].map((name) => this.byName.get(name)).filter(Boolean);
    const tests = named.map(({ names, values }) => {
      const has = Uint8Array.from(names, (name) => (name.toLowerCase().includes(word) ? 1 : 0));
      return (row) => has[values[row]] === 1;
    });
    return (row) => ids[row].includes(word) || details[row].includes(word) || tests.some((test) => test(row));
  }

  lowered(column) {
    column.lowered ??= column.values.map((text) => text.toLowerCase());
    return column.lowered;
  }

  // All rows in the order asked for; worked out once for each column and direction.
  order() {
    const { name, falling } = this.sort;
    const key = (falling ? "falling " : "rising ") + name;
    if (!this.orders.has(key)) this.orders.set(key, sortRows(this.makeKeys(this.byName.get(name)), falling));
    return this.orders.get(key);
  }

  // Whole numbers of 32 bits that sort as the values do; the last one stands for an empty cell.
  makeKeys({ name, kind, values }) {
    if (name === "sample_id") return Uint32Array.from(values, (_, row) => row);
    if (kind === "category") return Uint32Array.from(values, (code) => (code === NO_CODE ? LAST_KEY : code));
    if (kind === "number") return makeNumberKeys(values);
    // Most details are empty, and many are alike.
    const ranks = new Map([...new Set(values)].sort().map((text, rank) => [text, rank]));
    return Uint32Array.from(values, (text) => (text === "" ? LAST_KEY : ranks.get(text)));
  }
}

function keepWhere(matches, test) {
  for (let row = 0; row < matches.length; row++) if (matches[row] && !test(row)) matches[row] = 0;
}

// The bits of a float sort as numbers do once those of negative ones are turned around.
function makeNumberKeys(values) {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  return bits.map((b, row) => (Number.isNaN(values[row]) ? LAST_KEY : b >>> 31 ? ~b : b | 0x80000000));
}

// Rows of equal keys stay in order, and empty cells stay last either way.
function sortRows(keys, falling) {
  const packed = new Float64Array(keys.length);
  for (let row = 0; row < keys.length; row++) {
    const key = falling && keys[row] !== LAST_KEY ? LAST_KEY - 1 - keys[row] : keys[row];
    packed[row] = key * ROW_BITS + row;
  }
  return Uint32Array.from(packed.sort(), (number) => number % ROW_BITS);
}
