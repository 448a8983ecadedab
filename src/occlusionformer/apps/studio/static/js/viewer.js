// The picture: how it forms, what is in it, how it compares.

import { by, h, iconButton, setText } from "./dom.js";
import { decoded, drawMasks } from "./masks.js";

export class Viewer {
  #addresses = new Map();

  constructor(actions) {
    this.actions = actions;
    this.frame = by("frame");
    this.run = [];
    this.current = null;
    this.before = null;
    this.shown = new Set();
    this.probe = null;
    new ResizeObserver(() => this.fit()).observe(by("picture-holder"));
    this.#listen();
  }

  #listen() {
    this.frame.addEventListener("pointermove", (event) => this.#hover(event));
    this.frame.addEventListener("pointerdown", (event) => this.#hover(event));
    this.frame.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.#setProbe(null));
    this.frame.addEventListener("keydown", (event) => this.#step(event));
    by("compare-range").addEventListener("input", () => this.#drawDivider());
    by("compare").addEventListener("click", () =>
      this.compare(this.before ? null : this.actions.previous(this.current)),
    );
    by("picture").addEventListener("load", () => this.fit());
  }

  address(blob) {
    if (!this.#addresses.has(blob)) this.#addresses.set(blob, URL.createObjectURL(blob));
    return this.#addresses.get(blob);
  }

  // Frees what is no longer to be seen anywhere.
  forget(kept) {
    for (const [blob, address] of this.#addresses) {
      if (kept.has(blob)) continue;
      URL.revokeObjectURL(address);
      this.#addresses.delete(blob);
    }
  }

  // A still picture of a running job.
  preview(src, width, height) {
    this.before = null;
    this.forming = { width, height };
    by("picture").hidden = false;
    by("picture").src = src;
    by("picture").alt = "The picture as it forms";
    this.frame.classList.add("forming");
    this.draw();
  }

  endPreview() {
    this.forming = null;
    this.frame.classList.remove("forming");
    if (this.current) this.#showCurrent();
    else by("picture").hidden = true;
    this.draw();
  }

  async open(picture, run = [picture]) {
    this.run = run;
    this.current = picture;
    this.before = null;
    this.forming = null;
    this.frame.classList.remove("forming");
    this.shown = new Set([...this.shown].filter((id) => picture.instances.some((each) => each.id === id)));
    this.#showCurrent();
    this.draw();
    const bitmaps = await decoded(picture);
    if (this.current !== picture) return;
    this.bitmaps = bitmaps;
    this.#drawMasks();
  }

  #showCurrent() {
    const { current } = this;
    by("picture").hidden = false;
    by("picture").src = this.address(current.blob);
    by("picture").alt =
      `${current.doc.prompt}: ${current.instances.map((each) => each.caption).join(", ")}. Seed ${current.seed}.`;
  }

  close() {
    Object.assign(this, { run: [], current: null, before: null, forming: null });
    by("picture").hidden = true;
    this.draw();
  }

  // Lays another picture beside this one, under the slider.
  compare(before, names = ["Before", "After"]) {
    this.before = before;
    if (before) {
      by("before").src = this.address(before.blob);
      by("before").alt = "The picture before";
      setText(by("before-name"), names[0]);
      setText(by("after-name"), names[1]);
      by("compare-range").value = 50;
    }
    this.draw();
  }

  fit() {
    const holder = by("picture-holder").getBoundingClientRect();
    const shape = this.forming ?? this.current;
    if (!holder.width || !shape) return;
    const scale = Math.min(holder.width / shape.width, holder.height / shape.height);
    this.frame.style.width = `${Math.round(shape.width * scale)}px`;
    this.frame.style.height = `${Math.round(shape.height * scale)}px`;
  }

  draw() {
    const { current, before, forming } = this;
    const still = current && !forming;
    by("picture-empty").hidden = Boolean(current || forming);
    this.frame.hidden = !current && !forming;
    this.frame.tabIndex = still ? 0 : -1;
    for (const id of ["before", "divider", "before-name", "after-name", "compare-row"])
      by(id).hidden = !before || !still;
    by("masks").hidden = Boolean(before) || !still;
    by("compare").setAttribute("aria-pressed", Boolean(before));
    by("compare").disabled = !still || (!before && !this.actions.previous(current));
    by("other-order").disabled = !still || current.instances.length < 2;
    by("downloads").classList.toggle("disabled", !still);
    this.#drawThumbnails();
    this.#drawLegend(still ? current : null);
    this.#drawDivider();
    this.fit();
  }

  #drawThumbnails() {
    const several = this.run.length > 1 && !this.forming ? this.run : [];
    by("thumbnails").replaceChildren(
      ...several.map((picture, place) =>
        h(
          "button",
          {
            type: "button",
            "aria-pressed": picture === this.current,
            "aria-label": `Picture ${place + 1} of ${this.run.length}, seed ${picture.seed}`,
            title: `Seed ${picture.seed}`,
            onclick: () => this.open(picture, this.run),
          },
          h("img", { src: this.address(picture.blob), alt: "" }),
        ),
      ),
    );
  }

  #drawLegend(picture) {
    by("legend-head").hidden = !picture || !picture.instances.length;
    const order = picture ? picture.doc.layers : [];
    const instances = picture ? [...picture.instances].sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id)) : [];
    by("legend").replaceChildren(...instances.map((instance) => this.#legendRow(picture, instance)));
    const timing = picture?.seconds ? ` · ${picture.seconds.toFixed(1)} s` : "";
    const text = picture
      ? `${picture.width} × ${picture.height} px · seed ${picture.seed} · ${picture.provenance.steps} steps · ${picture.provenance.model}${timing}`
      : "";
    setText(by("picture-note"), text);
    this.#drawShares();
  }

  #legendRow(picture, instance) {
    const toggle = h("input", {
      type: "checkbox",
      class: `swatch hue-${instance.hue}`,
      checked: this.shown.has(instance.id),
      disabled: !instance.cutout,
      "aria-label": `Show the mask of ${instance.caption}`,
      "data-testid": "mask-toggle",
      onchange: (event) => this.#toggle(instance.id, event.target.checked),
    });
    return h(
      "li",
      { "data-id": instance.id, class: `hue-${instance.hue}` },
      h("label", { title: "Show the mask" }, toggle, h("span", { class: "legend-name" }, instance.caption)),
      h(
        "span",
        { class: "share", "data-testid": "share" },
        h("span", { class: "share-bar" }),
        h("span", { class: "share-value" }, ""),
      ),
      iconButton(
        "cutout",
        `Download the cut-out of ${instance.caption}`,
        () => this.actions.saveCutout(picture, instance),
        {
          class: "icon-button small",
          "data-testid": "cutout",
          disabled: !instance.cutout,
        },
      ),
    );
  }

