// The grid itself: headings that stay, cells that fill as they are made, all of them moved by one zoom.
import { el } from "../parts/dom.mjs";
import { word } from "../parts/words.mjs";
import { ZoomWindow } from "../parts/zoom.mjs";
import { cellName, placeName } from "./names.mjs";
import { MOST_PIXELS, sideAtMost, sideFor, smallUrl, wholeUrl } from "./pictures.mjs";

/** Pixels of a cell's width. */
export const SMALLEST = 64;
export const LARGEST = 1024;
const LEAST_FITTING = 96;
const MOST_FITTING = 512;
/** Of the headings of rows: what is always theirs, and the most where the cells leave room. */
const HEADING = 150;
const WIDEST_HEADING = 480;
const GAP = 6;

/** One place of the grid with the cell that stands there. */
class CellView {
  constructor(table, at, cell, column, row) {
    Object.assign(this, { table, at, cell, column, row, isSeen: false, address: undefined });
    const clicked = () => table.focus(this);
    const drags = () => table.zoom.scale > 0;
    this.window = new ZoomWindow(table.zoom, { wheel: (event) => table.zooms(event), clicked, drags });
    this.text = el("div", { class: "danlu-grid-text" });
    this.badges = el("div", { class: "danlu-grid-badges" });
    this.element = el(
      "div",
      { class: "danlu-grid-cell", role: "gridcell", tabIndex: -1, on: { dblclick: () => table.opened(this) } },
      this.window.element,
      this.text,
      this.badges,
    );
    this.element.danluView = this;
    this.element.addEventListener("focus", () => table.focused(this));
    this.window.image.addEventListener("error", () => this.say(word("grid.gone")));
    this.window.image.addEventListener("load", () => this.say(""));
    this.refresh();
  }

  get picture() {
    return this.cell.pictures[0];
  }

  refresh() {
    const { cell } = this;
    this.element.dataset.state = cell.state;
    this.element.dataset.n = cell.n;
    const why = cell.state === "failed" ? cell.why : "";
    this.say(why || (cell.state === "done" ? "" : word(`grid.state.${cell.state}`)));
    this.element.title = [cellName(cell), cell.caption, why].filter(Boolean).join("\n");
    this.element.setAttribute("aria-label", `${cellName(cell)}: ${word(`grid.state.${cell.state}`)}`);
    const signs = this.table.signs(cell);
    if (cell.pictures.length > 1) signs.push(`×${cell.pictures.length}`);
    this.badges.replaceChildren(...signs.map((text) => el("span", { text })));
    if (this.picture) this.window.show(this.picture.size);
    else this.load(undefined);
  }

  say(text) {
    this.text.textContent = text;
  }

  load(address) {
    if (address === this.address) return;
    this.address = address;
    if (address) this.window.image.src = address;
    else this.window.image.removeAttribute("src");
  }

  /** How far from a point of the page. */
  distance([x, y]) {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    return Math.hypot(left + width / 2 - x, top + height / 2 - y);
  }
}

/**
 * `opened(view)`: a cell was asked for in full; `focused(view)`: it is the one that keys are for; `signs(cell)`: short
 * texts to show on it.
 */
export class Table {
  constructor({ zoom, opened, focused, signs }) {
    Object.assign(this, { zoom, opened, signs, told: focused, views: [], side: 0 });
    this.table = el("div", { class: "danlu-grid-table", role: "grid" });
    this.element = el("div", { class: "danlu-grid-scroll" }, this.table);
    const inSight = { root: this.element, rootMargin: "80px" };
    this.seen = new IntersectionObserver((entries) => this.noticed(entries), inSight);
    this.resized = new ResizeObserver(() => this.fitted());
    this.resized.observe(this.element);
    this.deaf = zoom.listen(() => this.pickLater());
  }

  remove() {
    this.deaf();
    this.seen.disconnect();
    this.resized.disconnect();
    for (const view of this.views) view.window.remove();
    clearTimeout(this.picking);
  }

  /** `layout`: of `laidOut`; `grid`: whose cells. Keeps the focus where it was. */
  show(grid, places, layout) {
    const before = this.current?.cell.n;
    Object.assign(this, { grid, layout, current: undefined });
    for (const view of this.views) view.window.remove();
    this.seen.disconnect();
    this.views = [];
    const corner = el("div", { class: "danlu-grid-corner", role: "columnheader" });
    const heads = layout.columns.map((at) => this.heading(at, "columnheader"));
    const rows = layout.rows.map((at, row) => this.rowOf(places, at, row));
    this.table.replaceChildren(el("div", { class: "danlu-grid-row", role: "row" }, corner, ...heads), ...rows);
    this.fitted();
    for (const view of this.views) this.seen.observe(view.element);
    const again = this.views.find((view) => view.cell.n === before) ?? this.views[0];
    if (again) this.focused(again);
  }

