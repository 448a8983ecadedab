// Puts the parts of the studio together.

import * as api from "./api.js";
import { keep, kept } from "./autosave.js";
import { CaptionEditor } from "./caption.js";
import { commandsOn, hued } from "./commands.js";
import { open, prepareDialogs } from "./dialogs.js";
import { by, download, h, setText, setValue } from "./dom.js";
import { fromLayout, newDocument, toLayout } from "./document.js";
import { Gallery } from "./gallery.js";
import { Generation, HistoryPanel } from "./generate.js";
import { History } from "./history.js";
import { Inspector, OrderPanel } from "./inspector.js";
import { listenToKeys } from "./keys.js";
import { Layers } from "./layers.js";
import { decoded, maskFile } from "./masks.js";
import { toast } from "./notices.js";
import { listenToPointer } from "./pointer.js";
import { Settings } from "./settings.js";
import { modelSize, RATIOS } from "./size.js";
import { Stage } from "./stage.js";
import { Store } from "./store.js";
import { Transfer } from "./transfer.js";
import { Viewer } from "./viewer.js";
import { Vocabulary } from "./vocabulary.js";
import { zip } from "./archive.js";

const saved = kept();
const everything = new Vocabulary();
const view = { selected: null, tool: "select", grid: false, snap: true, loop: null, ...saved?.view };
view.vocabulary = everything;
const store = new Store(saved?.doc ?? newDocument(256, 256), view);
const commands = commandsOn(store);
const history = new History();
const page = document.documentElement;

prepareDialogs();
const stage = new Stage(store);
const caption = new CaptionEditor(stage, store, commands);
const pointer = listenToPointer(stage, store, commands, (id) => caption.open(id));
const layers = new Layers(store, commands);
const inspector = new Inspector(store, commands);
const order = new OrderPanel(store, commands);
const settings = new Settings(store, commands);
const transfer = new Transfer(store, commands);
const gallery = new Gallery((layout, said) => transfer.openLayout(layout, said));
const viewer = new Viewer({
  previous: (picture) => history.items[history.items.indexOf(picture) + 1] ?? null,
  saveCutout: (picture, { caption: name, cutout }) => download(`${fileName(name)}.png`, cutout),
});
const generation = new Generation({ store, settings, viewer, history, onPicture: () => historyPanel.draw() });
const historyPanel = new HistoryPanel({
  history,
  viewer,
  openLayout({ doc, seed }) {
    commands.replace({ ...doc, seed });
    toast("Opened the layout of this picture, with its seed.", { label: "Undo", run: commands.undo });
    show("layout");
  },
});

const actions = {
  generate() {
    generation.start();
    if (generation.job.running) show("picture");
  },
  addBox: () => caption.open(commands.addInMiddle()),
  editCaption: (id) => caption.open(id),
  underlay: () => store.look({ underlay: !store.view.underlay }),
};
listenToKeys({ store, commands, pointer, actions });

function fileName(text) {
  return (
    text
      .trim()
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 60) || "box"
  );
}

const roomForBoth = matchMedia("(min-width: 1181px)");

// On a narrow screen one part is seen at a time.
function show(tab) {
  page.dataset.tab = tab;
  if (page.dataset.view !== "both" && ["layout", "picture"].includes(tab)) page.dataset.view = tab;
  drawViews();
}

function setView(name) {
  if (!roomForBoth.matches) return show(name);
  page.dataset.view = name;
  localStorage.setItem("occlusionformer.view", name);
  drawViews();
}

function drawViews() {
  const shown = roomForBoth.matches ? page.dataset.view : page.dataset.tab;
  for (const button of document.querySelectorAll("[data-open]"))
    button.setAttribute("aria-pressed", button.dataset.open === page.dataset.tab);
  for (const button of document.querySelectorAll("[data-show]"))
    button.setAttribute("aria-pressed", button.dataset.show === shown);
  requestAnimationFrame(() => (stage.fit(), viewer.fit()));
}

function listenToButtons() {
  const clicks = {
    undo: commands.undo,
    redo: commands.redo,
    duplicate: commands.duplicate,
    delete: commands.remove,
    "to-front": () => commands.raise(Infinity),
    forward: () => commands.raise(1),
    backward: () => commands.raise(-1),
    "to-back": () => commands.raise(-Infinity),
    "tool-select": () => store.look({ tool: "select" }),
    "tool-draw": () => store.look({ tool: "draw" }),
    add: actions.addBox,
    grid: () => store.look({ grid: !store.view.grid }),
    snap: () => store.look({ snap: !store.view.snap }),
    underlay: actions.underlay,
    new: () => {
      const [width, height] = modelSize(1, 1, settings.defaults);
      commands.replace(newDocument(width, height));
      toast("A new layout.", { label: "Undo", run: commands.undo });
    },
    theme: () => {
      page.dataset.theme = page.dataset.theme === "dark" ? "light" : "dark";
      localStorage.setItem("occlusionformer.theme", page.dataset.theme);
    },
    "download-image": () => download("picture.png", viewer.current.blob),
    "download-layout": () =>
      download(
        "layout.json",
        JSON.stringify({ ...toLayout(viewer.current.doc), seed: viewer.current.seed }, null, 2),
        "application/json",
      ),
    "download-masks": () =>
      saveAll("masks.zip", async ({ cutout }, bitmap) => cutout && maskFile(viewer.current, bitmap)),
    "download-cutouts": () => saveAll("cutouts.zip", async ({ cutout }) => cutout),
  };
  for (const [id, run] of Object.entries(clicks)) by(id).addEventListener("click", run);
  for (const button of document.querySelectorAll("#generate, [data-go=generate]"))
    button.addEventListener("click", () => generation.job.running && show("picture"));
  for (const button of document.querySelectorAll("[data-open]"))
    button.addEventListener("click", () => show(button.dataset.open));
  for (const button of document.querySelectorAll("[data-show]"))
    button.addEventListener("click", () => setView(button.dataset.show));
  by("stage").addEventListener("focusin", (event) => {
    const id = event.target.closest("g.box")?.dataset.id;
    if (id && id !== store.view.selected && !event.target.matches(":active")) commands.select(id);
  });
  by("model").addEventListener("change", () => chooseVocabulary().catch(() => {}));
  by("prompt").addEventListener("input", () => commands.editDocument({ prompt: by("prompt").value }, "prompt"));
  by("canvas").addEventListener("change", (event) => chooseCanvas(event.target.value));
  by("canvas-form").addEventListener("submit", () =>
    commands.setCanvas(by("canvas-width").valueAsNumber, by("canvas-height").valueAsNumber),
  );
}

