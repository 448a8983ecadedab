// Controls and texts that overlap, are clipped, or stick out of where they belong.
() => {
  const faults = [];
  const name = (e) => e.id || e.dataset.testid || `${e.tagName.toLowerCase()} “${e.textContent.trim().slice(0, 24)}”`;
  const seen = (e) =>
    e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && e.getBoundingClientRect().width > 1;
  const controls = [
    ...document.querySelectorAll(
      "main button, main select, main input, main summary, header button, header summary, .tabs button",
    ),
  ].filter((e) => seen(e) && !e.closest(".history-list, .frame, svg"));
  const scrolls = (e) => e.closest(".layer-list, .exception-list, .overlap-list, .legend");
  const frames = controls.map((e) => e.getBoundingClientRect());
  if (document.documentElement.scrollWidth > innerWidth)
    faults.push(`page is ${document.documentElement.scrollWidth} wide`);
  controls.forEach((e, i) => {
    const a = frames[i];
    if (a.left < -0.5 || a.right > innerWidth + 0.5) faults.push(`${name(e)} sticks out of the screen`);
    const pane = e.closest(".panel, .pane, .top")?.getBoundingClientRect() ?? { left: 0, right: innerWidth };
    if (a.left < pane.left - 0.5 || a.right > pane.right + 0.5) faults.push(`${name(e)} sticks out of its part`);
    const cut =
      e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).textOverflow !== "ellipsis" && e.tagName !== "INPUT";
    if (cut) faults.push(`${name(e)} is clipped`);
    const fixed = (x) => x.closest(".tabs, .top") !== null;
    for (let j = i + 1; j < controls.length; j++) {
      const b = frames[j];
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      const nested =
        e.contains(controls[j]) ||
        controls[j].contains(e) ||
        fixed(e) !== fixed(controls[j]) ||
        scrolls(e) !== scrolls(controls[j]);
      if (width > 1 && height > 1 && !nested) faults.push(`${name(e)} overlaps ${name(controls[j])}`);
    }
  });
  for (const e of document.querySelectorAll("h1, h2, h3, label > span, .note, .legend-name, .layer-name, p")) {
    if (!seen(e) || getComputedStyle(e).textOverflow === "ellipsis" || e.matches(".visually-hidden")) continue;
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth) faults.push(`${name(e)} is clipped`);
  }
  return faults;
};
