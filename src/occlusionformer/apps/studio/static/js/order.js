// Who is in front of whom. Works on documents (document.js) and never changes them: every function returns a new one.
//
// kind "layers": the layer list is a total order, with exceptions for single pairs.
// kind "pairs":  relations one by one; what is not said is no relation.
// kind "depths": distances from the viewer, the smaller in front.
// kind "none":   no relation at all.
// Instances in `free` take no part in an order by layers or depths.

import { overlap } from "./geometry.js";

export const KINDS = ["layers", "pairs", "depths", "none"];

export const emptyOrder = () => ({
  kind: "layers",
  free: [],
  exceptions: [],
  pairs: [],
  depths: {},
  cycles: "error",
  closure: false,
});

const isPair = (pair, a, b) => (pair.a === a && pair.b === b) || (pair.a === b && pair.b === a);

export const exceptionFor = (doc, a, b) => doc.order.exceptions.find((pair) => isPair(pair, a, b));

// All relations as [front, behind], written out.
export function edges(doc) {
  const { kind } = doc.order;
  if (kind === "none") return [];
  if (kind === "pairs")
    return closed(
      doc,
      doc.order.pairs.map((pair) => [pair.front, pair.behind]),
    );
  return kind === "depths" ? depthEdges(doc) : layerEdges(doc);
}

function overlappingInOrder(doc) {
  const free = new Set(doc.order.free);
  const boxes = new Map(doc.instances.map((instance) => [instance.id, instance.box]));
  const listed = doc.layers.filter((id) => !free.has(id));
  const found = [];
  for (let near = 0; near < listed.length; near++) {
    for (let far = near + 1; far < listed.length; far++) {
      if (overlap(boxes.get(listed[near]), boxes.get(listed[far]))) found.push([listed[near], listed[far]]);
    }
  }
  return found;
}

function layerEdges(doc) {
  const base = overlappingInOrder(doc).filter(([a, b]) => !exceptionFor(doc, a, b));
  const declared = doc.order.exceptions.filter((pair) => !pair.blend).map((pair) => [pair.a, pair.b]);
  return [...base, ...declared];
}

function depthEdges(doc) {
  const { depths } = doc.order;
  return overlappingInOrder(doc)
    .filter(([a, b]) => a in depths && b in depths && depths[a] !== depths[b])
    .map(([a, b]) => (depths[a] < depths[b] ? [a, b] : [b, a]));
}

// Adds what follows from the relations for boxes that overlap, when the document asks for it.
function closed(doc, declared) {
  if (!doc.order.closure) return declared;
  const behind = successors(declared);
  const known = new Set(declared.map(([a, b]) => `${a}\n${b}`));
  const implied = [];
  for (const front of doc.instances) {
    const reached = reachable(behind, front.id);
    for (const other of doc.instances) {
      const fresh = reached.has(other.id) && other !== front && !known.has(`${front.id}\n${other.id}`);
      if (fresh && overlap(front.box, other.box)) implied.push([front.id, other.id]);
    }
  }
  return [...declared, ...implied];
}

function successors(relations) {
  const behind = new Map();
  for (const [a, b] of relations) {
    if (!behind.has(a)) behind.set(a, []);
    behind.get(a).push(b);
  }
  return behind;
}

function reachable(behind, start) {
  const found = new Set();
  const waiting = [start];
  while (waiting.length) {
    for (const next of behind.get(waiting.pop()) ?? []) {
      if (found.has(next)) continue;
      found.add(next);
      waiting.push(next);
    }
  }
  return found;
}

// The shortest way from one instance to another along "in front of"; null when there is none.
export function path(relations, from, to) {
  const behind = successors(relations);
  const cameFrom = new Map([[from, null]]);
  const waiting = [from];
  while (waiting.length) {
    const at = waiting.shift();
    for (const next of behind.get(at) ?? []) {
      if (cameFrom.has(next)) continue;
      cameFrom.set(next, at);
      if (next === to) return walkBack(cameFrom, to);
      waiting.push(next);
    }
  }
  return null;
}

function walkBack(cameFrom, end) {
  const way = [];
  for (let at = end; at !== null; at = cameFrom.get(at)) way.unshift(at);
  return way;
}

// A loop [a, b, ..., a], or null.
export function findLoop(relations) {
  for (const [front, behind] of relations) {
    const back = path(relations, behind, front);
    if (back) return [front, ...back];
  }
  return null;
}

// "front", "behind", "both" (mutual) or "blend" (no relation), seen from the first of the two.
export function relationOf(relations, a, b) {
  const front = relations.some(([x, y]) => x === a && y === b);
  const behind = relations.some(([x, y]) => x === b && y === a);
  if (front && behind) return "both";
  return front ? "front" : behind ? "behind" : "blend";
}

// Ids front to back so that everybody comes after those in front of them, else as in `preferred`; loops stay as preferred.
export function lineUp(ids, relations, preferred = ids) {
  const behind = successors(relations);
  const missing = new Map(ids.map((id) => [id, 0]));
  for (const [, b] of relations) missing.set(b, missing.get(b) + 1);
  const left = [...preferred];
  const line = [];
  while (left.length) {
    const place = Math.max(
      0,
      left.findIndex((id) => missing.get(id) <= 0),
    );
    const [id] = left.splice(place, 1);
    line.push(id);
    for (const next of behind.get(id) ?? []) missing.set(next, missing.get(next) - 1);
  }
  return line;
}