  #toggle(id, on) {
    if (on) this.shown.add(id);
    else this.shown.delete(id);
    this.#drawMasks();
  }

  #drawMasks() {
    if (!this.current || !this.bitmaps) return;
    const colours = getComputedStyle(document.documentElement);
    drawMasks(by("masks"), this.current, this.bitmaps, this.shown, ({ hue }) =>
      colours.getPropertyValue(`--hue-${hue}`).trim(),
    );
  }

  #hover(event) {
    if (!this.current || this.forming) return;
    const frame = this.frame.getBoundingClientRect();
    const share = (value, size) => Math.min(0.9999, Math.max(0, value / size));
    const place = [share(event.clientX - frame.left, frame.width), share(event.clientY - frame.top, frame.height)];
    if (this.before && event.buttons) by("compare-range").value = place[0] * 100;
    if (this.before) this.#drawDivider();
    this.#setProbe(place);
  }

  // One cell of the blend at a time.
  #step(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move || !this.current?.weights) return;
    event.preventDefault();
    event.stopPropagation();
    const { rows, columns } = this.current.weights;
    const [x, y] = this.probe ?? [0.4999, 0.4999];
    const share = (value) => Math.min(0.9999, Math.max(0, value));
    this.#setProbe([share(x + move[0] / columns), share(y + move[1] / rows)]);
  }

  #setProbe(place) {
    this.probe = place;
    by("probe").hidden = !place || Boolean(this.before);
    if (place) {
      by("probe").style.left = `${place[0] * 100}%`;
      by("probe").style.top = `${place[1] * 100}%`;
    }
    this.#drawShares();
  }

  // The share of each instance in the blend at the probed pixel, 0 to 1.
  sharesAt([x, y]) {
    const { rows, columns, data } = this.current.weights;
    const cell = Math.floor(y * rows) * columns + Math.floor(x * columns);
    return new Map(this.current.instances.map(({ id }, place) => [id, data[place * rows * columns + cell] / 255]));
  }

  #drawShares() {
    const { current, probe } = this;
    const shares = current?.weights && probe && !this.forming ? this.sharesAt(probe) : null;
    by("legend").classList.toggle("probed", Boolean(shares));
    for (const row of by("legend").children) {
      const share = shares?.get(row.dataset.id) ?? 0;
      row.querySelector(".share-bar").style.setProperty("--share", share);
      setText(row.querySelector(".share-value"), shares ? `${Math.round(share * 100)} %` : "");
    }
    if (!current) return;
    const [x, y] = probe ?? [];
    const told = current.weights ? "Point at the picture: who shapes that pixel" : "This picture came without weights";
    setText(
      by("probe-place"),
      shares ? `Weights at ${Math.floor(x * current.width)}, ${Math.floor(y * current.height)}` : told,
    );
  }

  #drawDivider() {
    const at = Number(by("compare-range").value);
    by("before").style.clipPath = `inset(0 ${100 - at}% 0 0)`;
    by("divider").style.left = `${at}%`;
  }
}
