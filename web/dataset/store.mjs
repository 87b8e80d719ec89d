// What the dataset view knows: pages of pictures as they are asked for, what is selected, what is typed and not saved.
import { get, post, url } from "../parts/server.mjs";

const PAGE = 100;

/**
 * One open dataset. A picture's number `n` is its own for good; its place is where it stands in the list as it is
 * searched, filtered and sorted.
 *
 * Events: "items" (some arrived, or are different now), "list" (another list: other pictures or another order),
 * "selection", "drafts", "texts" (captions or pictures have changed on disk).
 */
export class Store extends EventTarget {
  /** `about`: what the server says of the dataset. */
  constructor(about) {
    super();
    this.about = about;
    this.query = { order: "given", only: "all", search: "", tag: "" };
    this.numbers = [];
    this.items = new Map();
    this.drafts = new Map();
    this.selected = new Set();
    /** Names of what was written from this page, the newest last: each can be undone, one after the other. */
    this.runs = [];
    this.here = new Set();
    this.waiting = new Map();
  }

  get path() {
    return `datasets/${this.about.id}`;
  }

  get total() {
    return this.numbers.length;
  }

  tell(kind) {
    this.dispatchEvent(new Event(kind));
  }

  /** The address of a thumbnail of at most `side` pixels; `which`: "picture", "mask", "before0" ... */
  thumb(item, side, which = "picture") {
    return url(`${this.path}/thumb/${item.n}`, { side, which, v: item.version });
  }

  image(item, which = "picture") {
    return url(`${this.path}/image/${item.n}`, { which, v: item.version });
  }

  /** The picture at a place, if it is here; `want` brings it. */
  at(place) {
    return this.items.get(this.numbers[place]);
  }

  /** Another search, filter or order. */
  ask(changes) {
    this.query = { ...this.query, ...changes };
    return this.reload();
  }

  /** The list anew from the server; what is shown stays until it arrives. */
  async reload() {
    for (const { control } of this.waiting.values()) control.abort();
    this.waiting.clear();
    this.here.clear();
    const found = await this.fetchPage(0, { numbers: 1 });
    if (!found) return;
    const same = found.numbers.length === this.total && found.numbers.every((n, i) => n === this.numbers[i]);
    this.numbers = found.numbers;
    this.take(0, found);
    this.tell(same ? "items" : "list");
  }

  take(page, found) {
    this.here.add(page);
    for (const item of found.items) {
      this.items.set(item.n, item);
      const draft = this.drafts.get(item.n);
      if (draft?.isRefused) Object.assign(draft, { was: item.body, isRefused: false });
    }
  }

  async fetchPage(page, more = {}) {
    const control = new AbortController();
    const waiting = { control };
    this.waiting.set(page, waiting);
    const asked = { ...this.query, ...more, from: page * PAGE, count: PAGE };
    try {
      return await get(`${this.path}/pictures`, asked, { signal: control.signal });
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      throw error;
    } finally {
      if (this.waiting.get(page) === waiting) this.waiting.delete(page);
    }
  }

  /** Brings the pictures from place `first` to `last`; pages that were asked for and are not wanted now are given up. */
  want(first, last) {
    const wanted = new Set();
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page++) wanted.add(page);
    for (const [page, { control }] of this.waiting) if (!wanted.has(page)) control.abort();
    const missing = [...wanted].filter((page) => !this.here.has(page) && !this.waiting.has(page));
    return Promise.all(missing.filter((page) => page * PAGE < this.total).map((page) => this.bring(page)));
  }

  async bring(page) {
    const found = await this.fetchPage(page);
    if (!found) return;
    this.take(page, found);
    this.tell("items");
  }

  select(ns, keep = false) {
    this.selected = new Set(keep ? [...this.selected, ...ns] : ns);
    this.tell("selection");
  }

  toggle(n) {
    if (!this.selected.delete(n)) this.selected.add(n);
    this.tell("selection");
  }

  /** Keeps what is typed until it is saved; a text as it is on disk needs no keeping. */
  draft(item, body) {
    const was = this.drafts.get(item.n)?.was ?? item.body;
    if (body === was) this.drafts.delete(item.n);
    else this.drafts.set(item.n, { body, was, isRefused: this.drafts.get(item.n)?.isRefused });
    this.tell("drafts");
  }

  forget(ns = [...this.drafts.keys()]) {
    for (const n of ns) this.drafts.delete(n);
    this.tell("drafts");
  }

  /**
   * Writes what was typed to disk. Throws `Refused` when a file was changed by somebody else meanwhile: what was typed
   * stays then, beside the text as it is now, and the next save is for that one.
   */
  async save(ns = [...this.drafts.keys()]) {
    const typed = ns.filter((n) => this.drafts.has(n));
    const edits = typed.map((n) => ({ n, body: this.drafts.get(n).body, was: this.drafts.get(n).was }));
    if (!edits.length) return undefined;
    try {
      const answer = await post(`${this.path}/captions`, { edits });
      this.written(edits);
      if (answer.run) this.runs.push(answer.run);
      return answer;
    } catch (error) {
      for (const { n } of edits) if (error.status === 409 && this.drafts.has(n)) this.drafts.get(n).isRefused = true;
      throw error;
    } finally {
      await this.changed();
    }
  }

  /** What was typed further while it was written stays. */
  written(edits) {
    const isSame = ({ n, body }) => this.drafts.get(n)?.body === body;
    for (const { n, body } of edits) if (this.drafts.has(n)) this.drafts.get(n).was = body;
    this.forget(edits.filter(isSame).map(({ n }) => n));
  }

  get undoable() {
    return this.runs.length > 0 || Boolean(this.about.journal);
  }

  /** After texts or pictures have changed on disk. */
  async changed() {
    this.about = await get(this.path);
    await this.reload();
    const there = new Set(this.numbers);
    const gone = [...this.selected].filter((n) => !there.has(n) && !this.items.has(n));
    if (gone.length) this.select([...this.selected].filter((n) => !gone.includes(n)));
    this.tell("texts");
  }

  /** Moves pictures out of the dataset's folder, to where they can be restored from. */
  async drop(ns) {
    const answer = await post(`${this.path}/drop`, { ns });
    for (const n of ns) {
      this.selected.delete(n);
      this.items.delete(n);
      this.drafts.delete(n);
    }
    await this.changed();
    this.tell("selection");
    this.tell("drafts");
    return answer;
  }
}
