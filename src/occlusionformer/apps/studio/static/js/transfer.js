// Layouts in and out: files, the clipboard, every format the library reads.

import * as api from "./api.js";
import { open } from "./dialogs.js";
import { by, download, h, isTyping, setText } from "./dom.js";
import { find, fromLayout, label, toLayout } from "./document.js";
import { toast } from "./notices.js";
import { isPng, provenanceOf } from "./png.js";

const LARGEST_PICTURE = 256 * 2 ** 20; // bytes; the record is small, but all of a file is read to find it
const LARGEST_DOCUMENT = 2 ** 20; // bytes; servers take no more
const SIGNATURE_BYTES = 8;

const OPTIONS = {
  prompt: { label: "Prompt", type: "text" },
  width: { label: "Canvas width, px", type: "number" },
  height: { label: "Canvas height, px", type: "number" },
  list_order: { label: "List goes (if it may go either way)", choices: ["back-to-front", "front-to-back", "none"] },
};

const MAPS = {
  name: "maps",
  description: "Two pictures to download: a flat colour for each instance, and depth. They cannot be imported again.",
  order: "near is white",
};
const MAP_NAMES = { colours: "Colours, one for each instance", depth: "Depth, near is white" };
const ENDINGS = { flux3: "txt", omost: "py" }; // all others are JSON, or close to it

const about = (format) => (format ? `${format.description} Order: ${format.order}.` : "");

function choice(name) {
  const choices = OPTIONS[name].choices.map((value) => h("option", { value }, value));
  return h("select", { "data-option": name }, h("option", { value: "" }, "as the format says"), ...choices);
}

