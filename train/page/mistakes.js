// Wrong answers that were given with confidence, each with a clip that plays.

const CLIP_HEIGHT = 270;

class Mistake {
  constructor(mistake, sample, fps) {
    Object.assign(this, { sample, fps, at: 0, drawing: Promise.resolve() });
    const told = make("span", { class: "told" }, `${mistake.id}, clip ${sample.clips[0].number + 1} of ${sample.n_clips}`);
    this.canvas = make("canvas", { role: "img", "aria-label": `Frames of ${mistake.id}` });
    this.button = make("button", { type: "button", "aria-label": `Play or pause ${mistake.id}`, onclick: () => this.toggle() }, "play");
    this.slider = make("input", { type: "range", min: 0, max: sample.frame.length - 1, value: 0, "aria-label": `Frame of ${mistake.id}`, oninput: () => this.seek(Number(this.slider.value)) });
    this.element = make("div", { class: "card mistake" }, this.canvas, ...describeMistake(mistake), told,
      make("div", { class: "controls" }, this.button, this.slider));
  }

  seek(at) {
    this.at = (at + this.sample.frame.length) % this.sample.frame.length;
    this.slider.value = this.at;
    const i = this.at;
    // One after the other: a slow picture must not be drawn over a later one.
    this.drawing = this.drawing.then(() => this.draw(i));
    return this.drawing;
  }

  async draw(i) {
    const width = Math.round(CLIP_HEIGHT * (await this.sample.aspect()));
    if (this.canvas.width !== width) Object.assign(this.canvas, { width, height: CLIP_HEIGHT });
    await drawFrame(this.canvas.getContext("2d"), { x: 0, y: 0, width, height: CLIP_HEIGHT, bold: true }, this.sample, i);
  }

  toggle() {
    this.button.textContent = this.timer ? "play" : "pause";
    if (this.timer) this.timer = clearInterval(this.timer);
    else this.timer = setInterval(() => this.seek(this.at + 1), 1000 / this.fps);
  }
}

function describeMistake({ given, share, ...mistake }) {
  return [
    make("span", { class: "class" }, mistake.true),
    make("span", { class: "told" }, "answered ", make("span", { class: "answer" }, given), ` with ${formatShare(share)}`),
  ];
}

async function drawMistakes(page) {
  const { mistakes, n_wrong, drawing } = page;
  byId("mistakes-about").textContent = !n_wrong ? "There is none."
    : `${formatCount(mistakes.length)} of ${countOf(n_wrong, "mistake")}, the most confident first`
      + (drawing ? ", each with the clip in the middle of its sample." : ". The shards are not there, or are others now: no clips.");
  for (const [i, mistake] of mistakes.entries()) {
    if (!drawing) {
      byId("mistake-list").append(make("div", { class: "card mistake" }, ...describeMistake(mistake), make("span", { class: "told" }, mistake.id)));
      continue;
    }
    const shown = new Mistake(mistake, new ShownSample(await unpack(`mistake-${i}`), drawing), page.play_fps);
    byId("mistake-list").append(shown.element);
    await shown.seek(0);
  }
}