  heading(at, role) {
    const text = placeName(at);
    return el("div", { class: `danlu-grid-heading danlu-grid-${role}`, role, title: text }, el("span", { text }));
  }

  rowOf(places, rowAt, row) {
    const cells = this.layout.columns.map((columnAt, column) => {
      const at = { ...this.layout.page, ...columnAt, ...rowAt };
      const cell = places.find(at);
      if (!cell) return el("div", { class: "danlu-grid-none", role: "gridcell" });
      const view = new CellView(this, at, cell, column, row);
      this.views.push(view);
      return view.element;
    });
    return el("div", { class: "danlu-grid-row", role: "row" }, this.heading(rowAt, "rowheader"), ...cells);
  }

  /** Shows again what stands for a cell. */
  refresh(number) {
    for (const view of this.views) if (number === undefined || view.cell.n === number) view.refresh();
    if (!this.ratioKnown) this.fitted();
    this.pickLater();
  }

  /** Cells as wide as chosen, or so that all of them can be seen if they are not too small then. */
  fitted() {
    if (!this.layout) return;
    const { columns, rows } = this.layout;
    const size = this.views.find((view) => view.picture)?.picture.size;
    this.ratioKnown = Boolean(size);
    const ratio = size ? size[1] / size[0] : 1;
    const across = (this.element.clientWidth - HEADING - 2 * GAP) / Math.max(1, columns.length) - GAP;
    const down = ((this.element.clientHeight - 56) / Math.max(1, rows.length) - GAP) / ratio;
    const fitting = Math.min(MOST_FITTING, Math.max(LEAST_FITTING, Math.floor(Math.min(across, down))));
    const width = this.side || fitting;
    this.table.style.setProperty("--danlu-cell", `${width}px`);
    this.table.style.setProperty("--danlu-high", `${Math.round(width * ratio)}px`);
    const left = this.element.clientWidth - columns.length * (width + GAP) - 2 * GAP;
    const heading = Math.min(Math.max(HEADING, left), WIDEST_HEADING);
    this.table.style.gridTemplateColumns = `fit-content(${heading}px) repeat(${columns.length}, var(--danlu-cell))`;
    this.width = width;
    for (const view of this.views) view.window.place();
    this.pickLater();
  }

  resize(side) {
    this.side = side;
    this.fitted();
  }

  /** Whether the wheel zooms: always with Ctrl, and without where there is nothing to scroll. */
  zooms(event) {
    const { scrollHeight, clientHeight, scrollWidth, clientWidth } = this.element;
    const scrolls = scrollHeight > clientHeight + 1 || scrollWidth > clientWidth + 1;
    return event.ctrlKey || event.metaKey || (!scrolls && !event.shiftKey);
  }

  noticed(entries) {
    for (const { target, isIntersecting } of entries) target.danluView.isSeen = isIntersecting;
    this.pickLater();
  }

  pickLater() {
    clearTimeout(this.picking);
    this.picking = setTimeout(() => this.pick(), 60);
  }

  /** Small pictures for all that is in sight, whole ones where more of them is seen, as many as memory may hold. */
  pick() {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    const middle = [left + width / 2, top + height / 2];
    const seen = this.views.filter((view) => view.isSeen && view.picture);
    seen.sort((a, b) => a.distance(middle) - b.distance(middle));
    let room = MOST_PIXELS;
    for (const view of seen) {
      const { size } = view.picture;
      const wanted = Math.max(...size) * view.window.scale() * devicePixelRatio;
      const side = sideFor(view.picture, wanted);
      const isWhole = side === undefined && size[0] * size[1] <= room;
      if (isWhole) room -= size[0] * size[1];
      view.load(isWhole ? wholeUrl(view.picture) : smallUrl(this.grid, view.cell, side ?? sideAtMost(wanted)));
    }
    for (const view of this.views) if (!view.isSeen) view.load(undefined);
  }

  focus(view) {
    view.element.focus({ preventScroll: true });
    view.element.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  focused(view) {
    if (this.current) this.current.element.tabIndex = -1;
    this.current = view;
    view.element.tabIndex = 0;
    this.told(view);
  }

  /** To the next cell in a direction of the table. */
  move(across, down) {
    const { current } = this;
    if (!current) return;
    const further = (view) => (view.column - current.column) * across + (view.row - current.row) * down;
    const inLine = (view) => (across ? view.row === current.row : view.column === current.column);
    const there = this.views.filter((view) => inLine(view) && further(view) > 0);
    there.sort((a, b) => further(a) - further(b));
    if (there.length) this.focus(there[0]);
  }
}