export class Transfer {
  constructor(store, commands) {
    Object.assign(this, { store, commands, formats: [], maps: [], exportsAsked: 0, importsAsked: 0 });
    by("import-open").addEventListener("click", () => this.#openImport());
    by("import-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#import(by("import-text").value);
    });
    by("import-file").addEventListener(
      "change",
      (event) => event.target.files[0] && this.readFile(event.target.files[0], true),
    );
    by("import-format").addEventListener("change", () => this.#drawOptions());
    by("export-open").addEventListener("click", () => this.#openExport());
    by("export-format").addEventListener("change", () => this.#export(false));
    by("export-lossy").addEventListener("click", () => this.#export(true));
    by("export-copy").addEventListener("click", () => this.#copyExport());
    by("export-save").addEventListener("click", () => {
      this.#saveExport();
    });
    this.#listenToClipboard();
    this.#listenToDrops();
  }

  offer({ formats }) {
    this.formats = formats;
    const offered = { "import-format": formats, "export-format": [...formats, MAPS] };
    for (const [id, those] of Object.entries(offered)) {
      by(id).replaceChildren(...those.map(({ name }) => h("option", { value: name }, name)));
    }
  }

  #openImport() {
    by("import-problems").hidden = true;
    by("import-choice").hidden = true;
    by("import-text").value = "";
    by("import-file").value = "";
    this.#drawOptions();
    open("import");
  }

  #drawOptions() {
    const format = this.formats.find((each) => each.name === by("import-format").value);
    setText(by("import-about"), about(format));
    const known = Object.keys(OPTIONS).filter((name) => format?.options.includes(name));
    by("import-options").replaceChildren(
      ...known.map((name) =>
        h(
          "label",
          { class: "field grow" },
          ...(OPTIONS[name].choices
            ? [h("span", {}, OPTIONS[name].label), choice(name)]
            : [
                h("span", {}, `${OPTIONS[name].label} (if the document has none)`),
                h("input", { type: OPTIONS[name].type, "data-option": name }),
              ]),
        ),
      ),
    );
  }

  #options() {
    const fields = by("import-options").querySelectorAll("input, select");
    const filled = [...fields].filter((field) => field.value.trim());
    return Object.fromEntries(
      filled.map((field) => [field.dataset.option, field.type === "number" ? field.valueAsNumber : field.value]),
    );
  }

  async #import(text) {
    const from = by("import-format").value;
    const asked = ++this.importsAsked; // once the dialog is closed, or something else is imported, nobody waits for this
    const wanted = () => asked === this.importsAsked && by("import").open;
    try {
      const { layouts } = await api.convert({ document: text, from, options: this.#options() });
      if (!wanted()) return;
      if (layouts.length === 1) return this.#use(layouts[0]);
      by("import-problems").hidden = true;
      this.#choose(layouts);
    } catch (error) {
      if (wanted()) complain(by("import-problems"), error);
    }
  }

  #choose(layouts) {
    by("import-choice").hidden = false;
    by("import-choice").replaceChildren(
      ...layouts.map((layout) =>
        h(
          "li",
          {},
          h(
            "button",
            { type: "button", class: "quiet outlined", onclick: () => this.#use(layout) },
            `${layout.prompt} (${layout.instances.length} boxes)`,
          ),
        ),
      ),
    );
  }

  #use(layout) {
    by("import").close();
    this.openLayout(layout);
  }

  openLayout(layout, said = `Opened a layout of ${layout.instances.length} boxes.`) {
    const exact = layout.seed === undefined || layout.seed === null || Number.isSafeInteger(layout.seed);
    this.commands.replace(fromLayout(exact ? layout : { ...layout, seed: null }));
    const seed = exact ? "" : " Its seed is larger than a browser can hold and was left out.";
    toast(said + seed, { label: "Undo", run: this.commands.undo });
  }

  // A JSON file goes into the dialog, where its format can be named; a PNG is opened at once.
  async readFile(file, inDialog = false) {
    const isPicture = isPng(await bytesOf(file.slice(0, SIGNATURE_BYTES)));
    const most = isPicture ? LARGEST_PICTURE : LARGEST_DOCUMENT;
    if (file.size > most) return this.#refuse(`expected a file of at most ${most / 2 ** 20} MB, got ${file.name}`);
    if (isPicture) return this.#openPicture(await bytesOf(file));
    const text = await textOf(file);
    if (text === null) return this.#refuse(`expected a PNG or a text file in UTF-8, got ${file.name}`);
    if (!inDialog) this.#openImport();
    by("import-text").value = text;
    const named = this.formats.find(({ name }) => file.name.includes(`.${name}.`));
    if (named) by("import-format").value = named.name;
    this.#drawOptions();
  }

  async #openPicture(bytes) {
    try {
      const provenance = await provenanceOf(bytes);
      if (!provenance?.layout) throw new Error("This PNG carries no layout.");
      const { layouts } = await api.convert({ document: JSON.stringify(provenance.layout), from: "native" });
      by("import").close();
      this.openLayout({ ...layouts[0], seed: provenance.seed }, "Opened the layout of a picture, with its seed.");
    } catch (error) {
      this.#complain(error);
    }
  }

  #refuse(message) {
    this.#complain(new Error(message));
  }

