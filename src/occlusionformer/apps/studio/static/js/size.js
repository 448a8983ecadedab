// In which pixels a layout is drawn: models have a size they were trained on, canvases a shape.

const LARGEST_SIDE = 65_535; // of a layout

export const RATIOS = [
  [1, 1],
  [4, 3],
  [3, 4],
  [3, 2],
  [2, 3],
  [16, 9],
  [9, 16],
];

// The canvas of a shape that has about as many pixels as the model was trained on.
export function modelSize(width, height, { size, side_multiple: multiple }) {
  const side = (share) => Math.max(multiple, Math.round((size * Math.sqrt(share)) / multiple) * multiple);
  return [side(width / height), side(height / width)];
}

// Size of the picture for a canvas: the canvas's own where the model can draw that, else one of the same shape that it can.
export function pictureSize(width, height, model, limits) {
  const { size, side_multiple: multiple } = model;
  const whole = width % multiple === 0 && height % multiple === 0;
  const share = (width * height) / (size * size);
  const allowed = width * height <= limits.pixels && Math.max(width, height) <= limits.side;
  return whole && allowed && share >= 0.5 && share <= 2 ? [width, height] : modelSize(width, height, model);
}

// What is wrong with a canvas, null when nothing is.
export function clashWithCanvas(width, height) {
  const fits = (side) => Number.isInteger(side) && side >= 1 && side <= LARGEST_SIDE;
  return fits(width) && fits(height) ? null : `Canvas: expected whole pixels from 1 to ${LARGEST_SIDE}.`;
}