// Declares how two instances relate: {doc} when done, {loop} when that would close a loop and loops are refused.
export function relate(doc, a, b, relation) {
  const base = ["layers", "pairs"].includes(doc.order.kind) ? doc : withKind(doc, "layers");
  const next = base.order.kind === "pairs" ? relatePair(base, a, b, relation) : relateLayers(base, a, b, relation);
  const loop = next.order.cycles === "error" && relation !== "blend" ? loopThrough(next, a, b, relation) : null;
  return loop ? { loop } : { doc: next };
}

function loopThrough(doc, a, b, relation) {
  const [front, behind] = relation === "front" ? [a, b] : [b, a];
  const back = path(edges(doc), behind, front);
  return back ? [front, ...back] : null;
}

function relatePair(doc, a, b, relation) {
  const pairs = doc.order.pairs.filter((pair) => !isPair({ a: pair.front, b: pair.behind }, a, b));
  if (relation === "front") pairs.push({ front: a, behind: b });
  if (relation === "behind") pairs.push({ front: b, behind: a });
  return { ...doc, order: { ...doc.order, pairs } };
}

function relateLayers(doc, a, b, relation) {
  const exceptions = doc.order.exceptions.filter((pair) => !isPair(pair, a, b));
  const free = new Set(doc.order.free);
  const listed = !free.has(a) && !free.has(b);
  const listedAs = listed ? (doc.layers.indexOf(a) < doc.layers.indexOf(b) ? "front" : "behind") : "blend";
  if (relation !== listedAs) {
    const [front, behind] = relation === "behind" ? [b, a] : [a, b];
    exceptions.push(relation === "blend" ? { a, b, blend: true } : { a: front, b: behind });
  }
  return { ...doc, order: { ...doc.order, exceptions } };
}

// The same relations, as far as the kind can hold them, kept in another way.
export function withKind(doc, kind) {
  if (kind === doc.order.kind) return doc;
  const relations = edges(doc);
  const layers = lineUp(doc.layers, relations);
  const order = { ...emptyOrder(), kind, cycles: doc.order.cycles };
  if (kind === "pairs") order.pairs = relations.map(([front, behind]) => ({ front, behind }));
  if (kind === "depths") order.depths = Object.fromEntries(layers.map((id, place) => [id, place + 1]));
  const next = { ...doc, layers, order };
  return kind === "layers" && doc.order.kind !== "none" ? withExceptions(next, relations) : next;
}

function withExceptions(doc, relations) {
  let next = doc;
  for (const [a, b] of overlappingInOrder(doc)) {
    const relation = relationOf(relations, a, b);
    if (relation !== "front") next = relateLayers(next, a, b, relation === "both" ? "front" : relation);
  }
  return next;
}

// Moves an instance to a place in the layer list; whoever it passes changes sides with it.
export function reorder(doc, id, place) {
  const from = doc.layers.indexOf(id);
  const layers = doc.layers.filter((other) => other !== id);
  layers.splice(place, 0, id);
  const passed = doc.layers.slice(Math.min(from, place), Math.max(from, place) + 1).filter((other) => other !== id);
  const next = { ...doc, layers };
  if (doc.order.kind === "none") return next;
  if (doc.order.kind === "pairs") return { ...next, order: { ...doc.order, pairs: flipped(doc, id, passed) } };
  const order = { ...doc.order, free: doc.order.free.filter((other) => other !== id) };
  if (doc.order.kind === "depths") order.depths = { ...order.depths, [id]: depthBetween(doc, layers, place) };
  else order.exceptions = order.exceptions.filter((pair) => pair.blend || !passed.some((p) => isPair(pair, id, p)));
  return { ...next, order };
}

function flipped(doc, id, passed) {
  const flips = (pair) => passed.some((other) => isPair({ a: pair.front, b: pair.behind }, id, other));
  return doc.order.pairs.map((pair) => (flips(pair) ? { front: pair.behind, behind: pair.front } : pair));
}

function depthBetween(doc, layers, place) {
  const nearer = layers
    .slice(0, place)
    .reverse()
    .find((id) => id in doc.order.depths);
  const farther = layers.slice(place + 1).find((id) => id in doc.order.depths);
  const { [nearer]: low, [farther]: high } = doc.order.depths;
  if (nearer === undefined) return farther === undefined ? 1 : high - 1;
  return farther === undefined ? low + 1 : (low + high) / 2;
}

// The same boxes with everybody's relations turned round.
export function reversed(doc) {
  const swap = (pair) => ({ front: pair.behind, behind: pair.front });
  const turn = (pair) => (pair.blend ? pair : { a: pair.b, b: pair.a });
  const { order } = doc;
  const depths = Object.fromEntries(Object.entries(order.depths).map(([id, depth]) => [id, -depth]));
  const listed = doc.layers.filter((id) => !order.free.includes(id)).reverse();
  const layers = [...listed, ...doc.layers.filter((id) => order.free.includes(id))];
  const next = { ...order, depths, pairs: order.pairs.map(swap), exceptions: order.exceptions.map(turn) };
  return { ...doc, layers, order: next };
}
