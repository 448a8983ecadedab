// Pictures made in this browser, kept in it and nowhere else.

const NAME = "occlusionformer-studio";
const MOST = 60;

export class History {
  #base = null;

  // Works without a database too (private windows may refuse one): the pictures are then gone with the page.
  async open() {
    this.items = [];
    this.#base = await new Promise((resolve) => {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => request.result.createObjectStore("pictures", { keyPath: "at" });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
    });
    if (this.#base) this.items = (await this.#do("readonly", (store) => store.getAll())).reverse();
  }

  #do(mode, work) {
    return new Promise((resolve, reject) => {
      const request = work(this.#base.transaction("pictures", mode).objectStore("pictures"));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }

  async add(picture) {
    while (this.items.some((each) => each.at === picture.at)) picture.at += 1;
    this.items.unshift(picture);
    if (this.#base) await this.#do("readwrite", (store) => store.put(picture));
    for (const old of this.items.slice(MOST)) await this.remove(old);
  }

  async remove(picture) {
    this.items = this.items.filter((each) => each !== picture);
    if (this.#base) await this.#do("readwrite", (store) => store.delete(picture.at));
  }

  async clear() {
    this.items = [];
    if (this.#base) await this.#do("readwrite", (store) => store.clear());
  }
}
