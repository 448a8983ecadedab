// The canvas with its boxes, drawn as SVG in screen pixels so that lines and handles keep their size.

import { attributes, by, s, setText } from "./dom.js";
import { find, inLayers, label, painted } from "./document.js";
import { relationOf, edges } from "./order.js";

export const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const TAG_HEIGHT = 20;

const measure = document.createElement("canvas").getContext("2d");
measure.font = "500 12px system-ui, sans-serif";

// As much of the text as fits, with an ellipsis where it was cut.
function fitted(text, width) {
  if (measure.measureText(text).width <= width) return text;
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (measure.measureText(`${text.slice(0, middle).trimEnd()}…`).width <= width) low = middle;
    else high = middle - 1;
  }
  return low ? `${text.slice(0, low).trimEnd()}…` : "";
}

export class Stage {
  #nodes = new Map();
  #size = { width: 0, height: 0 };

  constructor(store) {
    this.store = store;
    this.svg = by("stage");
    this.holder = by("stage-holder");
    this.layers = Object.fromEntries(
      ["backdrop", "grid", "boxes", "guides", "loop", "handles"].map((name) => [name, s("g", { class: name })]),
    );
    this.draft = s("rect", { class: "draft", rx: 3, hidden: true });
    this.svg.append(...Object.values(this.layers), this.draft);
    this.handles = HANDLES.map((name) => this.#handle(name));
    this.layers.handles.append(...this.handles);
    new ResizeObserver(() => this.fit()).observe(this.holder);
    this.fit();
  }

  #handle(name) {
    const target = s("rect", { class: "reach", width: 28, height: 28, x: -14, y: -14 });
    const knob = s("rect", { class: "knob", width: 9, height: 9, x: -4.5, y: -4.5, rx: 2 });
    return s("g", { class: `handle ${name}`, "data-handle": name, "data-testid": `handle-${name}` }, target, knob);
  }

  // The largest rectangle of the canvas's shape that the pane has room for.
  fit() {
    const { width, height } = this.store.doc;
    const room = this.holder.getBoundingClientRect();
    if (!room.width || !room.height) return;
    const scale = Math.min(room.width / width, room.height / height);
    this.#size = { width: Math.round(width * scale), height: Math.round(height * scale) };
    attributes(this.svg, { ...this.#size, viewBox: `0 0 ${this.#size.width} ${this.#size.height}` });
    this.draw();
  }

  get size() {
    return this.#size;
  }

  // A pointer event's place as fractions of the canvas; outside it beyond 0 to 1.
  at(event) {
    const frame = this.svg.getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
  }

  draw() {
    const { doc, view } = this.store;
    if (doc.width !== this.shape?.[0] || doc.height !== this.shape?.[1]) {
      this.shape = [doc.width, doc.height];
      return this.fit();
    }
    this.#forgetRemoved(doc);
    const relations = edges(doc);
    const depth = new Map(inLayers(doc).map((instance, place) => [instance.id, place + 1]));
    let behind = null;
    for (const id of painted(doc).reverse()) {
      const nodes = this.#nodes.get(id) ?? this.#create(id);
      this.#update(nodes, find(doc, id), depth.get(id), relations);
      this.#stack(nodes.group, behind);
      behind = nodes.group;
    }
    this.#drawGrid(view.grid);
    this.#drawLoop();
    this.placeHandles();
    by("stage-empty").hidden = doc.instances.length > 0;
    this.svg.dataset.tool = view.tool;
  }

  // Keeps the group where it is when that is right, so that it does not lose the focus.
  #stack(group, behind) {
    const wanted = behind ? behind.nextSibling : this.layers.boxes.firstChild;
    if (group !== wanted) this.layers.boxes.insertBefore(group, wanted);
  }

  #forgetRemoved(doc) {
    for (const [id, nodes] of this.#nodes) {
      if (find(doc, id)) continue;
      nodes.group.remove();
      this.#nodes.delete(id);
    }
  }

