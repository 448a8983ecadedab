// Building elements. Text always becomes text nodes; there is no way to pass markup.

const SVG = "http://www.w3.org/2000/svg";

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-") && value !== null) element.setAttribute(name, String(value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const h = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);

export const s = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

export const by = (id) => document.getElementById(id);

export function icon(name) {
  return s("svg", { class: "icon", "aria-hidden": "true", viewBox: "0 0 16 16" }, s("use", { href: `#i-${name}` }));
}

// A button that shows an icon and says its name to those who cannot see it.
export function iconButton(name, title, onclick, attributes = {}) {
  return h(
    "button",
    { type: "button", class: "icon-button", title, "aria-label": title, onclick, ...attributes },
    icon(name),
  );
}

export function attributes(element, values) {
  for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Sets what a field shows unless somebody is typing in it.
export function setValue(field, value) {
  if (document.activeElement !== field && field.value !== String(value)) field.value = value;
}

export const isTyping = (target) =>
  target.isContentEditable ||
  target.matches("textarea, select, input:not([type=range], [type=checkbox], [type=radio])");

export function download(name, content, type = "application/octet-stream") {
  const address = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
