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
      const rest = Math.floor(value / 32); // shifts would cut numbers to 32 bits
      const bits = value - rest * 32;
      value = rest;
      more = value !== (bits & 16 ? -1 : 0);
      text += String.fromCharCode(FIRST + (more ? bits | 32 : bits));
    }
  });
  return text;
}

// The set pixels of a mask by column: half-open ranges of rows, from top to bottom.
function rangesByColumn({ size: [height], counts }) {
  const numbers = typeof counts === "string" ? decompress(counts) : counts;
  const ranges = new Map();
  let at = 0;
  numbers.forEach((count, place) => {
    const stop = at + count;
    while (place % 2 && at < stop) {
      const column = Math.floor(at / height);
      const end = Math.min(stop, (column + 1) * height);
      if (!ranges.has(column)) ranges.set(column, []);
      ranges.get(column).push([at - column * height, end - column * height]);
      at = end;
    }
    at = stop;
  });
  return ranges;
}

// Run lengths of ranges of pixels in their order, numbered down the columns.
function runLengths(ranges, total) {
  const counts = [];
  let at = 0;
  for (const [start, stop] of ranges) {
    if (counts.length && start === at) counts[counts.length - 1] += stop - start;
    else counts.push(start - at, stop - start);
    at = stop;
  }
  if (at < total) counts.push(total - at);
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

// Where the middle of every pixel of a side came from.
function origins(side, axis, from, to) {
  return Float64Array.from({ length: side }, (_, pixel) =>
    Math.floor(carried((pixel + 0.5) / side, axis, to, from) * side));
}

// The first place whose origin is not below a value; origins only grow.
function firstFrom(values, least) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Costs what there are runs, whatever the size of the mask.
function placeMask(region, from, to) {
  const [height, width] = region.size;
  const source = rangesByColumn(region);
  const rows = origins(height, 1, from, to);
  const moved = [];
  origins(width, 0, from, to).forEach((column, place) => {
    for (const [top, bottom] of source.get(column) ?? []) {
      const start = firstFrom(rows, top);
      const stop = firstFrom(rows, bottom);
      if (start < stop) moved.push([place * height + start, place * height + stop]);
    }
  });
  if (!moved.length) return null;
  const counts = runLengths(moved, height * width);
  return { size: region.size, counts: typeof region.counts === "string" ? compress(counts) : counts };
}
