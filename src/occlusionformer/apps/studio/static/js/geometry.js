// Boxes [x1, y1, x2, y2] as fractions of the canvas: moving, resizing, snapping.

export const SMALLEST = 0.01; // side of the smallest box that can be drawn, as a fraction of the canvas

export const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

// Five digits are finer than a pixel of any canvas a model draws, and keep exported files readable.
const tidy = (value) => Math.round(value * 1e5) / 1e5;

export const tidyBox = (box) => box.map((edge) => tidy(clamp(edge, 0, 1)));

export const sameBox = (a, b) => a.every((edge, place) => edge === b[place]);

export const contains = (box, [x, y]) => x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3];

export const overlap = (a, b) =>
  Math.max(a[0], b[0]) < Math.min(a[2], b[2]) && Math.max(a[1], b[1]) < Math.min(a[3], b[3]);

export const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);

export function boxBetween([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

// The box moved by a vector, stopped at the edges of the canvas.
export function moved(box, dx, dy) {
  const x = clamp(dx, -box[0], 1 - box[2]);
  const y = clamp(dy, -box[1], 1 - box[3]);
  return [box[0] + x, box[1] + y, box[2] + x, box[3] + y];
}

// A handle is named by the edges it pulls: any of n, e, s, w.
export function resized(box, handle, [x, y], keepAspect = 0) {
  const next = [...box];
  if (handle.includes("w")) next[0] = clamp(x, 0, box[2] - SMALLEST);
  if (handle.includes("e")) next[2] = clamp(x, box[0] + SMALLEST, 1);
  if (handle.includes("n")) next[1] = clamp(y, 0, box[3] - SMALLEST);
  if (handle.includes("s")) next[3] = clamp(y, box[1] + SMALLEST, 1);
  return keepAspect && handle.length === 2 ? withAspect(next, handle, keepAspect) : next;
}

// Shrinks the longer side at a corner until width / height is as asked.
function withAspect(box, handle, aspect) {
  const width = Math.min(box[2] - box[0], (box[3] - box[1]) * aspect);
  const height = width / aspect;
  const next = [...box];
  if (handle.includes("w")) next[0] = box[2] - width;
  else next[2] = box[0] + width;
  if (handle.includes("n")) next[1] = box[3] - height;
  else next[3] = box[1] + height;
  return next;
}

// Lines that edges may snap to on both axes: those of the canvas, of the other boxes, of the grid.
export function snapLines(others, grid) {
  const lines = [
    [0, 0.5, 1],
    [0, 0.5, 1],
  ];
  for (const box of others) {
    lines[0].push(box[0], (box[0] + box[2]) / 2, box[2]);
    lines[1].push(box[1], (box[1] + box[3]) / 2, box[3]);
  }
  if (grid) {
    for (let axis = 0; axis < 2; axis++) {
      for (let at = grid[axis]; at < 1; at += grid[axis]) lines[axis].push(at);
    }
  }
  return lines;
}

// The shift within reach that brings one of the edges onto a line, and that line; null when none is near.
function nearest(edges, lines, reach) {
  let best = null;
  for (const edge of edges) {
    for (const line of lines) {
      const shift = line - edge;
      if (Math.abs(shift) <= reach && (!best || Math.abs(shift) < Math.abs(best.shift))) best = { shift, line };
    }
  }
  return best;
}

// A moved box with its edges or its middle on near lines, and the lines it now lies on.
export function snapMove(box, lines, reach) {
  const guides = [null, null];
  const shift = [0, 0];
  for (let axis = 0; axis < 2; axis++) {
    const [low, high] = [box[axis], box[axis + 2]];
    const found = nearest([low, high, (low + high) / 2], lines[axis], reach[axis]);
    if (found) {
      shift[axis] = found.shift;
      guides[axis] = found.line;
    }
  }
  return { box: moved(box, shift[0], shift[1]), guides };
}

export function snapPoint(point, lines, reach) {
  const guides = [null, null];
  const next = point.map((value, axis) => {
    const found = nearest([value], lines[axis], reach[axis]);
    if (!found) return value;
    guides[axis] = found.line;
    return found.line;
  });
  return { point: next, guides };
}