  #create(id) {
    const nodes = {
      fill: s("rect", { class: "fill", rx: 3 }),
      region: s("path", { class: "region" }),
      edge: s("rect", { class: "edge", rx: 3 }),
      chip: s("rect", { class: "chip", height: TAG_HEIGHT, rx: 3 }),
      text: s("text", { class: "tag", "dominant-baseline": "central" }),
    };
    const parts = [nodes.fill, nodes.region, nodes.edge, nodes.chip, nodes.text];
    nodes.group = s("g", { "data-id": id, "data-testid": "box", tabindex: 0, role: "button" }, parts);
    this.layers.boxes.append(nodes.group);
    this.#nodes.set(id, nodes);
    return nodes;
  }

  #update(nodes, instance, place, relations) {
    const { view, doc } = this.store;
    const states = {
      selected: view.selected === instance.id,
      locked: instance.locked,
      gone: instance.hidden,
      looped: view.loop?.ids.includes(instance.id),
    };
    const classes = Object.keys(states).filter((name) => states[name]);
    attributes(nodes.group, {
      class: ["box", `hue-${instance.hue}`, ...classes].join(" "),
      "aria-pressed": states.selected,
      "aria-label": this.#spoken(instance, place, relations, doc),
    });
    nodes.fill.style.setProperty("--opacity", instance.opacity);
    nodes.name = instance.caption.trim() ? `${place}  ${instance.caption.trim()}` : `${place}  no caption`;
    nodes.region.toggleAttribute("hidden", !instance.region?.points);
    this.place(instance.id, instance.box);
  }

  #spoken(instance, place, relations, doc) {
    const [x1, y1, x2, y2] = instance.box.map((edge) => Math.round(edge * 100));
    const behind = doc.instances.filter((other) => relationOf(relations, instance.id, other.id) === "front");
    const inFront = behind.length ? `, in front of ${behind.map(label).join(", ")}` : "";
    const lock = instance.locked ? ", locked" : "";
    return `${label(instance)}, layer ${place} of ${doc.layers.length}${inFront}${lock}; left ${x1}, top ${y1}, width ${x2 - x1}, height ${y2 - y1} percent`;
  }

  // Draws a box at a place, which may differ from the document's while it is being dragged.
  place(id, box) {
    const nodes = this.#nodes.get(id);
    const { width, height } = this.#size;
    const [x, y, w, t] = [box[0] * width, box[1] * height, (box[2] - box[0]) * width, (box[3] - box[1]) * height];
    for (const rect of [nodes.fill, nodes.edge]) attributes(rect, { x, y, width: w, height: t });
    const room = Math.max(0, w - 14);
    if (nodes.shownFor !== `${nodes.name}|${room.toFixed()}`) {
      nodes.shownFor = `${nodes.name}|${room.toFixed()}`;
      const text = fitted(nodes.name, room);
      setText(nodes.text, text);
      nodes.chip.setAttribute("width", text ? Math.min(w, measure.measureText(text).width + 12) : 0);
    }
    attributes(nodes.chip, { x, y });
    attributes(nodes.text, { x: x + 6, y: y + TAG_HEIGHT / 2 });
    if (this.store.view.selected === id) this.placeHandles(box);
    const { region, box: own } = find(this.store.doc, id);
    if (region?.points) this.#placeRegion(nodes.region, region.points, own, box);
  }

  #placeRegion(node, points, from, to) {
    const { width, height } = this.#size;
    const carry = (value, axis) =>
      to[axis] + ((value - from[axis]) / (from[axis + 2] - from[axis])) * (to[axis + 2] - to[axis]);
    const corners = points.map(([x, y]) => `${carry(x, 0) * width} ${carry(y, 1) * height}`);
    node.setAttribute("d", `M${corners.join("L")}Z`);
  }

  placeHandles(box = null) {
    const { doc, view } = this.store;
    const instance = view.selected ? find(doc, view.selected) : null;
    const shown = instance && !instance.locked && !instance.hidden && view.tool === "select";
    this.layers.handles.toggleAttribute("hidden", !shown);
    if (!shown) return;
    const [x1, y1, x2, y2] = box ?? instance.box;
    const { width, height } = this.#size;
    for (const handle of this.handles) {
      const name = handle.dataset.handle;
      const x = name.includes("w") ? x1 : name.includes("e") ? x2 : (x1 + x2) / 2;
      const y = name.includes("n") ? y1 : name.includes("s") ? y2 : (y1 + y2) / 2;
      const small = name.length === 1 && (name === "n" || name === "s" ? (x2 - x1) * width : (y2 - y1) * height) < 40;
      handle.toggleAttribute("hidden", small);
      handle.setAttribute("transform", `translate(${x * width} ${y * height})`);
    }
  }

  showDraft(box) {
    this.draft.toggleAttribute("hidden", !box);
    if (!box) return;
    const { width, height } = this.#size;
    const [x1, y1, x2, y2] = box;
    attributes(this.draft, { x: x1 * width, y: y1 * height, width: (x2 - x1) * width, height: (y2 - y1) * height });
  }

  // Lines at x and y, as fractions, or null for none.
  showGuides([x, y] = [null, null]) {
    const { width, height } = this.#size;
    const lines = [];
    if (x !== null) lines.push(s("line", { x1: x * width, x2: x * width, y1: 0, y2: height }));
    if (y !== null) lines.push(s("line", { x1: 0, x2: width, y1: y * height, y2: y * height }));
    if (lines.length || this.layers.guides.firstChild) this.layers.guides.replaceChildren(...lines);
  }

  showReadout(box) {
    const readout = by("readout");
    readout.hidden = !box;
    if (!box) return;
    const { width, height } = this.store.doc;
    const [x1, y1, x2, y2] = box;
    const text = `${Math.round((x2 - x1) * width)} × ${Math.round((y2 - y1) * height)} px at ${Math.round(x1 * width)}, ${Math.round(y1 * height)}`;
    setText(readout, text);
  }

  // Sixteen cells along the shorter side, square on the screen.
  get gridStep() {
    const { width, height } = this.store.doc;
    const cell = Math.min(width, height) / 16;
    return [cell / width, cell / height];
  }

  #drawGrid(shown) {
    const { width, height } = this.#size;
    const key = shown ? `${width} ${height} ${this.gridStep}` : "";
    if (key === this.gridShown) return;
    this.gridShown = key;
    const [dx, dy] = this.gridStep;
    let lines = "";
    for (let x = dx; shown && x < 0.9999; x += dx) lines += `M${x * width} 0V${height}`;
    for (let y = dy; shown && y < 0.9999; y += dy) lines += `M0 ${y * height}H${width}`;
    this.layers.grid.replaceChildren(s("path", { d: lines }));
  }

  // Arrows from each to whom it would be in front of, for a loop that was refused.
  #drawLoop() {
    const ids = this.store.view.loop?.ids ?? [];
    const { width, height } = this.#size;
    const middle = (id) => {
      const { box } = find(this.store.doc, id);
      return [((box[0] + box[2]) / 2) * width, ((box[1] + box[3]) / 2) * height];
    };
    const known = ids.every((id) => find(this.store.doc, id));
    const arrows = known ? ids.slice(1).map((id, place) => arrow(middle(ids[place]), middle(id))) : [];
    this.layers.loop.replaceChildren(...arrows);
  }

  showBackdrop(address) {
    const picture = s("image", { href: address ?? "", width: "100%", height: "100%", preserveAspectRatio: "none" });
    this.layers.backdrop.replaceChildren(...(address ? [picture] : []));
    this.svg.classList.toggle("on-picture", Boolean(address));
  }

  focus(id) {
    this.#nodes.get(id)?.group.focus({ preventScroll: true });
  }

  // Where the box lies on the page, for fields that are laid over it.
  frameOf(id) {
    const { box } = find(this.store.doc, id);
    const { width, height } = this.#size;
    return { left: box[0] * width, top: box[1] * height, width: (box[2] - box[0]) * width };
  }
}

function arrow([x1, y1], [x2, y2]) {
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
  const [tx, ty] = [x2 - ux * 10, y2 - uy * 10];
  const head = `M${tx - ux * 9 - uy * 5} ${ty - uy * 9 + ux * 5}L${tx} ${ty}L${tx - ux * 9 + uy * 5} ${ty - uy * 9 - ux * 5}`;
  return s("path", { d: `M${x1 + ux * 10} ${y1 + uy * 10}L${tx} ${ty}${head}` });
}
