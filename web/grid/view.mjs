// The page of a grid: the table, what stands on which side of it, and what can be done with a cell.
import { openDialog } from "../parts/dialog.mjs";
import { button, el } from "../parts/dom.mjs";
import { get } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { Zoom } from "../parts/zoom.mjs";
import { canKeep, keep, loadWorkflow, openPicture, pin, savePicture } from "./actions.mjs";
import { laidOut, Places, swapped, usualRoles } from "./axes.mjs";
import { openCompare } from "./compare.mjs";
import { axisName, cellName, valueName } from "./names.mjs";
import { openSingle } from "./single.mjs";
import { counted, loaded } from "./store.mjs";
import { LARGEST, SMALLEST, Table } from "./table.mjs";

const ROLES = ["columns", "rows", "page"];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class View {
  constructor() {
    Object.assign(this, { pair: [undefined, undefined], pages: {}, onlyPinned: false, deaf: () => {} });
    this.zoom = new Zoom();
    this.fit = button(word("grid.fit"), () => this.zoom.fit());
    this.full = button("100 %", () => this.zoom.full());
    this.zoom.listen(() => this.markZoom());
    this.markZoom();
    const signs = (cell) => this.signs(cell);
    const opened = (view) => this.single(view.at);
    this.table = new Table({ zoom: this.zoom, opened, focused: () => this.showFoot(), signs });
    this.page = openDialog({ title: word("grid.title"), onClose: () => this.closed() });
    this.tools = el("div", { class: "danlu-grid-tools" });
    this.foot = el("div", { class: "danlu-grid-foot" });
    this.page.body.classList.add("danlu-grid-body");
    this.page.body.append(this.tools, this.table.element, this.foot);
    this.page.dialog.addEventListener("keydown", (event) => this.key(event));
    this.heading = this.page.bar.querySelector("h2");
    this.grids = el("select", {
      class: "danlu-input danlu-grid-chooser",
      "aria-label": word("grid.others"),
      title: word("grid.others"),
      on: { change: (event) => this.open(event.target.value) },
    });
    this.heading.after(this.grids);
  }

  closed() {
    this.asked = undefined;
    this.deaf();
    this.table.remove();
  }

  /** Shows a grid; the one before is forgotten. */
  async open(id, number) {
    const asked = (this.asked = {});
    try {
      const grid = await loaded(id);
      if (this.asked !== asked) return; // closed, or another one was chosen
      this.deaf();
      Object.assign(this, { grid, pair: [undefined, undefined], pages: {}, roles: usualRoles(grid.data) });
      this.deaf = grid.listen((changed) => this.changed(changed));
      this.layOut();
      const found = this.table.views.find((view) => view.cell.n === number) ?? this.table.views[0];
      if (found) this.table.focus(found);
      await this.listGrids();
    } catch (error) {
      this.table.table.replaceChildren(el("p", { class: "danlu-bad", text: error.message }));
    }
  }

  async listGrids() {
    const { grids } = await get("grids");
    const when = (grid) => new Date(grid.begun * 1000).toLocaleString();
    const all = grids.map((grid) => el("option", { value: grid.id, text: `${grid.name} · ${when(grid)}` }));
    this.grids.replaceChildren(...all);
    this.grids.value = this.grid.id;
  }

  /** `number`: of the cell that changed; without one, everything may be another. */
  changed(number) {
    const isShown = this.table.views.some((view) => view.cell.n === number);
    if (number === undefined || (this.onlyPinned && !isShown)) return this.layOut();
    this.table.refresh(number);
    this.showHeading();
    if (this.table.current?.cell.n === number) this.showFoot();
  }

  layOut() {
    const { data } = this.grid;
    this.places = new Places(data);
    const wanted = (cell) => !this.onlyPinned || cell.pinned;
    this.layout = laidOut(this.places, this.roles, this.pages, wanted);
    this.table.show(this.grid, this.places, this.layout);
    this.showTools();
    this.showHeading();
    if (!this.table.views.length) this.foot.replaceChildren(el("span", { text: word("grid.nothing") }));
  }

  showHeading() {
    const { done, total } = counted(this.grid);
    const state = this.grid.data.running ? word("grid.running") : "";
    const parts = [this.grid.data.name, word("grid.count", { done, total }), state];
    this.heading.textContent = parts.filter(Boolean).join(" · ");
  }

  showTools() {
    const zooms = [
      button("−", () => this.zoom.by(-1), { title: word("grid.smaller"), "aria-label": word("grid.smaller") }),
      this.fit,
      this.full,
      button("+", () => this.zoom.by(1), { title: word("grid.larger"), "aria-label": word("grid.larger") }),
    ];
    const size = el("input", {
      type: "range",
      min: SMALLEST,
      max: LARGEST,
      value: this.table.width ?? SMALLEST,
      title: word("grid.size"),
      "aria-label": word("grid.size"),
      on: { input: (event) => this.table.resize(Number(event.target.value)) },
    });
    const pinned = button(word("grid.only_pinned"), () => this.togglePinned(), { "aria-pressed": this.onlyPinned });
    const swap = button(word("grid.swap"), () => this.swap(), { title: word("grid.swap.tip") });
    const space = el("span", { class: "danlu-grid-space" });
    const roles = this.places.axes.map((axis) => this.roleTool(axis));
    this.tools.replaceChildren(...roles, swap, space, size, ...zooms, pinned);
  }

  /** Which of the two usual sizes the pictures have, if it is one of them. */
  markZoom() {
    this.fit.setAttribute("aria-pressed", this.zoom.isFit());
    this.full.setAttribute("aria-pressed", this.zoom.isFull());
  }

  roleTool(axis) {
    const role = this.roles[axis.name];
    const choices = ROLES.map((each) => el("option", { value: each, text: word(`grid.role.${each}`) }));
    const heard = (event) => this.give(axis.name, event.target.value);
    const select = el("select", { class: "danlu-input", on: { change: heard } }, ...choices);
    select.value = role;
    const label = el("label", { class: "danlu-grid-role" }, el("span", { text: axisName(axis.name) }), select);
    if (role === "page") label.append(this.pageTool(axis));
    return label;
  }

  /** Chooses which of an axis' values is shown. */
  pageTool(axis) {
    const values = axis.values.map((value, place) => el("option", { value: place, text: valueName(axis.name, value) }));
    const turned = (event) => {
      this.pages[axis.name] = axis.values[event.target.value];
      this.layOut();
    };
    const label = word("grid.page", { axis: axisName(axis.name) });
    const select = el("select", { class: "danlu-input danlu-grid-page", "aria-label": label, on: { change: turned } });
    select.append(...values);
    select.value = axis.values.indexOf(this.layout.page[axis.name]);
    return select;
  }

  give(axis, role) {
    this.roles[axis] = role;
    this.layOut();
  }

  swap() {
    this.roles = swapped(this.roles);
    this.layOut();
  }

  togglePinned() {
    this.onlyPinned = !this.onlyPinned;
    this.layOut();
  }

  // A cell

  signs(cell) {
    const letters = ["A", "B"].filter((_, k) => this.pair[k] === cell.n);
    return [...letters, ...(cell.pinned ? ["★"] : []), ...(cell.kept ? ["✓"] : [])];
  }

  get cell() {
    return this.table.current?.cell;
  }

  showFoot() {
    const { cell } = this;
    const full = button(word("grid.full"), () => this.single(this.table.current.at), { class: "danlu-main" });
    const more = [full];
    for (const k of [0, 1]) {
      const side = "AB"[k];
      const title = word("grid.choose", { side });
      more.push(button(side, () => this.choose(k), { title, "aria-pressed": this.pair[k] === cell.n }));
    }
    const ready = this.pair.every((n) => this.grid.cell(n)?.pictures.length);
    const how = { disabled: !ready, title: word("grid.compare.how") };
    more.push(button(word("grid.compare"), () => this.compare(), how));
    this.foot.replaceChildren(...this.about(cell), ...more, ...this.actions(cell));
  }

  /** What the foot says of a cell. */
  about(cell) {
    const name = cellName(cell);
    const why = cell.state === "failed" ? cell.why : cell.state === "done" ? "" : word(`grid.state.${cell.state}`);
    const kept = cell.kept && word("grid.kept", { name: cell.kept });
    const text = [cell.caption, why, kept].filter(Boolean).join(" · ");
    return [
      el("span", { class: "danlu-grid-about", title: name }, el("b", { text: name }), el("span", { text: ` ${text}` })),
    ];
  }

  actions(cell) {
    const disabled = !cell.pictures.length;
    const close = () => {
      this.inner?.close();
      this.page.close();
    };
    const pins = word(cell.pinned ? "grid.unpin" : "grid.pin");
    const keeps = { disabled: !canKeep(cell), title: word("grid.keep.tip") };
    return [
      button(pins, () => pin(this.grid, cell), { "aria-pressed": cell.pinned }),
      button(word("grid.open"), () => openPicture(cell), { disabled, title: word("grid.open.tip") }),
      button(word("grid.save"), () => savePicture(cell), { disabled, title: word("grid.save.tip") }),
      button(word("grid.workflow"), () => loadWorkflow(cell, close), { disabled, title: word("grid.workflow.tip") }),
      button(word("grid.keep"), () => keep(this.grid, cell), keeps),
    ];
  }

  /** Takes the cell as A or B. */
  choose(k, cell = this.cell) {
    const before = this.pair[k];
    this.pair[k] = cell.n;
    for (const n of [before, cell.n]) if (n !== undefined) this.table.refresh(n);
    this.showFoot();
  }

  compare() {
    const pair = this.pair.map((n) => this.grid.cell(n));
    if (pair.every((cell) => cell?.pictures.length)) openCompare(this.grid, pair);
  }

  single(at) {
    this.inner = openSingle({
      grid: this.grid,
      places: () => this.places,
      roles: this.roles,
      at,
      footer: (cell) => [...this.about(cell), ...this.actions(cell)],
      key: (event, cell) => this.act(event.key, cell),
      closed: (last) => this.returned(last),
    });
  }

  returned(at) {
    this.inner = undefined;
    const cell = this.places.find(at);
    const view = this.table.views.find((each) => each.cell === cell);
    if (view) this.table.focus(view);
  }

  // Keys

  key(event) {
    if (/^(SELECT|INPUT)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    const inTable = event.target.classList.contains("danlu-grid-cell");
    if (arrow && event.shiftKey) this.zoom.pan(arrow[0] * 60, arrow[1] * 60);
    else if (arrow && inTable) this.table.move(...arrow);
    else if (event.key === "Enter" && inTable) this.single(this.table.current.at);
    else if (event.key === "x") this.swap();
    else if (!this.zoom.key(event, false) && !(this.cell && this.act(event.key, this.cell))) return;
    event.preventDefault();
  }

  /** A letter; returns whether it means anything. */
  act(key, cell) {
    const there = cell.pictures.length > 0;
    const acts = {
      a: () => this.choose(0, cell),
      b: () => this.choose(1, cell),
      c: () => this.compare(),
      p: () => pin(this.grid, cell),
      k: () => keep(this.grid, cell),
      o: () => there && openPicture(cell),
      s: () => there && savePicture(cell),
    };
    acts[key]?.();
    return key in acts;
  }
}

/** Opens the page of a grid; `number`: of the cell that keys are for. */
export async function openGrid(id, number) {
  const view = new View();
  await view.open(id, number);
  return view;
}