async function saveAll(name, content) {
  const { current } = viewer;
  const bitmaps = await decoded(current);
  const files = await Promise.all(
    current.instances.map(async (instance, place) => ({
      name: `${place + 1}-${fileName(instance.caption)}.png`,
      blob: await content(instance, bitmaps[place]),
    })),
  );
  download(name, await zip(files.filter(({ blob }) => blob)));
}

function chooseCanvas(value) {
  if (value !== "other") return commands.setCanvas(...value.split("x").map(Number));
  by("canvas-width").value = store.doc.width;
  by("canvas-height").value = store.doc.height;
  open("canvas-dialog");
  drawCanvasChoice();
}

function drawCanvasChoice() {
  const { width, height } = store.doc;
  page.style.setProperty("--shape", width / height);
  const offers = RATIOS.map(([a, b]) => ({ ratio: `${a}:${b}`, size: modelSize(a, b, settings.defaults) }));
  const own = `${width}x${height}`;
  const options = offers.map(({ ratio, size }) =>
    h("option", { value: size.join("x") }, `${ratio} · ${size.join(" × ")}`),
  );
  if (!offers.some(({ size }) => size.join("x") === own))
    options.unshift(h("option", { value: own }, `${width} × ${height}`));
  options.push(h("option", { value: "other" }, "Other size…"));
  by("canvas").replaceChildren(...options);
  by("canvas").value = own;
}

function drawButtons() {
  const { doc, view: now } = store;
  const place = doc.layers.indexOf(now.selected);
  by("undo").disabled = !store.canUndo;
  by("redo").disabled = !store.canRedo;
  for (const id of ["duplicate", "delete"]) by(id).disabled = place < 0;
  for (const id of ["to-front", "forward"]) by(id).disabled = place <= 0;
  for (const id of ["to-back", "backward"]) by(id).disabled = place < 0 || place === doc.layers.length - 1;
  for (const name of ["grid", "snap", "underlay"]) by(name).setAttribute("aria-pressed", Boolean(now[name]));
  for (const name of ["select", "draw"]) by(`tool-${name}`).setAttribute("aria-pressed", now.tool === name);
}

store.subscribe(({ doc: changed }) => {
  drawButtons();
  stage.draw();
  stage.showBackdrop(store.view.underlay && viewer.current ? viewer.address(viewer.current.blob) : null);
  layers.draw();
  inspector.draw();
  order.draw();
  if (!changed) return;
  setValue(by("prompt"), store.doc.prompt);
  drawCanvasChoice();
  settings.draw();
});

const vocabularies = new Map();

// The words of the chosen model, asked for once it is loaded.
async function chooseVocabulary() {
  const { name, defaults } = settings.model;
  if (defaults && !vocabularies.has(name)) {
    vocabularies.set(name, everything);
    const told = await api.vocabularies();
    for (const each of told.vocabularies) vocabularies.set(each.model, new Vocabulary(each));
  }
  const vocabulary = vocabularies.get(settings.model.name) ?? everything;
  if (vocabulary !== store.view.vocabulary) store.look({ vocabulary });
}

async function watchServer() {
  const { status, model, queue } = await api.health().catch(() => ({ status: "unreachable" }));
  const waiting = queue?.waiting ? ` · ${queue.waiting} waiting` : "";
  const told = {
    loading: `Loading ${model}…`,
    ready: `${model}${waiting}`,
    failed: `${model} could not be loaded`,
    unreachable: "Server not reachable",
  };
  setText(by("server"), told[status]);
  by("server").dataset.status = status;
  if (status === "ready" && !settings.model.defaults) settings.offer(await api.models());
  if (status === "ready") await chooseVocabulary().catch(() => {});
  setTimeout(watchServer, status === "ready" ? 10_000 : 1000);
}

async function begin() {
  listenToButtons();
  keep(store);
  page.dataset.view = localStorage.getItem("occlusionformer.view") ?? "both";
  roomForBoth.addEventListener("change", drawViews);
  show("layout");
  const asked = Promise.all([api.models(), api.formats(), api.examples()]);
  await history.open();
  historyPanel.draw();
  viewer.draw();
  const [models, formats, examples] = await asked;
  settings.offer(models);
  transfer.offer(formats);
  gallery.offer(examples);
  if (!saved && examples.examples.length) store.start(hued(fromLayout(examples.examples[0].layout)));
  else store.start(store.doc);
  generation.job.resume();
  watchServer();
  page.dataset.ready = "true";
}

begin().catch((error) => toast(error.message));
