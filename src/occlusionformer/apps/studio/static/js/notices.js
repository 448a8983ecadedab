// Short messages that come and go, read out by screen readers.

import { by, h } from "./dom.js";

const SHOWN_FOR = 6000;

export function toast(text, action = null) {
  const message = h("div", { class: "toast", "data-testid": "toast" }, h("span", {}, text));
  const close = () => message.remove();
  if (action) {
    const run = () => {
      close();
      action.run();
    };
    message.append(h("button", { type: "button", class: "link-button", onclick: run }, action.label));
  }
  by("toasts").replaceChildren(message);
  setTimeout(close, SHOWN_FOR);
}
