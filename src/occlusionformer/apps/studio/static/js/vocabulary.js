// The words that a model knows, as `occlusionformer.generation.vocabulary` reads captions: completes what is typed, and
// tells captions without a known object. A model without a vocabulary knows everything.

const MOST_OFFERED = 12;

const plain = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*/gu) ?? [];

function singular(word) {
  if (word.length > 4 && word.endsWith("ies")) return `${word.slice(0, -3)}y`;
  if (word.length > 4 && /(?:ch|sh|ss|x|o)es$/.test(word)) return word.slice(0, -2);
  return word.length > 3 && word.endsWith("s") && !/(?:ss|us|is)$/.test(word) ? word.slice(0, -1) : word;
}

const joined = (words) => words.join(" ");

export class Vocabulary {
  constructor({ objects = [], colours = [], links = [] } = {}) {
    this.links = new Set(links);
    this.words = objects.flatMap(({ name, synonyms }) => [name, ...synonyms]);
    this.colours = colours;
    this.named = new Map();
    for (const { name, synonyms } of objects)
      for (const word of [name, ...synonyms]) this.named.set(joined(plain(word)), name);
    this.alike = new Map();
    for (const [word, name] of [...this.named].reverse()) this.alike.set(joined(word.split(" ").map(singular)), name);
    this.longest = Math.max(0, ...[...this.named.keys()].map((word) => word.split(" ").length));
  }

  // The name of the object that a caption names, or null.
  objectIn(caption) {
    const said = plain(caption);
    let passed = 0;
    const clause = said.map((word) => (passed += this.links.has(word) ? 1 : 0));
    for (let length = Math.min(this.longest, said.length); length > 0; length--) {
      const isColour = (start) => Number(length === 1 && this.colours.includes(said[start]));
      const starts = [...Array(said.length - length + 1).keys()].sort(
        (a, b) => clause[a] - clause[b] || isColour(a) - isColour(b) || b - a,
      );
      for (const start of starts) {
        const words = said.slice(start, start + length);
        const found = this.named.get(joined(words)) ?? this.alike.get(joined(words.map(singular)));
        if (found) return found;
      }
    }
    return null;
  }

  // Whether a caption says something, but names nothing that the model knows.
  isUnknown(caption) {
    return this.words.length > 0 && caption.trim() !== "" && this.objectIn(caption) === null;
  }

  // Whole captions that begin as this one does, its last words completed to a known one.
  completions(caption) {
    const found = [];
    for (const { index: start } of caption.matchAll(/(?<=^|\s)\S/gu)) {
      const [head, typed] = [caption.slice(0, start), caption.slice(start).toLowerCase()];
      for (const word of [...this.words, ...this.colours])
        if (word.startsWith(typed) && word !== typed) found.push(head + word);
      if (found.length) break;
    }
    return [...new Set(found)].slice(0, MOST_OFFERED);
  }
}

// Offers completions below a field while somebody types in it.
export function completeIn(field, list, known) {
  field.setAttribute("list", list.id);
  field.addEventListener("input", () => {
    list.replaceChildren(
      ...known()
        .completions(field.value)
        .map((text) => Object.assign(document.createElement("option"), { value: text })),
    );
  });
}
