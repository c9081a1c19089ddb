// One sample: its clips playing, frame by frame facts, its row of the manifest, commands.

const VIEW_HEIGHT = 540;
const STRIP = { width: 320, height: 44 };

class Viewer {
  constructor(report) {
    this.report = report;
    this.dialog = byId("viewer");
    this.reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
    this.dialog.addEventListener("close", () => this.leave());
    this.dialog.addEventListener("keydown", (event) => this.press(event));
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  // `list` holds the rows that the buttons before and after walk through.
  async open(row, list) {
    this.pause();
    await this.sample?.forgetPictures();
    Object.assign(this, { row, list, sample: null, clip: 0, at: 0, drawing: Promise.resolve() });
    const shown = this.report.shownOf.get(row);
    this.dialog.replaceChildren(...this.makeContent(shown !== undefined));
    if (!this.dialog.open) this.dialog.showModal();
    if (shown === undefined) return;
    this.sample = await this.report.sample(shown);
    this.controls.clips.replaceChildren(...this.sample.clips.map((clip, i) => this.makeClipButton(clip, i)));
    await this.chooseClip(0);
    if (!this.reducedMotion.matches) this.play();
  }

  leave() {
    this.pause();
    this.sample?.forgetPictures();
    this.sample = null;
  }

  makeContent(plays) {
    const { rows } = this.report;
    const text = (name) => (rows.byName.has(name) ? rows.text(rows.byName.get(name), this.row) : NOTHING);
    const place = this.list.indexOf(this.row);
    const walk = (step, name, label) =>
      make("button", { type: "button", "data-walk": step, disabled: !(place + step in this.list), "aria-label": label, onclick: () => this.open(this.list[place + step], this.list) }, name);
    const head = make("header", {},
      make("div", {}, make("h2", { id: "viewer-title" }, text("sample_id")), make("p", { class: "note" }, `${text("label_name")} · ${text("status")}`)),
      make("div", { class: "buttons" }, walk(-1, "‹", "The sample before"), walk(1, "›", "The sample after"),
        make("button", { type: "button", "aria-label": "Close", onclick: () => this.dialog.close() }, "×")));
    return [head, ...(plays ? this.makeStage() : []), ...this.makeFacts(plays)];
  }

  makeStage() {
    const button = (name, label, act) => make("button", { type: "button", "aria-label": label, onclick: act }, name);
    const box = (name, checked) => make("input", { type: "checkbox", name, checked, onchange: () => this.show() });
    this.canvas = make("canvas", { role: "img", width: 960, height: VIEW_HEIGHT });
    this.controls = {
      play: button("play", "Play or pause", () => this.toggle()),
      slider: make("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Frame of the clip", oninput: (event) => this.seek(Number(event.target.value)) }),
      told: make("output", { class: "told", id: "frame-told" }),
      clips: make("div", { class: "clips", role: "group", "aria-label": "Clips of 16 frames" }),
      skeleton: box("skeleton", true),
      zoom: box("zoom", byId("zoom").checked),
      turn: make("input", { type: "range", min: 0, max: 360, step: 5, value: 30, "aria-label": "Turn the skeleton in space, degrees", oninput: () => this.show() }),
      strip: make("div", { class: "strip" }),
    };
    const { play, slider, told, clips, skeleton, zoom, turn, strip } = this.controls;
    const metric = this.report.drawing.metric;
    this.space = metric && make("canvas", { class: "space", role: "img", "aria-label": "The skeleton in space", width: VIEW_HEIGHT, height: VIEW_HEIGHT });
    return [
      make("div", { class: "stage" }, this.canvas, metric ? this.space : []),
      make("div", { class: "controls" }, play, button("−1", "One frame back", () => this.step(-1)), button("+1", "One frame on", () => this.step(1)), slider),
      told,
      strip,
      make("div", { class: "row" }, clips,
        make("label", { class: "check" }, skeleton, " skeleton"),
        make("label", { class: "check" }, zoom, " zoom"),
        metric ? make("label", { class: "check" }, "turn ", turn) : []),
    ];
  }

  makeFacts(plays) {
    const { rows, facts } = this.report;
    const known = rows.columns.map((column) => [column.title, rows.text(column, this.row), column.unit])
      .filter(([title, told]) => title !== "sample" && told !== "" && told !== NOTHING)
      .map(([title, told, unit]) => [title, unit && unit !== title ? `${told} ${unit}` : told]);
    const id = quoteForShell(rows.text(rows.byName.get("sample_id"), this.row));
    const folder = quoteForShell(facts.folder);
    const commands = [`ctxtool inspect ${folder} --sample ${id}`];
    if (rows.isOk(this.row)) commands.push(`ctxtool render ${folder} --sample ${id}`);
    const note = plays || !rows.isOk(this.row) ? [] : [make("p", { class: "note" }, "This report carries no frames of this sample. The second command draws them.")];
    return [...note, makePairs(make("dl", { class: "pairs" }), known), ...commands.map(makeCommand)];
  }

