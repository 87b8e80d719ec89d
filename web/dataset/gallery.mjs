// The pictures of a dataset. Only the rows in sight are on the page, however many pictures there are.
import { el } from "../parts/dom.mjs";
import { say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { Card } from "./card.mjs";
import { Selection, target } from "./selection.mjs";

/** Pixels between cards, and of the name and four lines of caption below a thumbnail. */
const GAP = 10;
const TEXT = 102;
/** Rows that are kept ready above and below. */
const SPARE = 2;

/** How wide thumbnails are at first: wider on wide pages, within what a small file of one fills. */
const usualSide = () => Math.round(Math.min(Math.max(180, window.innerWidth / 10), 250) / 10) * 10;

export class Gallery {
  /** `large(place)` opens the large view, `drop()` moves the chosen pictures aside, `save(ns)` writes what was typed. */
  constructor(store, { large, drop, save }) {
    Object.assign(this, { store, large, drop, save, side: usualSide(), columns: 1, active: 0, frame: 0 });
    this.rows = new Map();
    this.selection = new Selection(store);
    this.inside = el("div", { class: "danlu-rows", role: "rowgroup" });
    this.empty = el("p", { class: "danlu-dim danlu-empty", text: word("dataset.nothing"), hidden: true });
    const grid = { role: "grid", "aria-multiselectable": "true", "aria-label": word("dataset.pictures"), tabIndex: 0 };
    this.element = el("div", { class: "danlu-gallery", ...grid }, this.empty, this.inside);
    this.listen();
  }

  listen() {
    const { element, store } = this;
    element.addEventListener("scroll", () => this.later());
    element.addEventListener("click", (event) => this.clicked(event));
    element.addEventListener("dblclick", (event) => event.target.closest(".danlu-thumb") && this.large(this.active));
    element.addEventListener("keydown", (event) => this.pressed(event));
    element.addEventListener("focusin", (event) => this.focused(event));
    store.addEventListener("items", () => this.each((card) => card.update()));
    store.addEventListener("drafts", () => this.each((card) => card.update()));
    store.addEventListener("items", () => this.later());
    store.addEventListener("selection", () => this.each((card) => card.mark()));
    store.addEventListener("list", () => this.rebuild());
    this.watcher = new ResizeObserver(() => this.later());
    this.watcher.observe(element);
  }

  close() {
    this.watcher.disconnect();
    cancelAnimationFrame(this.frame);
    this.clear();
  }

  each(done) {
    for (const { cards } of this.rows.values()) cards.forEach(done);
  }

  card(place) {
    return this.rows.get(Math.floor(place / this.columns))?.cards.find((card) => card.place === place);
  }

  get height() {
    return this.side + TEXT + GAP;
  }

  /** Thumbnails of another size. */
  resize(side) {
    this.side = side;
    this.rebuild();
    this.reveal(this.active);
  }

  clear() {
    for (const row of [...this.rows.keys()]) this.removeRow(row);
  }

  rebuild() {
    this.active = Math.max(0, Math.min(this.active, this.store.total - 1));
    const here = this.element.contains(document.activeElement);
    this.clear();
    this.draw();
    if (here) this.card(this.active)?.element.focus({ preventScroll: true });
  }

  later() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  /** Puts the rows in sight on the page, and takes away the others. */
  draw() {
    const { element, store } = this;
    const columns = Math.max(1, Math.floor((this.inside.clientWidth + GAP) / (this.side + GAP)));
    const rows = Math.ceil(store.total / columns);
    this.measure(columns, rows);
    const first = Math.max(0, Math.floor(element.scrollTop / this.height) - SPARE);
    const last = Math.min(rows - 1, Math.floor((element.scrollTop + element.clientHeight) / this.height) + SPARE);
    for (const row of [...this.rows.keys()]) if (row < first || row > last) this.removeRow(row);
    for (let row = first; row <= last; row++) if (!this.rows.has(row)) this.addRow(row);
    const wanted = last < first ? undefined : store.want(first * columns, (last + 1) * columns - 1);
    wanted?.catch((error) => say("error", error.message));
  }

  /** Room for all rows; does nothing where there is that room already. */
  measure(columns, rows) {
    const { element } = this;
    const measured = `${columns} ${rows} ${this.side}`;
    if (measured === this.measured) return;
    if (columns !== this.columns) this.clear();
    Object.assign(this, { measured, columns });
    this.inside.style.height = `${Math.max(0, rows * this.height - GAP)}px`;
    this.empty.hidden = rows > 0;
    element.setAttribute("aria-rowcount", rows);
    element.setAttribute("aria-colcount", columns);
    element.style.setProperty("--danlu-side", `${this.side}px`);
  }

  addRow(row) {
    const end = Math.min((row + 1) * this.columns, this.store.total);
    const cards = [];
    for (let place = row * this.columns; place < end; place++) cards.push(new Card(this, place));
    const style = { transform: `translateY(${row * this.height}px)`, "--danlu-columns": this.columns };
    const attributes = { class: "danlu-row", role: "row", "aria-rowindex": row + 1, style };
    const element = el("div", attributes, cards.map((card) => card.element));
    this.rows.set(row, { element, cards });
    this.inside.append(element);
  }

  removeRow(row) {
    const { element, cards } = this.rows.get(row);
    // The keyboard stays here when the card that had it is scrolled out of sight.
    if (element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    cards.forEach((card) => card.remove());
    element.remove();
    this.rows.delete(row);
  }

  /** Scrolls a picture into sight. */
  reveal(place) {
    const { element } = this;
    const top = Math.floor(place / this.columns) * this.height;
    const room = element.clientHeight - this.height;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + room) element.scrollTop = top - Math.max(0, room - GAP);
    this.draw();
  }

  /** Where the keyboard is. */
  activate(place) {
    this.active = place;
    this.reveal(place);
    this.each((card) => card.mark());
    this.card(place)?.element.focus({ preventScroll: true });
  }

  focused(event) {
    const cell = event.target.closest(".danlu-card");
    if (!cell) return;
    this.active = Number(cell.dataset.place);
    this.each((card) => card.mark());
  }

  clicked(event) {
    const cell = event.target.closest(".danlu-card");
    if (!cell || event.target.closest("button, textarea")) return;
    const place = Number(cell.dataset.place);
    const keys = { shift: event.shiftKey, ctrl: event.ctrlKey || event.metaKey };
    this.activate(place);
    if (event.target.closest(".danlu-check")) return this.selection.choose(place, { ctrl: true });
    if (event.target.closest(".danlu-caption") && !keys.shift && !keys.ctrl) return this.edit(place);
    this.selection.choose(place, keys);
  }

  edit(place) {
    const item = this.store.at(place);
    if (!item) return;
    if (item.editable) this.card(place)?.edit();
    else say("warn", item.why_not);
  }

  pressed(event) {
    if (event.target.closest("textarea, button")) return;
    const ctrl = event.ctrlKey || event.metaKey;
    const rows = Math.max(1, Math.floor(this.element.clientHeight / this.height));
    const next = target(event.key, this.active, this.columns, rows, this.store.total);
    const moved = next !== undefined && this.go(next, event.shiftKey, ctrl);
    if (moved || this.command(event.key, ctrl, event.shiftKey)) event.preventDefault();
  }

  go(place, shift, ctrl) {
    this.activate(place);
    // Ctrl moves without choosing, as in a file manager.
    if (shift || !ctrl) this.selection.choose(place, { shift });
    return true;
  }

  command(key, ctrl, shift) {
    if (key === "a" && ctrl) this.selection.all();
    else if (key === " ") this.selection.choose(this.active, { ctrl: true });
    else if (key === "Enter" && shift) this.large(this.active);
    else if (key === "Enter" || key === "F2") this.edit(this.active);
    else if (key === "Delete" && this.store.selected.size) this.drop();
    else if (key === "Escape" && this.store.selected.size) this.store.select([]);
    else return false;
    return true;
  }
}
