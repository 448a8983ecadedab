// Opening and closing dialogs.

import { by } from "./dom.js";

export function prepareDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
  }
  const menus = document.querySelectorAll("details.menu");
  addEventListener("click", (event) => {
    for (const menu of menus) if (!menu.querySelector("summary").contains(event.target)) menu.open = false;
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const menu of menus) menu.open = false;
  });
  for (const button of document.querySelectorAll("[data-press]")) {
    button.addEventListener("click", () => by(button.dataset.press).click());
  }
}

export const open = (id) => by(id).showModal();

export const isOpen = () => document.querySelector("dialog[open]") !== null;