  #complain(error) {
    if (by("import").open) complain(by("import-problems"), error);
    else toast(error.message);
  }

  #openExport() {
    by("export-format").value = "native";
    open("export");
    this.#export(false);
  }

  async #export(lossy) {
    const to = by("export-format").value;
    setText(by("export-about"), about([...this.formats, MAPS].find((each) => each.name === to)));
    by("export-problems").hidden = true;
    by("export-lossy").hidden = true;
    this.#showExport("");
    const text = JSON.stringify(toLayout(this.store.doc));
    const asked = ++this.exportsAsked; // an answer that comes late shows nothing in place of a newer one
    const wanted = () => asked === this.exportsAsked;
    try {
      const { document, maps } = await api.convert({ document: text, from: "native", to, lossy });
      if (wanted()) this.#showExport(document ?? "", maps);
    } catch (error) {
      if (!wanted()) return;
      complain(by("export-problems"), error);
      by("export-lossy").hidden = lossy || to === "native";
    }
  }

  #showExport(text, maps = null) {
    this.maps = Object.entries(maps ?? {});
    by("export-text").value = text;
    by("export-copy").disabled = !text;
    by("export-save").disabled = !text && !maps;
    const areMaps = by("export-format").value === MAPS.name;
    by("export-document").hidden = by("export-copy").hidden = areMaps;
    by("export-maps").hidden = !maps;
    by("export-maps").replaceChildren(
      ...this.maps.map(([name, content]) =>
        h(
          "figure",
          {},
          h("img", { src: `data:image/png;base64,${content}`, alt: MAP_NAMES[name] }),
          h("figcaption", {}, MAP_NAMES[name]),
        ),
      ),
    );
  }

  #saveExport() {
    const name = by("export-format").value;
    if (name !== MAPS.name) {
      const ending = ENDINGS[name] ?? "json";
      return download(`layout.${name}.${ending}`, by("export-text").value, ending === "json" ? "application/json" : "text/plain");
    }
    for (const [map, content] of this.maps) {
      const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
      download(`layout-${map}.png`, bytes, "image/png");
    }
  }

  async #copyExport() {
    by("export-text").select();
    await navigator.clipboard.writeText(by("export-text").value).then(
      () => toast("Copied."),
      () => toast("Press Ctrl+C to copy."),
    );
  }

  // Ctrl+C copies the selected box, or the whole layout when none is selected; Ctrl+V brings either back.
  #listenToClipboard() {
    const copy = (event) => {
      if (isTyping(event.target) || !getSelection().isCollapsed || document.querySelector("dialog[open]")) return false;
      const { selected } = this.store.view;
      const instance = selected ? find(this.store.doc, selected) : null;
      const content = instance
        ? { instances: toLayout(this.store.doc).instances.filter((each) => each.id === selected) }
        : toLayout(this.store.doc);
      event.clipboardData.setData("text/plain", JSON.stringify(content, null, 2));
      event.preventDefault();
      toast(instance ? `Copied “${label(instance)}”.` : "Copied the layout.");
      return true;
    };
    document.addEventListener("copy", copy);
    document.addEventListener("cut", (event) => {
      if (this.store.view.selected && copy(event)) this.commands.remove();
    });
    document.addEventListener("paste", (event) => {
      if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
      const [file] = event.clipboardData.files;
      if (file) this.readFile(file);
      else this.#paste(event.clipboardData.getData("text/plain"));
    });
  }

  async #paste(text) {
    if (!text.trim().startsWith("{")) return;
    try {
      const content = JSON.parse(text);
      const whole = "prompt" in content;
      const { prompt, width, height } = this.store.doc;
      const wrapped = whole
        ? text
        : JSON.stringify({ prompt: prompt.trim() ? prompt : "-", width, height, instances: content.instances });
      const { layouts } = await api.convert({ document: wrapped, from: "native" });
      if (whole) return this.openLayout(layouts[0]);
      for (const { id: _, box, ...fields } of layouts[0].instances) this.commands.addBox(shifted(box), fields);
    } catch (error) {
      toast(`The clipboard holds no layout: ${error.message}`);
    }
  }

  #listenToDrops() {
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      const [file] = event.dataTransfer.files;
      if (file) this.readFile(file);
    });
  }
}

const bytesOf = async (file) => new Uint8Array(await file.arrayBuffer());

// The text of a file; null for one that is no UTF-8.
async function textOf(file) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await bytesOf(file));
  } catch {
    return null;
  }
}

// A little aside, so that a pasted box does not cover the one it was copied from.
function shifted([x1, y1, x2, y2]) {
  const dx = x2 + 0.04 <= 1 ? 0.04 : -Math.min(0.04, x1);
  const dy = y2 + 0.04 <= 1 ? 0.04 : -Math.min(0.04, y1);
  return [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
}

function complain(box, error) {
  box.hidden = false;
  const problems = error.problems ?? [{ field: "", message: error.message }];
  box.replaceChildren(
    ...problems
      .slice(0, 12)
      .map(({ field, message }) => h("p", {}, field ? h("code", {}, field) : null, field ? " " : "", message)),
  );
  if (problems.length > 12) box.append(h("p", {}, `and ${problems.length - 12} more`));
}
