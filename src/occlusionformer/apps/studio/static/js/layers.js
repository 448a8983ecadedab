// The layer list: front at the top, captions edited in place, rows dragged to reorder.

import { by, h, icon, iconButton } from "./dom.js";
import { inLayers } from "./document.js";
import { completeIn } from "./vocabulary.js";

export class Layers {
  constructor(store, commands) {
    this.store = store;
    this.commands = commands;
    this.list = by("layer-list");
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.editing = null;
  }

  draw() {
    if (this.drag) return;
    const { doc, view } = this.store;
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    const kept = focused && { id: focused.closest("li")?.dataset.id, role: focused.dataset.role };
    if (this.editing && focused?.dataset.role === "editor" && doc.layers.includes(this.editing)) return;
    this.list.replaceChildren(...inLayers(doc).map((instance, place) => this.#row(instance, place, view)));
    by("layers-empty").hidden = doc.instances.length > 0;
    by("layer-count").textContent = doc.instances.length ? doc.instances.length : "";
    if (kept?.id) this.#part(kept.id, kept.role)?.focus({ preventScroll: true });
  }

  #part(id, role) {
    return this.list.querySelector(`li[data-id="${CSS.escape(id)}"] [data-role="${role}"]`);
  }

  #row(instance, place, view) {
    const { id, hue, hidden, locked } = instance;
    const { order } = this.store.doc;
    const selected = view.selected === id;
    const unknown = view.vocabulary.isUnknown(instance.caption);
    const looped = view.loop?.ids.includes(id);
    const states = { selected, gone: hidden, looped, free: order.free.includes(id), unknown };
    const classes = Object.keys(states).filter((name) => states[name]);
    const shown = instance.caption.trim() || "no caption";
    const name = h(
      "button",
      {
        type: "button",
        class: "layer-name",
        "data-role": "name",
        "data-testid": "layer-name",
        "aria-current": selected ? "true" : null,
        title: `${unknown ? "The model knows no object by these words. " : ""}Select; double-click or F2 to edit the caption`,
        "aria-label": `${shown}, layer ${place + 1}${unknown ? ", unknown to the model" : ""}`,
        onclick: () => this.commands.select(id),
        ondblclick: () => this.edit(id),
      },
      h("span", { class: instance.caption.trim() ? "" : "faint" }, shown),
    );
    const grip = h(
      "span",
      { class: "grip", "aria-hidden": "true", title: "Drag to reorder", "data-testid": "layer-grip" },
      icon("grip"),
    );
    const badge = h(
      "span",
      { class: `badge hue-${hue}`, "aria-hidden": "true" },
      states.free ? "–" : String(place + 1),
    );
    const row = h(
      "li",
      { class: ["layer", ...classes].join(" "), "data-id": id, "data-testid": "layer" },
      grip,
      badge,
      name,
      this.#flag(instance, "hidden", hidden ? ["eye-off", "Show"] : ["eye", "Hide"]),
      this.#flag(instance, "locked", locked ? ["lock", "Unlock"] : ["unlock", "Lock"]),
    );
    row.addEventListener("pointerdown", (event) => this.#begin(event, row));
    return row;
  }

  #flag(instance, flag, [name, verb]) {
    const what = instance.caption.trim() || "box";
    return iconButton(name, `${verb} ${what}`, () => this.commands.toggle(instance.id, flag), {
      "aria-pressed": instance[flag],
      "data-role": flag,
      "data-testid": `layer-${flag}`,
      class: `icon-button small${instance[flag] ? " on" : ""}`,
    });
  }

  // Turns the caption of a row into a field.
  edit(id) {
    const { doc } = this.store;
    const instance = doc.instances.find((each) => each.id === id);
    const name = this.#part(id, "name");
    if (!instance || !name) return;
    this.editing = id;
    const field = h("input", {
      class: "layer-field",
      "data-role": "editor",
      "data-testid": "layer-caption",
      "aria-label": "Caption",
      value: instance.caption,
    });
    completeIn(field, by("caption-words"), () => this.store.view.vocabulary);
    const close = (keep) => {
      if (this.editing !== id) return;
      this.editing = null;
      if (keep) this.commands.edit(id, { caption: field.value });
      field.blur();
      this.draw();
      this.#part(id, "name")?.focus();
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") close(true);
      if (event.key === "Escape") close(false);
    });
    field.addEventListener("blur", () => close(true));
    name.replaceWith(field);
    field.focus();
    field.select();
  }

  #key(event) {
    const row = event.target.closest("li");
    if (!row || event.target.dataset.role === "editor") return;
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const { id } = row.dataset;
    if (event.key === "F2" || (event.key === "Enter" && event.target.dataset.role === "name")) this.edit(id);
    else if (step && event.altKey) this.commands.moveTo(id, this.store.doc.layers.indexOf(id) + step);
    else if (step) this.#focusBeside(row, step);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #focusBeside(row, step) {
    const next = step < 0 ? row.previousElementSibling : row.nextElementSibling;
    if (!next) return;
    this.commands.select(next.dataset.id);
    this.#part(next.dataset.id, "name").focus();
  }

  // A finger drags by the grip alone, so that the list can be scrolled.
  #begin(event, row) {
    const onGrip = event.target.closest(".grip");
    if (event.button !== 0 || event.target.closest("input, .icon-button") || (event.pointerType === "touch" && !onGrip))
      return;
    const rows = [...this.list.children];
    const from = rows.indexOf(row);
    const middles = rows.map((each) => each.getBoundingClientRect()).map((frame) => frame.top + frame.height / 2);
    const top = event.clientY;
    this.drag = null;
    const go = (move) => {
      if (!this.drag && Math.abs(move.clientY - top) < 4) return;
      if (!this.drag) this.#lift(row, move.pointerId);
      const place = middles.filter((middle, other) => other !== from && middle < move.clientY).length;
      this.drag.place = place;
      row.style.transform = `translateY(${move.clientY - top}px)`;
      const height = row.offsetHeight;
      rows.forEach((each, other) => {
        if (other === from) return;
        const shifts = other > from && other <= place ? -height : other < from && other >= place ? height : 0;
        each.style.transform = shifts ? `translateY(${shifts}px)` : "";
      });
    };
    const end = (last) => {
      removeEventListener("pointermove", go);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      const { drag } = this;
      this.drag = null;
      if (!drag) return;
      this.draw();
      if (last.type === "pointerup") this.commands.moveTo(row.dataset.id, drag.place);
    };
    addEventListener("pointermove", go);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
    if (onGrip) event.preventDefault();
  }

  // From here on the list is not drawn anew until the row is dropped.
  #lift(row, pointer) {
    this.drag = { place: 0 };
    row.setPointerCapture(pointer);
    row.classList.add("lifted");
    this.commands.select(row.dataset.id);
  }
}
