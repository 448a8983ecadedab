// One job at a time: asked for, watched, cancelled, fetched.

import * as api from "./api.js";

const AT_ONCE = 4; // pictures fetched side by side
const RETRY = 2000; // milliseconds, while the server cannot be reached
const KEPT = "occlusionformer.job"; // survives a reload of the page, not of the browser

export class Job {
  constructor(tell) {
    this.tell = tell;
    this.id = null;
  }

  get running() {
    return this.id !== null;
  }

  // `context` is what the picture belongs to; it comes back with the result.
  async start(request, context) {
    this.id = "asked";
    this.context = context;
    this.tell("asked", {});
    try {
      const state = await api.generate(request);
      this.#watch(state.job);
      this.tell(state.status, state);
    } catch (error) {
      this.#end("failed", { problems: error.problems ?? [{ field: "", message: String(error) }] });
    }
  }

  // Goes on watching a job that was under way when the page was left.
  resume() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    if (!kept) return;
    this.context = kept.context;
    this.tell("asked", {});
    this.#watch(kept.id);
  }

  #watch(id) {
    this.id = id;
    sessionStorage.setItem(KEPT, JSON.stringify({ id, context: this.context }));
    this.stop = api.listen(id, (kind, data) => this.#hear(kind, data));
  }

  async #hear(kind, data) {
    if (kind === "lost") return this.#lookAgain();
    if (kind !== "done") return ["failed", "cancelled"].includes(kind) ? this.#end(kind, data) : this.tell(kind, data);
    try {
      const pictures = await fetched(data, this.context);
      this.#end("done", { ...data, pictures });
    } catch (error) {
      this.#end("failed", { problems: error.problems ?? [{ field: "", message: String(error) }] });
    }
  }

  // A stream also breaks when the page is left: nothing may be forgotten before the server has said that the job is gone.
  async #lookAgain() {
    const { id } = this;
    const state = await api.status(id).catch((error) => error);
    if (this.id !== id) return;
    if (state.job) this.#watch(id);
    else if (state.status === 0) setTimeout(() => this.id === id && this.#lookAgain(), RETRY);
    else this.#end("failed", { problems: state.problems });
  }

  #end(kind, data) {
    const { context } = this;
    this.stop?.();
    this.stop = null;
    this.id = null;
    this.context = null;
    sessionStorage.removeItem(KEPT);
    this.tell(kind, data, context);
  }

  async cancel() {
    if (!this.running || this.id === "asked") return;
    this.tell("cancelling", {});
    await api.cancel(this.id).catch((error) => this.tell("note", { message: error.message }));
  }
}

// What the studio keeps of a result: everything that is needed when the server has forgotten it.
async function fetched(result, context) {
  const pictures = [];
  for (const image of result.images) {
    const blob = await api.picture(image.png);
    const cutouts = await inTurns(
      image.instances.map((each) => each.cutout),
      api.picture,
    );
    const instances = image.instances.map(({ id }, place) => ({
      id,
      cutout: cutouts[place],
      ...named(context.doc, id),
    }));
    const weights = image.weights ? { ...image.weights, data: bytes(image.weights.data) } : null;
    const { seed, width, height, provenance } = image;
    pictures.push({ blob, instances, weights, seed, width, height, provenance, doc: context.doc, at: Date.now() });
  }
  return pictures;
}

function named(doc, id) {
  const instance = doc.instances.find((each) => each.id === id);
  return { caption: instance?.caption ?? id, hue: instance?.hue ?? 0, box: instance?.box ?? null };
}

async function inTurns(paths, fetchOne) {
  const found = Array(paths.length).fill(null);
  let next = 0;
  const worker = async () => {
    while (next < paths.length) {
      const place = next++;
      if (paths[place]) found[place] = await fetchOne(paths[place]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return found;
}

const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
