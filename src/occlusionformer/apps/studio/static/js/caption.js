// The field that is laid over a box while its caption is edited on the canvas.

import { by } from "./dom.js";
import { find } from "./document.js";
import { completeIn } from "./vocabulary.js";

export class CaptionEditor {
  constructor(stage, store, commands) {
    Object.assign(this, { stage, store, commands, id: null });
    this.field = by("caption-editor");
    completeIn(this.field, by("caption-words"), () => store.view.vocabulary);
    this.field.addEventListener("blur", () => this.close(true, false));
    this.field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") this.close(false);
      if (event.key === "Enter") this.close(true);
      if (event.key === "Enter") event.preventDefault();
    });
  }

  open(id) {
    const instance = find(this.store.doc, id);
    if (!instance) return;
    this.commands.select(id);
    this.id = id;
    const { left, top, width } = this.stage.frameOf(id);
    const [frame, holder] = [this.stage.svg, this.stage.holder].map((each) => each.getBoundingClientRect());
    const room = Math.max(150, Math.min(width, 320));
    const x = Math.min(frame.left - holder.left + left, holder.width - room);
    Object.assign(this.field.style, {
      left: `${Math.max(0, x)}px`,
      top: `${frame.top - holder.top + top}px`,
      width: `${room}px`,
    });
    this.field.value = instance.caption;
    this.field.hidden = false;
    this.field.focus();
    this.field.select();
  }

  close(keep, refocus = true) {
    if (this.id === null) return;
    const { id } = this;
    this.id = null;
    this.field.hidden = true;
    if (keep && find(this.store.doc, id))
      this.commands.edit(id, { caption: this.field.value.trim() });
    if (refocus) this.stage.focus(id);
  }
}
