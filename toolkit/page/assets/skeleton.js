// One stored frame with its skeletons, as toolkit/drawing.py draws it.

const FURTHEST_MARGIN = 0.1;
const LEAST_EXTENT = 0.1;
const BODY_DOTS = ["rgb(255,255,255)", "rgb(255,230,0)"];
// Bones are this part of the picture's shorter side; on a contact sheet, which is shown small, more.
const BONE_PART = 1 / 110;
const BOLD_BONE_PART = 1 / 55;
const DARK_GROUND = "rgb(28,30,36)";

// A sample of the report: its header, its arrays, and pictures that are decoded when asked for.
class ShownSample {
  constructor({ header, array }, drawing) {
    Object.assign(this, header);
    this.drawing = drawing;
    this.pixels = array(header.pixels);
    this.confidence = array(header.confidence);
    this.space = header.space && array(header.space);
    this.jpegs = header.jpegs.map(array);
    this.nJoints = drawing.joints.length;
    this.nBodies = this.confidence.length / this.nJoints / this.frame.length;
    this.pictures = new Map();
  }

  // Returns the picture of the i-th frame that the report carries, or null without pictures.
  picture(i) {
    if (!this.jpegs.length) return Promise.resolve(null);
    if (!this.pictures.has(i)) {
      this.pictures.set(i, createImageBitmap(new Blob([this.jpegs[i]], { type: "image/jpeg" })));
    }
    return this.pictures.get(i);
  }

  async forgetPictures() {
    const pictures = [...this.pictures.values()];
    this.pictures.clear();
    for (const picture of pictures) (await picture).close();
  }

  async aspect() {
    const picture = await this.picture(0);
    return picture ? picture.width / picture.height : this.drawing.metric ? 16 / 9 : 4 / 3;
  }

  // Returns x, y as fractions of the picture, or null where the joint was not seen.
  joint(i, body, joint) {
    const at = 2 * ((i * this.nBodies + body) * this.nJoints + joint);
    const { steps, unseen } = this.drawing;
    return this.pixels[at] === unseen ? null : [this.pixels[at] / steps, this.pixels[at + 1] / steps];
  }

  // Returns x, y, z in millimetres, or null where the body was not seen.
  jointInSpace(i, body, joint) {
    const at = 3 * ((i * this.nBodies + body) * this.nJoints + joint);
    return this.space[at] === this.drawing.unseen ? null : this.space.subarray(at, at + 3);
  }

  // Returns the part of the picture in which the bodies move: the same share of width and height.
  view(zoom) {
    if (!zoom && this.jpegs.length) return { left: 0, top: 0, extent: 1 };
    const [low, high] = [[Infinity, Infinity], [-Infinity, -Infinity]];
    for (let at = 0; at < this.pixels.length; at++) {
      if (this.pixels[at] === this.drawing.unseen) continue;
      const value = this.pixels[at] / this.drawing.steps;
      low[at % 2] = Math.min(low[at % 2], value);
      high[at % 2] = Math.max(high[at % 2], value);
    }
    if (low[0] > high[0]) return { left: 0, top: 0, extent: 1 };
    const widest = Math.max(high[0] - low[0], high[1] - low[1]);
    let extent = Math.max(widest * (1 + 2 * FURTHEST_MARGIN), LEAST_EXTENT);
    let corner = [0, 1].map((axis) => (low[axis] + high[axis]) / 2 - extent / 2);
    if (this.jpegs.length) {
      extent = Math.min(extent, 1);
      corner = corner.map((edge) => Math.min(Math.max(edge, 0), 1 - extent));
    }
    return { left: corner[0], top: corner[1], extent };
  }
}

// Draws frame i into a box { x, y, width, height, bold } of a canvas.
async function drawFrame(context, box, sample, i, { zoom = false, skeleton = true } = {}) {
  const picture = await sample.picture(i);
  const { left, top, extent } = sample.view(zoom);
  context.save();
  context.beginPath();
  context.rect(box.x, box.y, box.width, box.height);
  context.clip();
  context.fillStyle = DARK_GROUND;
  context.fillRect(box.x, box.y, box.width, box.height);
  if (picture) {
    const { width, height } = picture;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, left * width, top * height, extent * width, extent * height, box.x, box.y, box.width, box.height);
  }
  if (skeleton) {
    const place = ([x, y]) => [box.x + ((x - left) / extent) * box.width, box.y + ((y - top) / extent) * box.height];
    for (let body = 0; body < sample.nBodies; body++) {
      const points = sample.drawing.joints.map((_, joint) => sample.joint(i, body, joint));
      drawBody(context, sample.drawing, points.map((at) => at && place(at)), body, box);
    }
  }
  context.restore();
}

// `points` holds for each joint its place on the canvas, or null.
function drawBody(context, { bones, colours }, points, body, box) {
  const part = box.bold ? BOLD_BONE_PART : BONE_PART;
  const thickness = Math.max(1, Math.min(box.width, box.height) * part);
  const drawn = bones.map((bone, b) => [points[bone[0]], points[bone[1]], colours[b]]).filter(([a, b]) => a && b);
  // All outlines first, so that none cuts through a bone drawn before it.
  for (const [a, b] of drawn) strokeLine(context, a, b, "black", thickness + 2);
  for (const [a, b, colour] of drawn) strokeLine(context, a, b, colour, thickness);
  context.fillStyle = BODY_DOTS[body % BODY_DOTS.length];
  for (const point of points.filter(Boolean)) {
    context.beginPath();
    context.arc(point[0], point[1], thickness * 0.9, 0, 2 * Math.PI);
    context.fill();
  }
}

function strokeLine(context, [ax, ay], [bx, by], colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineCap = "round";
  context.beginPath();
  context.moveTo(ax, ay);
  context.lineTo(bx, by);
  context.stroke();
}
