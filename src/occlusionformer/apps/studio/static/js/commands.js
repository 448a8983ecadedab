// What can be done to the document, whatever asks for it: a key, a button or the pointer.

import { add, duplicate, find, label, remove, setBox, update } from "./document.js";
import { relate, reorder, reversed, withKind } from "./order.js";
import { moved } from "./geometry.js";
import { toast } from "./notices.js";
import { clashWithCanvas } from "./size.js";

export function commandsOn(store) {
  const selected = () => (store.view.selected ? find(store.doc, store.view.selected) : null);
  const free = () => (selected() && !selected().locked ? selected() : null);

  const commands = {
    select: (id) => store.look({ selected: id }),
    undo: () => store.undo(),
    redo: () => store.redo(),
    addBox(box, fields = {}) {
      const { doc, id } = add(store.doc, { box, hue: nextHue(store.doc), ...fields });
      store.change(doc, { view: { selected: id, tool: "select" } });
      return id;
    },
    addInMiddle() {
      const shift = (store.doc.instances.length % 5) * 0.04;
      return commands.addBox([0.28 + shift, 0.28 + shift, 0.6 + shift, 0.6 + shift]);
    },
    setBox(id, box, merge = null) {
      store.change(setBox(store.doc, id, box), { merge });
    },
    edit(id, changes, merge = null) {
      const instance = find(store.doc, id);
      const differs = Object.entries(changes).some(([name, value]) => instance[name] !== value);
      if (differs) store.change(update(store.doc, id, changes), { merge });
    },
    editDocument(changes, merge = null) {
      const differs = Object.entries(changes).some(([name, value]) => store.doc[name] !== value);
      if (differs) store.change({ ...store.doc, ...changes }, { merge });
    },
    toggle(id, flag) {
      commands.edit(id, { [flag]: !find(store.doc, id)[flag] });
    },
    remove() {
      if (!selected()) return;
      if (!free()) return toast(`“${label(selected())}” is locked. Unlock it to delete it.`);
      const place = store.doc.layers.indexOf(store.view.selected);
      const doc = remove(store.doc, store.view.selected);
      store.change(doc, { view: { selected: doc.layers[Math.min(place, doc.layers.length - 1)] ?? null } });
    },
    duplicate() {
      if (!selected()) return;
      const { doc, id } = duplicate(store.doc, store.view.selected);
      store.change(update(doc, id, { hue: nextHue(store.doc) }), { view: { selected: id } });
    },
    nudge(dx, dy, resize) {
      const instance = free();
      if (!instance) return;
      const [x1, y1, x2, y2] = instance.box;
      const grown = [x1, y1, Math.min(1, Math.max(x1 + 0.01, x2 + dx)), Math.min(1, Math.max(y1 + 0.01, y2 + dy))];
      commands.setBox(instance.id, resize ? grown : moved(instance.box, dx, dy), `nudge ${instance.id}`);
    },
    moveTo(id, place) {
      const last = store.doc.layers.length - 1;
      const target = Math.max(0, Math.min(last, place));
      if (target === store.doc.layers.indexOf(id)) return;
      const declares = store.doc.order.kind === "none";
      store.change(reorder(declares ? withKind(store.doc, "layers") : store.doc, id, target));
      if (declares) toast("The layer list now says who is in front.", { label: "Undo", run: commands.undo });
    },
    raise: (by) => selected() && commands.moveTo(selected().id, store.doc.layers.indexOf(selected().id) - by),
    relate(a, b, relation) {
      const outcome = relate(store.doc, a, b, relation);
      if (outcome.doc) store.change(outcome.doc, { view: { loop: null } });
      else store.look({ loop: { ids: outcome.loop, wish: { a, b, relation } } });
      return outcome;
    },
    // Grants the wish that was refused because it closes a loop.
    allowLoop() {
      const { a, b, relation } = store.view.loop.wish;
      const lenient = { ...store.doc, order: { ...store.doc.order, cycles: "allow" } };
      store.change(relate(lenient, a, b, relation).doc, { view: { loop: null } });
    },
    setKind: (kind) => store.change(withKind(store.doc, kind), { view: { loop: null } }),
    setOrder: (changes) => store.change({ ...store.doc, order: { ...store.doc.order, ...changes } }),
    reverse: () => store.change(reversed(store.doc)),
    setCanvas(width, height) {
      const problem = clashWithCanvas(width, height);
      if (problem) return toast(problem);
      commands.editDocument({ width, height });
    },
    replace(doc) {
      store.change(hued(doc), { view: { selected: null, loop: null } });
    },
  };
  return commands;
}

// A colour for every instance that has none.
export function hued(doc) {
  return { ...doc, instances: doc.instances.map((each, place) => ({ ...each, hue: each.hue ?? place % 8 })) };
}

function nextHue(doc) {
  const uses = Array(8).fill(0);
  for (const instance of doc.instances) uses[instance.hue] += 1;
  return uses.indexOf(Math.min(...uses));
}
