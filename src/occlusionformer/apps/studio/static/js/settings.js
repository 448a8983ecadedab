// What a picture is generated with: model, steps, guidance, grounding ratio, seed, number of pictures.

import { by, h, setText, setValue } from "./dom.js";
import { pictureSize } from "./size.js";

// Shown while the model is not loaded; its own defaults are known after that.
const PLAIN = { steps: 28, guidance: 3.5, grounding_ratio: 1, size: 1024, side_multiple: 16 };
const KEPT = "occlusionformer.settings";

export const freshSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

export class Settings {
  constructor(store, commands) {
    this.store = store;
    this.commands = commands;
    this.models = [];
    this.limits = { images: 4, steps: 100, side: 2048, pixels: 2048 * 1024 };
    this.values = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
    this.lastSeed = null;
    this.#listen();
  }

  #listen() {
    const keep = (name) => (event) => this.#keep({ [name]: Number(event.target.value) });
    by("steps").addEventListener("input", keep("steps"));
    by("guidance").addEventListener("input", keep("guidance"));
    by("grounding").addEventListener("input", keep("grounding_ratio"));
    by("model").addEventListener("change", (event) => {
      this.#keep({ model: event.target.value, steps: null, guidance: null, grounding_ratio: null });
    });
    by("seed").addEventListener("change", (event) => this.#typedSeed(event.target.value.trim()));
    by("seed-shuffle").addEventListener("click", () => this.commands.editDocument({ seed: freshSeed() }));
    by("seed-lock").addEventListener("click", () => {
      const seed = this.locked ? null : (this.lastSeed ?? freshSeed());
      this.commands.editDocument({ seed });
    });
    by("settings").addEventListener("submit", (event) => event.preventDefault());
  }

  #keep(changes) {
    this.values = { ...this.values, ...changes };
    localStorage.setItem(KEPT, JSON.stringify(this.values));
    this.draw();
  }

  #typedSeed(text) {
    const seed = text === "" ? null : Number(text);
    if (seed === null || (Number.isSafeInteger(seed) && seed >= 0)) this.commands.editDocument({ seed });
    this.draw();
  }

  get locked() {
    return this.store.doc.seed !== undefined && this.store.doc.seed !== null;
  }

  offer({ models, default: usual, limits }) {
    this.models = models;
    this.usual = usual;
    this.limits = { ...this.limits, ...limits };
    by("model").replaceChildren(...models.map(({ name }) => h("option", { value: name }, name)));
    const most = Array.from({ length: Math.min(4, this.limits.images) }, (_, place) => place + 1);
    by("images").replaceChildren(
      ...most.map((count) =>
        h(
          "button",
          { type: "button", "data-count": count, onclick: () => this.#keep({ images: count }) },
          String(count),
        ),
      ),
    );
    this.draw();
  }

  get model() {
    const wanted = this.values.model ?? this.usual;
    return this.models.find((each) => each.name === wanted) ?? this.models[0] ?? { name: "", defaults: null };
  }

  get defaults() {
    return this.model.defaults ?? PLAIN;
  }

  get(name) {
    return this.values[name] ?? this.defaults[name];
  }

  // null leaves a number to the model, whose default may not be known yet.
  chosen(name) {
    return this.values[name] ?? this.model.defaults?.[name] ?? null;
  }

  // The canvas itself until the size of the model is known.
  get size() {
    if (!this.model.defaults) return [this.store.doc.width, this.store.doc.height];
    return pictureSize(this.store.doc.width, this.store.doc.height, this.defaults, this.limits);
  }

  // The fields of a request; the seed is fixed here so that it can be repeated.
  request() {
    const seed = this.locked ? this.store.doc.seed : freshSeed();
    this.lastSeed = seed;
    const [steps, guidance, grounding_ratio] = ["steps", "guidance", "grounding_ratio"].map((name) =>
      this.chosen(name),
    );
    const nearest_size = !this.model.defaults; // of those the model can draw
    const images = this.get("images") ?? 1;
    return { model: this.model.name, seed, images, steps, guidance, grounding_ratio, nearest_size };
  }

  draw() {
    const { doc } = this.store;
    by("model").value = this.model.name;
    this.#slide("steps", this.get("steps"), { max: this.limits.steps });
    this.#slide("guidance", this.get("guidance"), {});
    this.#slide("grounding", this.get("grounding_ratio"), {});
    const told = (name, text) => (this.chosen(name) === null ? "default" : text(this.chosen(name)));
    setText(by("steps-value"), told("steps", String));
    setText(
      by("guidance-value"),
      told("guidance", (value) => Number(value).toFixed(1)),
    );
    setText(
      by("grounding-value"),
      told("grounding_ratio", (value) => `${Math.round(value * 100)} %`),
    );
    const seed = by("seed");
    setValue(seed, this.locked ? doc.seed : "");
    seed.placeholder = this.lastSeed === null ? "new each time" : `new each time, last ${this.lastSeed}`;
    const lock = by("seed-lock");
    lock.setAttribute("aria-pressed", this.locked);
    lock.querySelector("use").setAttribute("href", this.locked ? "#i-lock" : "#i-unlock");
    const count = this.get("images") ?? 1;
    for (const button of by("images").children)
      button.setAttribute("aria-pressed", Number(button.dataset.count) === count);
    const [width, height] = this.size;
    const forced = width !== doc.width || height !== doc.height;
    setText(
      by("size-note"),
      forced
        ? `Drawn at ${width} × ${height} px, the size this model was made for. Boxes keep their place.`
        : `${width} × ${height} px`,
    );
  }

  #slide(id, value, attributes) {
    const field = by(id);
    for (const [name, limit] of Object.entries(attributes)) field[name] = limit;
    field.value = value;
  }
}
