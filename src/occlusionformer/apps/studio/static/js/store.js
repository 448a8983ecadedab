// The one place that holds what is edited and how it is looked at. Documents are values: undo keeps the old ones.

const MERGE_WITHIN = 1000; // milliseconds in which changes of the same kind count as one step of undo

export class Store {
  #listeners = new Set();
  #past = [];
  #future = [];
  #lastMerge = { key: null, at: 0 };

  constructor(doc, view) {
    this.doc = doc;
    this.view = view;
  }

  // `listener` is told what changed: {doc, view} say which of the two.
  subscribe(listener) {
    this.#listeners.add(listener);
  }

  #tell(changed) {
    for (const listener of this.#listeners) listener(changed);
  }

  // What there is before anything is done.
  start(doc) {
    this.doc = doc;
    this.#tell({ doc: true, view: true });
  }

  // A step of undo. With `merge`, quick successions of the same key become one step.
  change(doc, { merge = null, view = {} } = {}) {
    const now = performance.now();
    const goesOn = merge !== null && merge === this.#lastMerge.key && now - this.#lastMerge.at < MERGE_WITHIN;
    this.#lastMerge = { key: merge, at: now };
    if (doc !== this.doc && !goesOn) this.#past.push(this.doc);
    if (doc !== this.doc) this.#future = [];
    this.doc = doc;
    this.view = { ...this.view, ...view };
    this.#tell({ doc: true, view: true });
  }

  look(view) {
    this.view = { ...this.view, ...view };
    this.#tell({ doc: false, view: true });
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  undo() {
    this.#travel(this.#past, this.#future);
  }

  redo() {
    this.#travel(this.#future, this.#past);
  }

  #travel(from, to) {
    if (!from.length) return;
    to.push(this.doc);
    this.doc = from.pop();
    this.#lastMerge = { key: null, at: 0 };
    if (!this.doc.layers.includes(this.view.selected)) this.view = { ...this.view, selected: null };
    this.#tell({ doc: true, view: true });
  }
}
