// Everything about the selected box: caption, category, opacity, place, and who it overlaps.

import { by, h, iconButton, setText, setValue } from "./dom.js";
import { find, label } from "./document.js";
import { edges, relationOf } from "./order.js";
import { overlap } from "./geometry.js";
import { completeIn } from "./vocabulary.js";

const RELATIONS = [
  ["front", "In front", "is in front of"],
  ["blend", "Blend", "blends with"],
  ["behind", "Behind", "is behind"],
];

export class Inspector {
  constructor(store, commands) {
    this.store = store;
    this.commands = commands;
    this.fields = Object.fromEntries(
      ["caption", "category", "opacity", "x", "y", "width", "height"].map((name) => [name, by(`box-${name}`)]),
    );
    this.#listen();
  }

  get #id() {
    return this.store.view.selected;
  }

  #listen() {
    const { caption, category, opacity, ...numbers } = this.fields;
    caption.addEventListener("input", () =>
      this.commands.edit(this.#id, { caption: caption.value }, `caption ${this.#id}`),
    );
    completeIn(caption, by("caption-words"), () => this.store.view.vocabulary);
    caption.addEventListener("keydown", (event) => event.key === "Enter" && (event.preventDefault(), caption.blur()));
    category.addEventListener("input", () => {
      this.commands.edit(this.#id, { category: category.value.trim() ? category.value : null }, `category ${this.#id}`);
    });
    opacity.addEventListener("input", () => {
      this.commands.edit(this.#id, { opacity: Number(opacity.value) / 100 }, `opacity ${this.#id}`);
    });
    for (const field of Object.values(numbers)) field.addEventListener("change", () => this.#typedPlace());
    by("region-clear").addEventListener("click", () => this.commands.edit(this.#id, { region: null }));
  }

  #typedPlace() {
    const { width, height } = this.store.doc;
    const [x, y, w, t] = ["x", "y", "width", "height"].map((name) => this.fields[name].valueAsNumber);
    const box = [x / width, y / height, (x + w) / width, (y + t) / height];
    const fits = box.every((edge) => edge >= 0 && edge <= 1.00001) && box[0] < box[2] && box[1] < box[3];
    if (fits) this.commands.setBox(this.#id, box);
    this.draw();
  }

  draw() {
    const { doc } = this.store;
    const instance = this.#id ? find(doc, this.#id) : null;
    by("inspector").hidden = !instance;
    by("inspector-empty").hidden = Boolean(instance) || doc.instances.length === 0;
    if (!instance) return;
    const { caption, category, opacity, ...numbers } = this.fields;
    if (this.shown !== instance.id) document.activeElement?.closest?.("#inspector") && document.activeElement.blur();
    this.shown = instance.id;
    setValue(caption, instance.caption);
    by("caption-unknown").hidden = !this.store.view.vocabulary.isUnknown(instance.caption);
    setValue(category, instance.category ?? "");
    opacity.value = Math.round(instance.opacity * 100);
    setText(by("box-opacity-value"), `${Math.round(instance.opacity * 100)} %`);
    const [x1, y1, x2, y2] = instance.box;
    const places = {
      x: x1 * doc.width,
      y: y1 * doc.height,
      width: (x2 - x1) * doc.width,
      height: (y2 - y1) * doc.height,
    };
    for (const [name, field] of Object.entries(numbers)) {
      setValue(field, Number(places[name].toFixed(1)));
      field.disabled = instance.locked;
    }
    by("region-row").hidden = !instance.region;
    setText(by("region-kind"), instance.region?.points ? "Limited to a polygon" : "Limited to a mask");
    this.#drawOverlaps(instance);
  }

  #drawOverlaps(instance) {
    const { doc } = this.store;
    const relations = edges(doc);
    const met = doc.layers
      .map((id) => find(doc, id))
      .filter((other) => other !== instance && overlap(other.box, instance.box));
    by("overlaps").hidden = met.length === 0;
    const focused = document.activeElement?.dataset?.relation;
    by("overlap-list").replaceChildren(
      ...met.map((other) => this.#overlap(instance, other, relationOf(relations, instance.id, other.id))),
    );
    if (focused)
      by("overlap-list")
        .querySelector(`[data-relation="${CSS.escape(focused)}"]`)
        ?.focus();
  }

  #overlap(instance, other, current) {
    const options = RELATIONS.map(([relation, short, words]) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": relation === current,
          "data-relation": `${other.id} ${relation}`,
          "data-testid": `relate-${relation}`,
          title: `“${label(instance)}” ${words} “${label(other)}”`,
          "aria-label": `${label(instance)} ${words} ${label(other)}`,
          onclick: () => this.commands.relate(instance.id, other.id, relation),
        },
        short,
      ),
    );
    return h(
      "li",
      { "data-testid": "overlap", "data-id": other.id },
      h("span", { class: `dot hue-${other.hue}`, "aria-hidden": "true" }),
      h("span", { class: "overlap-name" }, label(other)),
      h("span", { class: "segments small", role: "group", "aria-label": `Relation to ${label(other)}` }, options),
    );
  }
}

// How the order is declared: its kind, the exceptions to the list, loops.
export class OrderPanel {
  constructor(store, commands) {
    this.store = store;
    this.commands = commands;
    by("order-kind").addEventListener("change", (event) => commands.setKind(event.target.value));
    by("order-cycles").addEventListener("change", (event) => commands.setOrder({ cycles: event.target.value }));
    by("order-closure").addEventListener("change", (event) => commands.setOrder({ closure: event.target.checked }));
    by("exception-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#declare();
    });
    by("loop-allow").addEventListener("click", () => commands.allowLoop());
    by("loop-close").addEventListener("click", () => store.look({ loop: null }));
  }

  #declare() {
    const [a, relation, b] = ["exception-a", "exception-relation", "exception-b"].map((id) => by(id).value);
    if (a && b && a !== b) this.commands.relate(a, b, relation);
  }

  draw() {
    const { doc, view } = this.store;
    const { order } = doc;
    by("order-kind").value = order.kind;
    by("order-cycles").value = order.cycles;
    by("order-closure").checked = order.closure;
    by("order-closure-row").hidden = order.kind !== "pairs";
    by("order-panel").hidden = doc.instances.length < 2;
    this.#drawExceptions(doc);
    this.#drawForm(doc);
    const { loop } = view;
    by("loop").hidden = !loop;
    if (!loop) return;
    const names = loop.ids.map((id) => find(doc, id)).map((each) => (each ? label(each) : "?"));
    setText(by("loop-names"), names.join(" › "));
  }

  #drawExceptions(doc) {
    const { order } = doc;
    const rows =
      order.kind === "pairs"
        ? order.pairs.map(({ front, behind }) => ({ a: front, b: behind }))
        : order.kind === "layers"
          ? order.exceptions
          : [];
    const title = { pairs: "Relations", layers: "Exceptions" }[order.kind] ?? "Exceptions";
    setText(by("exceptions-title"), title);
    by("exception-list").replaceChildren(...rows.map((pair) => this.#exception(doc, pair)));
  }

  #exception(doc, { a, b, blend }) {
    const [first, second] = [label(find(doc, a)), label(find(doc, b))];
    const withdraw = () => {
      if (doc.order.kind === "pairs")
        this.commands.setOrder({ pairs: doc.order.pairs.filter((pair) => !(pair.front === a && pair.behind === b)) });
      else
        this.commands.setOrder({ exceptions: doc.order.exceptions.filter((pair) => !(pair.a === a && pair.b === b)) });
    };
    const words = blend ? "blends with" : "in front of";
    return h(
      "li",
      { "data-testid": "exception" },
      h("span", {}, h("b", {}, first), ` ${words} `, h("b", {}, second)),
      iconButton("close", `Remove: ${first} ${words} ${second}`, withdraw, { class: "icon-button small" }),
    );
  }

  #drawForm(doc) {
    for (const [name, fallback] of [
      ["exception-a", 0],
      ["exception-b", 1],
    ]) {
      const field = by(name);
      const { value } = field;
      field.replaceChildren(...doc.layers.map((id) => h("option", { value: id }, label(find(doc, id)))));
      field.value = doc.layers.includes(value) ? value : (doc.layers[fallback] ?? "");
    }
  }
}
