// The document that is edited: a layout (docs/layout.schema.json) with a layer list, locks and hidden boxes.

import { sameBox, tidyBox } from "./geometry.js";
import { edges, emptyOrder, lineUp } from "./order.js";
import { placeRegion } from "./region.js";

export const newDocument = (width, height) => ({
  prompt: "a plain light blue background",
  width,
  height,
  instances: [],
  layers: [],
  order: emptyOrder(),
});

export const find = (doc, id) => doc.instances.find((instance) => instance.id === id);

export const label = (instance) => instance.caption.trim() || "untitled";

// Instances by the layer list, front first.
export const inLayers = (doc) => doc.layers.map((id) => find(doc, id));

// Ids front to back as they are painted: the declared relations before the list.
export const painted = (doc) => lineUp(doc.layers, edges(doc));

export function update(doc, id, changes) {
  return { ...doc, instances: doc.instances.map((each) => (each.id === id ? { ...each, ...changes } : each)) };
}

// A new box for an instance; its region goes along.
export function setBox(doc, id, box) {
  const instance = find(doc, id);
  const next = tidyBox(box);
  if (sameBox(next, instance.box)) return doc;
  const region = instance.region ? placeRegion(instance.region, instance.box, next) : null;
  return update(doc, id, { box: next, region });
}

function freshId(doc) {
  const taken = new Set(doc.instances.map((instance) => instance.id));
  let number = doc.instances.length + 1;
  while (taken.has(`box-${number}`)) number += 1;
  return `box-${number}`;
}

// Adds an instance in front of all others, or just in front of the instance named.
export function add(doc, fields, before = null) {
  const instance = { caption: "", category: null, region: null, opacity: 1, locked: false, hidden: false, ...fields };
  instance.id = freshId(doc);
  instance.box = tidyBox(instance.box);
  const layers = [...doc.layers];
  layers.splice(Math.max(0, layers.indexOf(before)), 0, instance.id);
  const order = { ...doc.order };
  if (order.kind === "depths") order.depths = { ...order.depths, [instance.id]: depthAt(order, layers, instance.id) };
  return { doc: { ...doc, instances: [...doc.instances, instance], layers, order }, id: instance.id };
}

function depthAt(order, layers, id) {
  const next = layers.slice(layers.indexOf(id) + 1).find((other) => other in order.depths);
  return next === undefined ? 1 : order.depths[next] - 1;
}

export function remove(doc, id) {
  const others = (ids) => ids.filter((other) => other !== id);
  const { [id]: _, ...depths } = doc.order.depths;
  const order = {
    ...doc.order,
    free: others(doc.order.free),
    depths,
    pairs: doc.order.pairs.filter((pair) => pair.front !== id && pair.behind !== id),
    exceptions: doc.order.exceptions.filter((pair) => pair.a !== id && pair.b !== id),
  };
  return { ...doc, instances: doc.instances.filter((each) => each.id !== id), layers: others(doc.layers), order };
}

// A copy a little to the right and below, or to the left and above where there is no room.
export function duplicate(doc, id) {
  const { id: _, ...fields } = find(doc, id);
  const [x1, y1, x2, y2] = fields.box;
  const dx = x2 + 0.04 <= 1 ? 0.04 : x1 >= 0.04 ? -0.04 : 0;
  const dy = y2 + 0.04 <= 1 ? 0.04 : y1 >= 0.04 ? -0.04 : 0;
  const box = [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
  const region = fields.region ? placeRegion(fields.region, fields.box, box) : null;
  return add(doc, { ...fields, box, region, locked: false }, id);
}

// The layout of a document; `hidden` says whether hidden boxes are part of it.
export function toLayout(doc, { hidden = true, seed } = {}) {
  const kept = hidden
    ? doc
    : doc.instances.filter((each) => each.hidden).reduce((rest, { id }) => remove(rest, id), doc);
  const layout = { version: 1, prompt: kept.prompt, width: kept.width, height: kept.height };
  const start = seed === undefined ? kept.seed : seed;
  if (start !== undefined && start !== null) layout.seed = start;
  layout.instances = kept.instances.map(toInstance);
  const order = toOrder(kept);
  if (order) layout.order = order;
  if (kept.order.cycles !== "error") layout.cycles = kept.order.cycles;
  if (kept.order.closure) layout.closure = true;
  return layout;
}

function toInstance({ id, caption, box, category, region, opacity }) {
  const instance = { id, caption, box };
  if (category) instance.category = category;
  if (region) instance.region = region;
  if (opacity !== 1) instance.opacity = opacity;
  return instance;
}

function toOrder(doc) {
  const { kind, free, exceptions, pairs, depths } = doc.order;
  if (kind === "none") return null;
  if (kind === "pairs") return { pairs };
  if (kind === "depths") return { depths };
  if (exceptions.length) return { pairs: edges(doc).map(([front, behind]) => ({ front, behind })) };
  return { front_to_back: doc.layers.filter((id) => !free.includes(id)) };
}

// The document of a layout in the native format.
export function fromLayout(layout) {
  const instances = layout.instances.map((instance) => ({
    id: instance.id,
    caption: instance.caption,
    box: instance.box,
    category: instance.category ?? null,
    region: instance.region ?? null,
    opacity: instance.opacity ?? 1,
    locked: false,
    hidden: false,
  }));
  const doc = { prompt: layout.prompt, width: layout.width, height: layout.height, instances };
  if (layout.seed !== undefined && layout.seed !== null) doc.seed = layout.seed;
  return {
    ...doc,
    ...fromOrder(
      layout,
      instances.map((instance) => instance.id),
    ),
  };
}

function fromOrder(layout, ids) {
  const declared = layout.order ?? null;
  const order = { ...emptyOrder(), cycles: layout.cycles ?? "error", closure: layout.closure ?? false };
  const paintedLast = [...ids].reverse();
  if (declared?.front_to_back) {
    order.free = ids.filter((id) => !declared.front_to_back.includes(id));
    return { order, layers: [...declared.front_to_back, ...order.free] };
  }
  if (declared?.pairs) {
    order.kind = "pairs";
    order.pairs = declared.pairs.map(({ front, behind }) => ({ front, behind }));
    return {
      order,
      layers: lineUp(
        ids,
        order.pairs.map((pair) => [pair.front, pair.behind]),
        paintedLast,
      ),
    };
  }
  if (declared?.depths) {
    order.kind = "depths";
    order.depths = { ...declared.depths };
    order.free = ids.filter((id) => !(id in declared.depths));
    const listed = paintedLast.filter((id) => id in declared.depths);
    return { order, layers: [...listed.sort((a, b) => order.depths[a] - order.depths[b]), ...order.free] };
  }
  order.kind = "none";
  return { order, layers: paintedLast };
}

// What keeps a document from being drawn, in words; an empty list when nothing does.
export function problemsOf(doc) {
  const found = [];
  if (!doc.prompt.trim()) found.push("Describe the background in the scene prompt.");
  const unnamed = doc.instances.filter((instance) => !instance.hidden && !instance.caption.trim());
  if (unnamed.length === 1) found.push("One box has no caption yet.");
  if (unnamed.length > 1) found.push(`${unnamed.length} boxes have no caption yet.`);
  return found;
}
