// The confusion matrix on a canvas: rows are true classes, readable cell by cell.

const MOST_CELL_PX = 72;
// More names beside a matrix could not be read.
const MOST_NAMED = 20;
const MOST_CONFUSED = 30;
// Of small cells a faint one could not be seen.
const FAINTEST = { large: 0.15, small: 0.45 };
const SMALL_CELL_PX = 6;

// Counts by true class of what was answered, and what follows from them.
class Answers {
  constructor(test, array) {
    this.names = test.classes;
    this.counts = array(test.confusion);
    const n = this.names.length;
    this.total = this.names.map((_, t) => this.counts.subarray(t * n, (t + 1) * n).reduce((a, b) => a + b, 0));
    this.given = this.names.map((_, g) => this.names.reduce((sum, _, t) => sum + this.at(t, g), 0));
  }

  at(truth, given) {
    return this.counts[truth * this.names.length + given];
  }

  share(truth, given = truth) {
    return this.total[truth] ? this.at(truth, given) / this.total[truth] : NaN;
  }

  // Classes that occur or were answered, as labelled or the worst first.
  list(order) {
    const seen = this.names.map((_, label) => label).filter((label) => this.total[label] + this.given[label]);
    const rank = (label) => (this.total[label] ? this.share(label) : 2);
    return order === "accuracy" ? seen.sort((a, b) => rank(a) - rank(b) || a - b) : seen;
  }

  // What the samples of a class were taken for, itself among it, the commonest first.
  of(truth) {
    const given = this.names.map((_, label) => [label, this.at(truth, label)]).filter(([, n]) => n);
    return given.sort((a, b) => b[1] - a[1]);
  }

  confused() {
    const pairs = this.names.flatMap((_, t) => this.of(t).filter(([g]) => g !== t).map(([g, n]) => [t, g, n]));
    return pairs.sort((a, b) => b[2] - a[2]);
  }
}

class Matrix {
  constructor(answers) {
    this.answers = answers;
    this.canvas = byId("confusion-matrix");
    this.told = byId("confusion-told");
    this.row = this.column = 0;
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => {
      this.point(event);
      this.list();
    });
    this.canvas.addEventListener("pointerleave", () => this.draw());
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    this.canvas.addEventListener("focus", () => this.tell(this.row, this.column));
    byId("confusion-order").addEventListener("change", (event) => this.sort(event.target.value));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.sort("label");
  }

  sort(order) {
    this.shown = this.answers.list(order);
    const columns = byId("confusion-columns");
    for (const part of [this.canvas, columns]) part.style.setProperty("max-width", `${MOST_CELL_PX * this.shown.length}px`);
    this.name(columns, byId("confusion-rows"));
    // Whole pixels a cell, and none more than the screen has: a browser that leaves out pixels to
    // make it fit would leave out classes.
    const pixels = this.canvas.clientWidth * devicePixelRatio;
    this.cell = Math.max(1, Math.floor(pixels / this.shown.length));
    this.canvas.width = this.canvas.height = this.cell * this.shown.length;
    this.row = this.column = 0;
    this.draw();
  }

  // Names rows and columns; with too many classes the matrix has the room for itself.
  name(...axes) {
    const few = this.shown.length <= MOST_NAMED;
    byId("confusion-axes").hidden = !few;
    for (const axis of axes) {
      axis.replaceChildren(...(few ? this.shown : []).map((label) =>
        make("li", { title: this.answers.names[label] }, this.answers.names[label])));
    }
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    context.globalAlpha = 1;
    context.fillStyle = colour("--raised");
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    const [right, wrong] = [colour("--ok"), colour("--failed")];
    const small = this.cell <= SMALL_CELL_PX;
    const gap = small ? 0 : 1;
    this.shown.forEach((truth, row) =>
      this.shown.forEach((given, column) => {
        const share = this.answers.share(truth, given);
        if (!share) return;
        // By the square root, or rare confusions could not be seen.
        context.globalAlpha = Math.max(small ? FAINTEST.small : FAINTEST.large, Math.sqrt(share));
        context.fillStyle = truth === given ? right : wrong;
        context.fillRect(column * this.cell, row * this.cell, this.cell - gap, this.cell - gap);
      }));
    context.globalAlpha = 1;
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = (at, size) => Math.min(this.shown.length - 1, Math.max(0, Math.floor((at / size) * this.shown.length)));
    this.tell(place(event.clientY - box.top, box.height), place(event.clientX - box.left, box.width));
  }

  press(event) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.list();
      return;
    }
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const move = (at, by) => Math.min(this.shown.length - 1, Math.max(0, at + by));
    this.tell(move(this.row, step[0]), move(this.column, step[1]));
  }

  // Lists what the class of the row was answered; the button beside it leads back.
  list() {
    const { answers, shown, row } = this;
    listAnswers(answers.names[shown[row]], answers.of(shown[row]).map(([given, n]) =>
      [answers.names[given], n / answers.total[shown[row]], formatCount(n)]));
    byId("confused-all").hidden = false;
  }

  tell(row, column) {
    Object.assign(this, { row, column });
    const [truth, given] = [this.shown[row], this.shown[column]];
    const { names, total } = this.answers;
    const share = total[truth] ? ` (${formatShare(this.answers.share(truth, given))})` : "";
    this.told.textContent = `true ${names[truth]}, answered ${names[given]}: ${formatCount(this.answers.at(truth, given))} of ${formatCount(total[truth])}${share}`;
    this.draw();
    const context = this.canvas.getContext("2d");
    context.strokeStyle = getComputedStyle(this.canvas).color;
    context.lineWidth = this.cell > SMALL_CELL_PX ? 2 : 1;
    // Around a cell of a pixel or two, not over it.
    const space = this.cell > SMALL_CELL_PX ? 0 : 2.5;
    const side = this.cell + 2 * space;
    context.strokeRect(column * this.cell - space, row * this.cell - space, side, side);
  }
}

function drawConfusion(test, answers) {
  byId("confusion-about").textContent = `${test.about}. Rows are true classes, columns what was answered; the stronger the colour, the larger the share of the row.`;
  byId("confused-all").addEventListener("click", () => listConfused(answers));
  listConfused(answers);
  return new Matrix(answers);
}

function listConfused(answers) {
  const confused = answers.confused();
  const most = confused[0]?.[2];
  listAnswers("most confused: true → answered", confused.slice(0, MOST_CONFUSED).map(([t, g, n]) =>
    [`${answers.names[t]} → ${answers.names[g]}`, n / most, formatCount(n)]));
  if (!most) byId("confused").append(make("p", { class: "note" }, "Nothing was confused."));
  byId("confused-all").hidden = true;
}

function listAnswers(title, bars) {
  byId("confused-title").textContent = title;
  byId("confused").replaceChildren(...bars.map((bar) => makeShare(...bar)));
}
