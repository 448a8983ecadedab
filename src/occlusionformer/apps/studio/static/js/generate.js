// The generate button and what follows from it.

import { by, h, icon, setText } from "./dom.js";
import { inLayers, label, problemsOf, toLayout } from "./document.js";
import { findLoop, edges, reversed } from "./order.js";
import { Job } from "./job.js";

const inSeconds = (seconds) =>
  seconds >= 90 ? `${Math.round(seconds / 60)} min` : `${Math.max(1, Math.round(seconds))} s`;

export class Generation {
  constructor({ store, settings, viewer, history, onPicture }) {
    Object.assign(this, { store, settings, viewer, history, onPicture });
    this.job = new Job((kind, data, context) => this.#hear(kind, data, context));
    for (const button of [by("generate"), document.querySelector("[data-go=generate]")])
      button.addEventListener("click", () => this.start());
    for (const button of [by("cancel"), document.querySelector("[data-go=cancel]")])
      button.addEventListener("click", () => this.job.cancel());
    by("other-order").addEventListener("click", () => this.otherOrder());
  }

  start() {
    if (this.job.running) return;
    const { doc } = this.store;
    const loop = doc.order.cycles === "error" ? findLoop(edges(doc)) : null;
    if (loop) {
      const names = loop.map((id) => label(doc.instances.find((each) => each.id === id)));
      return this.#complain([`The order loops: ${names.join(" › ")}. Remove an exception, or keep loops.`]);
    }
    const problems = problemsOf(doc);
    if (problems.length) return this.#complain(problems);
    this.#ask(doc, this.settings.request(), this.settings.size, null);
  }

  // The picture that is shown, drawn once more with the order turned round and everything else the same.
  otherOrder() {
    const shown = this.viewer.current;
    if (this.job.running || !shown) return;
    const { model, seed, steps, guidance, grounding_ratio } = shown.provenance;
    const settings = { model: shown.model ?? model, seed, steps, guidance, grounding_ratio, images: 1 };
    this.#ask(reversed(shown.doc), settings, [shown.width, shown.height], shown.at);
  }

  #ask(doc, settings, [width, height], compareWith) {
    this.#complain([]);
    const layout = { ...toLayout(doc, { hidden: false, seed: settings.seed }), width, height };
    const request = { layout, ...settings, want_masks: true, want_weights: true };
    this.job.start(request, { doc, compareWith, model: settings.model, width, height });
  }

  #complain(lines, bad = true) {
    const box = by("problems");
    box.classList.toggle("bad", bad);
    box.hidden = !lines.length;
    box.replaceChildren(...lines.map((line) => h("p", {}, line)));
  }

  #hear(kind, data, context) {
    const running = this.job.running;
    by("generate").hidden = running;
    by("cancel").hidden = !running;
    by("progress").hidden = !running;
    document.documentElement.classList.toggle("running", running);
    const react = {
      asked: () => this.#progress(0, null, "Asking…"),
      queued: () => this.#progress(0, null, this.#queueText(data)),
      running: () => this.#progress(data.step, data.total, "Starting…"),
      progress: () => this.#progress(data.step, data.total, this.#stepText(data)),
      preview: () => this.#preview(data),
      cancelling: () => setText(by("progress-text"), "Cancelling…"),
      note: () => this.#complain([data.message]),
      failed: () => this.#failed(data),
      cancelled: () => this.#cancelled(data),
      done: () => this.#done(data, context),
    };
    react[kind]?.();
  }

  #queueText({ position, waiting_seconds: wait }) {
    if (!position) return "Next in line…";
    const ahead = position === 1 ? "1 job ahead" : `${position} jobs ahead`;
    return wait ? `${ahead}, about ${inSeconds(wait)}` : ahead;
  }

  #stepText({ step, total, seconds_left: left }) {
    const steps = `Step ${step} of ${total}`;
    return left === null || left === undefined
      ? steps
      : `${steps} · ${step < total ? `${inSeconds(left)} left` : "finishing"}`;
  }

  #progress(step, total, text) {
    const bar = by("progress-bar");
    if (total) Object.assign(bar, { max: total, value: step });
    else bar.removeAttribute("value");
    setText(by("progress-text"), text);
  }

  #preview({ images, step }) {
    const { width, height } = this.job.context;
    this.viewer.preview(images[0].src, width, height);
    by("frame").dataset.previewStep = step;
  }

  #failed({ problems }) {
    this.viewer.endPreview();
    this.#complain(problems.map(({ field, message }) => (field ? `${field}: ${message}` : message)));
  }

  #cancelled({ step, total }) {
    this.viewer.endPreview();
    this.#complain([total ? `Cancelled after step ${step} of ${total}.` : "Cancelled."], false);
  }

  async #done({ pictures, timings, model }, { compareWith }) {
    for (const picture of pictures) {
      picture.model = model;
      picture.seconds = timings?.total ?? null;
    }
    const before = compareWith ? this.history.items.find((each) => each.at === compareWith) : null;
    this.viewer.open(pictures[0], pictures);
    for (const picture of [...pictures].reverse()) await this.history.add(picture);
    this.settings.draw();
    if (before) this.viewer.compare(before, [frontOf(before.doc), frontOf(pictures[0].doc)]);
    else this.viewer.draw();
    this.onPicture();
  }
}

const frontOf = (doc) => `${label(inLayers(doc)[0])} in front`;

// The pictures of this browser, newest first.
export class HistoryPanel {
  constructor({ history, viewer, openLayout }) {
    Object.assign(this, { history, viewer, openLayout });
    by("history-clear").addEventListener("click", async () => {
      await history.clear();
      this.draw();
    });
  }

  draw() {
    const { items } = this.history;
    by("history-empty").hidden = items.length > 0;
    by("history-clear").hidden = items.length === 0;
    by("history").replaceChildren(...items.map((picture) => this.#item(picture)));
    const run = [...this.viewer.run, this.viewer.current, this.viewer.before].filter(Boolean);
    this.viewer.forget(new Set([...items, ...run].map((each) => each.blob)));
  }

  #item(picture) {
    const names = picture.instances.map((each) => each.caption).join(", ");
    const open = h(
      "button",
      {
        type: "button",
        class: "thumb",
        "data-testid": "history-item",
        title: `${names}\nSeed ${picture.seed}`,
        "aria-label": `Open the picture of ${names}, seed ${picture.seed}`,
        "aria-pressed": picture === this.viewer.current,
        onclick: () => {
          this.viewer.open(picture);
          this.draw();
        },
      },
      h("img", { src: this.viewer.address(picture.blob), alt: "", loading: "lazy" }),
    );
    const edit = h(
      "button",
      {
        type: "button",
        class: "corner left",
        title: "Edit this layout",
        "aria-label": `Edit the layout of ${names}`,
        "data-testid": "history-edit",
        onclick: () => this.openLayout(picture),
      },
      icon("draw"),
    );
    const drop = h(
      "button",
      {
        type: "button",
        class: "corner right",
        title: "Remove",
        "aria-label": `Remove the picture of ${names}`,
        onclick: async () => {
          await this.history.remove(picture);
          this.draw();
        },
      },
      icon("close"),
    );
    return h("li", {}, open, edit, drop);
  }
}