  makeClipButton({ number, n }, i) {
    const choose = () => this.chooseClip(i);
    return make("button", { type: "button", "aria-label": `Clip ${number}, ${countOf(n, "frame")}`, onclick: choose }, String(number));
  }

  async chooseClip(i) {
    const { clips } = this.sample;
    this.clip = (i + clips.length) % clips.length;
    this.first = clips.slice(0, this.clip).reduce((sum, { n }) => sum + n, 0);
    this.length = clips[this.clip].n;
    this.controls.slider.max = this.length - 1;
    [...this.controls.clips.children].forEach((button, k) => button.setAttribute("aria-pressed", k === this.clip));
    this.controls.strip.replaceChildren(...this.drawDrift());
    await this.seek(0);
  }

  seek(at) {
    this.at = (at + this.length) % this.length;
    return this.show();
  }

  step(by) {
    this.pause();
    return this.seek(this.at + by);
  }

  show() {
    const i = this.first + this.at;
    this.controls.slider.value = this.at;
    this.controls.told.textContent = this.tell(i);
    this.canvas.setAttribute("aria-label", this.tell(i));
    this.cursor?.setAttribute("x", this.at * (STRIP.width / this.length));
    // One after the other: a slow picture must not be drawn over a later one.
    const { sample, controls } = this;
    this.drawing = this.drawing.then(() => sample === this.sample && this.draw(sample, i, controls));
    return this.drawing;
  }

  async draw(sample, i, { zoom, skeleton, turn }) {
    const width = Math.round(VIEW_HEIGHT * (await sample.aspect()));
    if (this.canvas.width !== width) this.canvas.width = width;
    const box = { x: 0, y: 0, width, height: VIEW_HEIGHT };
    await drawFrame(this.canvas.getContext("2d"), box, sample, i, { zoom: zoom.checked, skeleton: skeleton.checked });
    const square = { ...box, width: VIEW_HEIGHT };
    if (this.space) drawSpace(this.space.getContext("2d"), square, sample, i, (turn.value * Math.PI) / 180);
  }

  tell(i) {
    const { frame, video_index, drift_ms, jpegs, clips } = this.sample;
    const place = `clip ${clips[this.clip].number} · frame ${frame[i]}`;
    return jpegs.length ? `${place} · video frame ${video_index[i]} · drift ${formatMeasure(drift_ms[i], "ms")}` : place;
  }

  // Drift by frame of the clip, in ms to both sides of 0.
  drawDrift() {
    this.cursor = null;
    const drift = this.sample.drift_ms.slice(this.first, this.first + this.length);
    const most = Math.max(...drift.map(Math.abs));
    if (!most) return [];
    const { width, height } = STRIP;
    const [step, middle] = [width / this.length, height / 2];
    this.cursor = makeSvg("rect", { class: "cursor", y: 0, width: step, height });
    const bars = drift.map((ms, k) => {
      const tall = (Math.abs(ms) / most) * (middle - 2);
      return makeSvg("rect", { class: "ok", x: k * step + 1, width: step - 2, y: ms > 0 ? middle - tall : middle, height: tall });
    });
    const chart = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": "Drift by frame" },
      this.cursor, makeSvg("line", { x1: 0, x2: width, y1: middle, y2: middle, class: "axis" }), bars);
    return [make("span", { class: "note" }, `drift of each frame, up to ±${formatMeasure(most, "ms")}`), chart];
  }

  toggle() {
    if (this.timer) this.pause();
    else this.play();
  }

  play() {
    if (!this.sample) return;
    this.pause();
    this.controls.play.textContent = "pause";
    this.timer = setInterval(() => this.seek(this.at + 1), 1000 / this.report.playFps);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    if (this.controls) this.controls.play.textContent = "play";
  }

  press(event) {
    const typing = event.target.matches("input[type=range], select");
    const acts = { ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), ArrowUp: () => this.chooseClip(this.clip - 1), ArrowDown: () => this.chooseClip(this.clip + 1) };
    if (!event.target.matches("button, input")) acts[" "] = () => this.toggle();
    if (!this.sample || typing || !(event.key in acts)) return;
    event.preventDefault();
    acts[event.key]();
  }
}
