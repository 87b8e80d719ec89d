// Two cells on top of each other: a slider between them, side by side, or their difference.
import { openDialog } from "../parts/dialog.mjs";
import { button, el } from "../parts/dom.mjs";
import { word } from "../parts/words.mjs";
import { Zoom, ZoomWindow } from "../parts/zoom.mjs";
import { cellName } from "./names.mjs";
import { wholeUrl } from "./pictures.mjs";

const MODES = ["slider", "beside", "difference"];
const STEP = 2;

/** A picture with the name of its cell on it: at a corner of what is seen of the picture, whatever the zoom. */
class Side extends ZoomWindow {
  constructor(zoom, more) {
    super(zoom, more);
    this.name = el("span", { class: "danlu-grid-side" });
    this.element.append(this.name);
  }

  place() {
    super.place();
    if (!this.size) return;
    const [left, top] = this.drawn().at.map((place) => Math.max(0, place));
    this.name.style.setProperty("--danlu-across", `${left}px`);
    this.name.style.setProperty("--danlu-down", `${top}px`);
  }
}

class Comparison {
  constructor(grid, [a, b]) {
    Object.assign(this, { grid, cells: [a, b], mode: "slider", split: 50 });
    this.zoom = new Zoom();
    const drags = () => this.zoom.scale > 0 || this.mode !== "slider";
    this.windows = [0, 1].map(() => new Side(this.zoom, { drags, clicked: (event) => this.slideTo(event) }));
    const paneOf = ({ element }, k) => el("div", { class: `danlu-grid-pane danlu-grid-${"ab"[k]}` }, element);
    this.panes = this.windows.map(paneOf);
    const keys = { "aria-label": word("grid.slider"), "aria-valuemin": 0, "aria-valuemax": 100 };
    this.handle = el("div", { class: "danlu-grid-handle", role: "slider", tabIndex: 0, ...keys });
    this.handle.addEventListener("pointerdown", (event) => this.grabbed(event));
    this.stage = el("div", { class: "danlu-grid-stage danlu-grid-compare" }, ...this.panes, this.handle);
    this.sized = new ResizeObserver(() => this.placed());
    this.sized.observe(this.stage);
  }

  /** Choosers of both cells, and of the mode. */
  tools() {
    this.choosers = [0, 1].map((k) => this.chooser(k));
    const swap = button("⇄", () => this.swap(), { title: word("grid.swap_ab"), "aria-label": word("grid.swap_ab") });
    this.modes = MODES.map((mode) => button(word(`grid.mode.${mode}`), () => this.become(mode)));
    const letters = ["A", "B"].map((text) => el("b", { text }));
    const [a, b] = this.choosers;
    return [letters[0], a, swap, letters[1], b, el("span", { class: "danlu-grid-space" }), ...this.modes];
  }

  chooser(k) {
    const heard = { change: (event) => this.put(k, this.grid.cell(Number(event.target.value))) };
    const label = word("grid.choose", { side: "AB"[k] });
    return el("select", { class: "danlu-input danlu-grid-chooser", "aria-label": label, on: heard });
  }

  put(k, cell) {
    this.cells[k] = cell;
    this.show();
  }

  swap() {
    this.cells.reverse();
    this.show();
  }

  become(mode) {
    this.mode = mode;
    this.show();
  }

  show() {
    this.stage.dataset.mode = this.mode;
    this.modes.forEach((each, k) => each.setAttribute("aria-pressed", MODES[k] === this.mode));
    const done = this.grid.data.cells.filter((cell) => cell.pictures.length);
    this.cells.forEach((cell, k) => {
      const choices = done.map((each) => el("option", { value: each.n, text: cellName(each) }));
      this.choosers[k].replaceChildren(...choices);
      this.choosers[k].value = cell.n;
      this.windows[k].name.textContent = `${"AB"[k]}: ${cellName(cell)}`;
      this.windows[k].image.src = wholeUrl(cell.pictures[0]);
      this.windows[k].show(cell.pictures[0].size);
    });
    this.placed();
  }

  placed() {
    const clip = this.mode === "slider" ? `inset(0 0 0 ${this.split}%)` : "none";
    this.panes[1].style.clipPath = clip;
    this.handle.style.left = `${this.split}%`;
    this.handle.setAttribute("aria-valuenow", Math.round(this.split));
    for (const window of this.windows) window.place();
  }

  slide(to) {
    this.split = Math.min(100, Math.max(0, to));
    this.placed();
  }

  slideTo(event) {
    if (this.mode !== "slider") return;
    const { left, width } = this.stage.getBoundingClientRect();
    this.slide(((event.clientX - left) / width) * 100);
  }

  grabbed(event) {
    event.preventDefault();
    this.handle.focus();
    this.handle.setPointerCapture(event.pointerId);
    const move = (now) => this.slideTo(now);
    this.handle.addEventListener("pointermove", move);
    this.handle.addEventListener("lostpointercapture", () => this.handle.removeEventListener("pointermove", move), {
      once: true,
    });
  }

  /** The next picture for a side. */
  next(k, step) {
    const done = this.grid.data.cells.filter((cell) => cell.pictures.length);
    const from = done.findIndex((cell) => cell.n === this.cells[k].n);
    this.put(k, done[(from + step + done.length) % done.length]);
  }

  key(event) {
    const slides = { ArrowLeft: -STEP, ArrowRight: STEP, Home: -100, End: 100 }[event.key];
    const next = { "[": [0, -1], "]": [0, 1], "{": [1, -1], "}": [1, 1] }[event.key];
    if (slides && this.mode === "slider" && !event.shiftKey) this.slide(this.split + slides);
    else if (next) this.next(...next);
    else if (event.key === "m") this.become(MODES[(MODES.indexOf(this.mode) + 1) % MODES.length]);
    else if (event.key === "x") this.swap();
    else return this.zoom.key(event);
    return true;
  }
}

/** `pair`: two cells that are there. */
export function openCompare(grid, pair) {
  const comparison = new Comparison(grid, pair);
  const page = openDialog({ title: word("grid.compare"), onClose: () => comparison.sized.disconnect() });
  page.body.classList.add("danlu-grid-body");
  const tools = el("div", { class: "danlu-grid-ways" }, ...comparison.tools());
  const hint = el("div", { class: "danlu-dim danlu-grid-foot", text: word("grid.compare.hint") });
  page.body.append(tools, comparison.stage, hint);
  page.dialog.addEventListener("keydown", (event) => {
    if (/^(SELECT|INPUT)$/.test(event.target.tagName)) return;
    if (comparison.key(event)) event.preventDefault();
  });
  comparison.show();
  comparison.handle.focus();
  return page;
}
