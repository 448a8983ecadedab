// Texts that stand out less from their ground than WCAG AA asks; badges are large and bold.
() => {
  const channel = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const parse = (c) => c.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if ((colour[3] ?? 1) > 0.9) return colour;
    }
    return [255, 255, 255];
  };
  const weak = [];
  for (const e of document.querySelectorAll(
    "h1, h2, h3, p, button, label > span, option, summary, .badge, .legend-name",
  )) {
    if (!e.checkVisibility() || e.disabled || !e.textContent.trim() || e.closest(":disabled, .disabled, .skip"))
      continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const least = e.matches(".badge") ? 2.4 : 4.5;
    if (ratio < least) weak.push(`${e.id || e.className || e.tagName}: ${ratio.toFixed(1)}`);
  }
  return [...new Set(weak)];
};
