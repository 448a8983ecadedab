// Regions of instances that are not their whole box: polygons, and COCO run-length masks.

import { clamp } from "./geometry.js";

const FIRST = 48; // a compressed string has six bits a character: five of a number, and "more follows"

export function decompress(text) {
  const counts = [];
  let value = 0;
  let shift = 0;
  for (const character of text) {
    const bits = character.charCodeAt(0) - FIRST;
    value += (bits & 31) * 2 ** shift;
    shift += 5;
    if (bits & 32) continue;
    if (bits & 16) value -= 2 ** shift;
    counts.push(counts.length > 2 ? value + counts[counts.length - 2] : value);
    value = 0;
    shift = 0;
  }
  return counts;
}

export function compress(counts) {
  let text = "";
  counts.forEach((count, place) => {
    let value = place > 2 ? count - counts[place - 2] : count;
    for (let more = true; more;) {
      const bits = value & 31;
      value >>= 5;
      more = value !== (bits & 16 ? -1 : 0);
      text += String.fromCharCode(FIRST + (more ? bits | 32 : bits));
    }
  });
  return text;
}

// Pixels of a mask, column by column: 1 where it is set.
export function pixels({ size: [height, width], counts }) {
  const numbers = typeof counts === "string" ? decompress(counts) : counts;
  const set = new Uint8Array(height * width);
  let at = 0;
  numbers.forEach((count, place) => {
    if (place % 2) set.fill(1, at, at + count);
    at += count;
  });
  return set;
}

function runLengths(set) {
  const counts = [];
  let run = 0;
  let value = 0;
  for (const pixel of set) {
    if (pixel !== value) {
      counts.push(run);
      run = 0;
      value = pixel;
    }
    run += 1;
  }
  counts.push(run);
  return counts;
}

// The region carried along when its box goes from one place to another; null when nothing of a mask is left.
export function placeRegion(region, from, to) {
  return region.points ? placePolygon(region, from, to) : placeMask(region, from, to);
}

function carried(value, axis, from, to) {
  const share = (value - from[axis]) / (from[axis + 2] - from[axis]);
  return to[axis] + share * (to[axis + 2] - to[axis]);
}

function placePolygon({ points }, from, to) {
  const tidy = (value) => Math.round(clamp(value, 0, 1) * 1e5) / 1e5;
  return { points: points.map(([x, y]) => [tidy(carried(x, 0, from, to)), tidy(carried(y, 1, from, to))]) };
}

function placeMask(region, from, to) {
  const [height, width] = region.size;
  const source = pixels(region);
  const target = new Uint8Array(source.length);
  for (let column = 0; column < width; column++) {
    const fromColumn = Math.floor(carried((column + 0.5) / width, 0, to, from) * width);
    if (fromColumn < 0 || fromColumn >= width) continue;
    for (let row = 0; row < height; row++) {
      const fromRow = Math.floor(carried((row + 0.5) / height, 1, to, from) * height);
      if (fromRow >= 0 && fromRow < height) target[column * height + row] = source[fromColumn * height + fromRow];
    }
  }
  if (!target.includes(1)) return null;
  const counts = runLengths(target);
  return { size: region.size, counts: typeof region.counts === "string" ? compress(counts) : counts };
}
