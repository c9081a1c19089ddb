// The bodies of one frame in metres, seen from any side: the counterpart of toolkit/space.py.

const TILT = (12 * Math.PI) / 180;
const FLOOR_COLOUR = "rgb(58,62,72)";
const FLOOR_TILE_MM = 500;

// Draws frame i into a square box of a canvas, turned by an angle around the vertical.
function drawSpace(context, box, sample, i, turn) {
  const { centre, extent, floor } = sample.space_view;
  const place = ([x, y, z]) => {
    const [dx, dy, dz] = [x - centre[0], y - centre[1], z - centre[2]];
    const across = dx * Math.cos(turn) + dz * Math.sin(turn);
    const away = dz * Math.cos(turn) - dx * Math.sin(turn);
    const up = dy * Math.cos(TILT) + away * Math.sin(TILT);
    return [box.x + box.width * (0.5 + across / extent), box.y + box.height * (0.5 - up / extent)];
  };
  context.save();
  context.beginPath();
  context.rect(box.x, box.y, box.width, box.height);
  context.clip();
  context.fillStyle = DARK_GROUND;
  context.fillRect(box.x, box.y, box.width, box.height);
  const reach = Math.max(1, Math.round(extent / 2 / FLOOR_TILE_MM)) * FLOOR_TILE_MM;
  for (let step = -reach; step <= reach; step += FLOOR_TILE_MM) {
    for (const [a, b] of [[[-reach, step], [reach, step]], [[step, -reach], [step, reach]]]) {
      const ends = [a, b].map(([dx, dz]) => place([centre[0] + dx, floor, centre[2] + dz]));
      strokeLine(context, ...ends, FLOOR_COLOUR, 1);
    }
  }
  for (let body = 0; body < sample.nBodies; body++) {
    const points = sample.drawing.joints.map((_, joint) => sample.jointInSpace(i, body, joint));
    drawBody(context, sample.drawing, points.map((at) => at && place(at)), body, box);
  }
  context.restore();
}
