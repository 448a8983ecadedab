// The work survives a reload: kept in this browser a moment after every change.

import { toast } from "./notices.js";

const KEPT = "occlusionformer.document";
const PAUSE = 250; // milliseconds

export function kept() {
  const text = localStorage.getItem(KEPT);
  if (!text) return null;
  try {
    const { doc, view } = JSON.parse(text);
    return doc.instances && doc.layers && doc.order ? { doc, view } : null;
  } catch {
    return null; // written by another version: the work starts anew
  }
}

export function keep(store) {
  let waiting = 0;
  let told = false;
  const save = () => {
    clearTimeout(waiting);
    waiting = 0;
    const { selected, grid, snap } = store.view;
    try {
      localStorage.setItem(KEPT, JSON.stringify({ doc: store.doc, view: { selected, grid, snap } }));
    } catch {
      if (!told) toast("This browser has no room to keep your work. Export it before you leave.");
      told = true;
    }
  };
  store.subscribe(() => {
    if (!waiting) waiting = setTimeout(save, PAUSE);
  });
  addEventListener("pagehide", save);
}
