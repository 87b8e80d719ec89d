// The grid on its node: small pictures that come as they are made, and a way to the page.
import { button, el } from "../parts/dom.mjs";
import { say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { laidOut, Places, usualRoles } from "./axes.mjs";
import { cellName } from "./names.mjs";
import { smallUrl } from "./pictures.mjs";
import { counted } from "./store.mjs";

/** More would be too small to be seen, and slow. */
const MOST = 400;
const SIDE = 128;

export class Panel {
  /** `isGone`: whether its node is in no graph any more. */
  constructor(isGone) {
    this.isGone = isGone;
    this.text = el("span", { class: "danlu-grid-about" });
    this.button = button(word("grid.open_page"), () => this.open(), { class: "danlu-main", disabled: true });
    this.table = el("div", { class: "danlu-grid-small", on: { dblclick: (event) => this.open(event.target) } });
    const head = el("div", { class: "danlu-grid-head" }, this.button, this.text);
    this.element = el("div", { class: "danlu-grid-panel" }, head, el("div", { class: "danlu-grid-box" }, this.table));
    this.deaf = () => {};
    this.none();
  }

  none() {
    this.text.textContent = word("grid.none");
  }

  remove() {
    this.deaf();
  }

  /** `grid`: of store.mjs, loaded or not. */
  show(grid) {
    if (this.grid === grid) return;
    this.deaf();
    Object.assign(this, { grid, isSized: false });
    this.deaf = grid.listen((number) => this.changed(number));
    if (grid.data) this.changed();
    else grid.load().catch((error) => (this.text.textContent = error.message));
  }

  changed(number) {
    // A node in a subgraph is not told when another graph is opened.
    if (this.isGone()) return this.remove();
    if (!this.grid.data) return;
    // The first picture tells how high cells are.
    if (number === undefined || !this.isSized) this.layOut();
    else for (const view of this.views.get(number) ?? []) this.refresh(view, this.grid.cell(number));
    const { done, total } = counted(this.grid);
    const running = this.grid.data.running ? ` · ${word("grid.running")}` : "";
    this.text.textContent = `${word("grid.count", { done, total })}${running}`;
    this.text.title = this.grid.data.summary;
    this.button.disabled = false;
  }

  layOut() {
    const places = new Places(this.grid.data);
    const { columns, rows, page } = laidOut(places, usualRoles(this.grid.data), {});
    this.views = new Map();
    const made = [];
    for (const row of rows.slice(0, Math.max(1, Math.floor(MOST / Math.max(1, columns.length))))) {
      for (const column of columns) {
        const cell = places.find({ ...page, ...column, ...row });
        made.push(cell ? this.viewOf(cell) : el("div"));
      }
    }
    const size = this.grid.data.cells.find((cell) => cell.pictures.length)?.pictures[0].size ?? [1, 1];
    const counts = { columns: Math.max(1, columns.length), rows: Math.max(1, made.length / columns.length) };
    for (const [name, value] of Object.entries({ ...counts, ratio: size[0] / size[1] })) {
      this.table.style.setProperty(`--danlu-${name}`, value);
    }
    this.isSized = this.grid.data.cells.some((cell) => cell.pictures.length);
    this.table.replaceChildren(...made);
  }

  viewOf(cell) {
    const view = el("div", { class: "danlu-grid-dot" }, el("img", { alt: "", draggable: false, decoding: "async" }));
    this.views.set(cell.n, [...(this.views.get(cell.n) ?? []), view]);
    this.refresh(view, cell);
    return view;
  }

  refresh(view, cell) {
    view.dataset.state = cell.state;
    view.dataset.n = cell.n;
    view.title = [cellName(cell), cell.state === "failed" ? cell.why : ""].filter(Boolean).join("\n");
    const address = cell.pictures.length ? smallUrl(this.grid, cell, SIDE) : "";
    const image = view.firstChild;
    if (image.dataset.address === address) return;
    image.dataset.address = address;
    if (address) image.src = address;
    else image.removeAttribute("src");
  }

  /** The page, at the cell that was pressed. */
  async open(target) {
    if (!this.grid?.data) return;
    const number = target?.closest?.(".danlu-grid-dot")?.dataset.n;
    try {
      const { openGrid } = await import("./view.mjs");
      await openGrid(this.grid.id, number === undefined ? undefined : Number(number));
    } catch (error) {
      say("error", error.message);
    }
  }
}
