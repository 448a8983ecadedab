// Cut-outs turned into overlays and into mask files. The alpha of a cut-out is its mask.

export async function decoded(picture) {
  return Promise.all(picture.instances.map(({ cutout }) => (cutout ? createImageBitmap(cutout) : null)));
}

function plane(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

// The mask as a flat colour.
function tinted(bitmap, colour) {
  const canvas = plane(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

export function drawMasks(canvas, picture, bitmaps, shown, colourOf) {
  Object.assign(canvas, { width: picture.width, height: picture.height });
  const context = canvas.getContext("2d");
  context.globalAlpha = 0.62;
  picture.instances.forEach((instance, place) => {
    if (shown.has(instance.id) && bitmaps[place]) context.drawImage(tinted(bitmaps[place], colourOf(instance)), 0, 0);
  });
}

// An 8-bit picture, white where the instance is seen, black elsewhere.
export async function maskFile(picture, bitmap) {
  const canvas = plane(picture.width, picture.height);
  const context = canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(tinted(bitmap, "#fff"), 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
