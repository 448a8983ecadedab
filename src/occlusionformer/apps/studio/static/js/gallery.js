// Examples to start from, as pictures that the embedded model drew of them, over small drawings of their boxes.

import { open } from "./dialogs.js";
import { by, h, s } from "./dom.js";
import { find, fromLayout, painted } from "./document.js";

export class Gallery {
  constructor(openLayout) {
    this.openLayout = openLayout;
    by("examples-open").addEventListener("click", () => open("examples"));
  }

  offer({ examples }) {
    this.examples = examples;
    by("example-list").replaceChildren(...examples.map((example) => this.#card(example)));
  }

  #card({ name, title, layout }) {
    const count = layout.instances.length === 1 ? "1 box" : `${layout.instances.length} boxes`;
    const use = () => {
      by("examples").close();
      this.openLayout(layout, `Opened “${title}”.`);
    };
    return h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "example", "data-testid": `example-${name}`, onclick: use },
        h("span", { class: "example-view" }, drawing(layout), picture(name, layout)),
        h("b", {}, title),
        h("span", { class: "faint small" }, `${count} · ${kindOf(layout)}`),
      ),
    );
  }
}

function kindOf({ order, cycles }) {
  if (cycles === "allow") return "a loop, kept";
  if (!order) return "no order";
  return order.pairs ? "single relations" : order.depths ? "depths" : "front to back";
}

// Seen once it is there, and until somebody points at it: then the boxes are.
function picture(name, { instances }) {
  return h("img", {
    alt: instances.map(({ caption }) => caption).join(", "),
    loading: "lazy",
    onload: ({ target }) => target.classList.add("loaded"),
    src: `static/examples/${encodeURIComponent(name)}.webp`,
  });
}

function drawing(layout) {
  const doc = fromLayout(layout);
  const { width, height } = doc;
  const hue = new Map(doc.instances.map(({ id }, place) => [id, place % 8]));
  const boxes = painted(doc)
    .reverse()
    .map((id) => {
      const {
        box: [x1, y1, x2, y2],
        opacity,
      } = find(doc, id);
      const place = { x: x1 * width, y: y1 * height, width: (x2 - x1) * width, height: (y2 - y1) * height };
      return s("rect", {
        class: `fill hue-${hue.get(id)}`,
        ...place,
        "fill-opacity": 0.35 + 0.5 * opacity,
        rx: width / 60,
      });
    });
  return s("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, boxes);
}
