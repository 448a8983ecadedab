// Everything the keyboard does.

import { isOpen, open } from "./dialogs.js";
import { by, h, isTyping } from "./dom.js";

export const HELP = [
  ["Drag", "Draw a box on free canvas, move or resize one"],
  ["Ctrl + drag", "Draw on top of other boxes"],
  ["Shift + drag", "Draw a square, keep the shape, move along one axis"],
  ["Click again", "Reach the box below"],
  ["Double-click, Enter", "Edit the caption"],
  ["B", "Add a box in the middle"],
  ["V, D", "Select, draw"],
  ["Tab", "Next box"],
  ["Arrows", "Move by a step; with Shift by ten"],
  ["Alt + arrows", "Resize"],
  ["] [", "Forward, backward"],
  ["Shift + ] [", "To the front, to the back"],
  ["L, H", "Lock, hide"],
  ["Ctrl + D", "Duplicate"],
  ["Del", "Delete"],
  ["Ctrl + C, X, V", "Copy, cut, paste a box; with none selected the layout"],
  ["Ctrl + Z, Ctrl + Shift + Z", "Undo, redo"],
  ["G, S, P", "Grid, snap, picture under the boxes"],
  ["Ctrl + Enter", "Generate"],
  ["Esc", "Leave what you are doing"],
];

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function listenToKeys({ store, commands, pointer, actions }) {
  by("key-list").append(...HELP.map(([keys, does]) => h("div", {}, h("dt", {}, keys), h("dd", {}, does))));
  by("keys-open").addEventListener("click", () => open("keys"));

  const selected = () => store.view.selected;
  const plain = {
    b: () => actions.addBox(),
    v: () => store.look({ tool: "select" }),
    d: () => store.look({ tool: "draw" }),
    g: () => store.look({ grid: !store.view.grid }),
    s: () => store.look({ snap: !store.view.snap }),
    p: () => actions.underlay(),
    l: () => selected() && commands.toggle(selected(), "locked"),
    h: () => selected() && commands.toggle(selected(), "hidden"),
    delete: commands.remove,
    backspace: commands.remove,
    "?": () => open("keys"),
    "]": () => commands.raise(1),
    "[": () => commands.raise(-1),
    "}": () => commands.raise(Infinity),
    "{": () => commands.raise(-Infinity),
    escape: () => {
      if (!pointer.abandon())
        store.look(store.view.tool === "draw" ? { tool: "select" } : { selected: null, loop: null });
    },
  };
  const withControl = { z: commands.undo, y: commands.redo, d: commands.duplicate, enter: actions.generate };

  function nudge(event) {
    const [dx, dy] = ARROWS[event.key];
    const { width, height } = store.doc;
    const step = Math.max(1, Math.round(Math.min(width, height) / 128)) * (event.shiftKey ? 10 : 1);
    commands.nudge((dx * step) / width, (dy * step) / height, event.altKey);
  }

  function act(event) {
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) return key === "z" && event.shiftKey ? commands.redo : withControl[key];
    if (event.shiftKey && (event.code === "BracketRight" || event.code === "BracketLeft"))
      return plain[event.code === "BracketRight" ? "}" : "{"];
    if (ARROWS[event.key])
      return selected() && !event.target.matches("input[type=range], summary, button") ? () => nudge(event) : null;
    return event.altKey ? null : plain[key];
  }

  addEventListener("keydown", (event) => {
    const generates = event.key === "Enter" && (event.ctrlKey || event.metaKey);
    if (isOpen() || (isTyping(event.target) && !generates)) return;
    const box = event.target.closest?.("g.box");
    if (box && (event.key === "Enter" || event.key === " ") && !generates) {
      event.preventDefault();
      return actions.editCaption(box.dataset.id);
    }
    const run = act(event);
    if (!run) return;
    event.preventDefault();
    run();
  });
}
