// Curves on a canvas: a few or many, of thousands of points, in the colours of the host's theme.
import { drawChart, FONT, inks, PAD } from "./drawing.mjs";
import { height, nearest, scale, shown, width } from "./scales.mjs";

/** Colours of curves, told apart on light and dark ground. */
export const COLOURS = ["#e0662f", "#3b8ee0", "#2fa866", "#b65cd6", "#c79a1b", "#d94f7c", "#1fa3a8", "#8a7a6a"];

const LEGEND = 20;
const LEAST_DRAG = 8;
const charts = new Set();
// The host sets its theme on the page's root.
const themes = new MutationObserver(() => charts.forEach((chart) => chart.changed()));

class Chart {
  /** How often it was drawn. */
  drawn = 0;
  #view = { series: [], marks: [] };
  #options;
  #canvas;
  #asked = 0;
  #frame;
  #cursor;
  #zoom;
  #drag;
  #sizes;
  #stale = true;

  constructor(canvas, options) {
    this.#canvas = canvas;
    this.#options = options;
    canvas.classList.add("danlu-chart");
    // Out of the flow: a canvas's own size can never push what it is in.
    Object.assign(canvas.style, { position: "absolute", inset: "0", width: "100%", height: "100%" });
    canvas.tabIndex = 0;
    this.#sizes = new ResizeObserver(() => this.changed());
    this.#sizes.observe(canvas);
    this.#listen(canvas);
    if (!charts.size) themes.observe(document.documentElement, { attributeFilter: ["class", "style"] });
    charts.add(this);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", options.label ?? "");
  }

  /** All there is to see, instead of what was there; the points may be added to later, see `changed`. */
  show({ series, marks = [] }) {
    this.#view = { series, marks };
    this.changed();
  }

  set(options) {
    this.#options = { ...this.#options, ...options };
    this.changed();
  }

  /** Draws with the next frame of the page. */
  changed() {
    this.#stale = true;
    this.#again();
  }

  #again() {
    this.#asked ||= requestAnimationFrame(() => this.#draw());
  }

  close() {
    cancelAnimationFrame(this.#asked);
    this.#asked = -1;
    this.#sizes.disconnect();
    charts.delete(this);
    if (!charts.size) themes.disconnect();
  }

  #measure(pen, wide, high) {
    const { series } = this.#view;
    const { log = false, legend = false, fit = false } = this.#options;
    const all = width(series) ?? [0, 1];
    const xs = this.#zoom ?? (all[0] === all[1] ? [all[0] - 1, all[1] + 1] : all);
    const top = PAD.top + (legend ? LEGEND : 0);
    const bottom = high - PAD.bottom;
    const y = scale(...height(series, xs, log, fit), bottom, top, log);
    const left = 12 + Math.max(28, ...y.ticks(6).map((value) => pen.measureText(shown(value)).width));
    const box = { left, right: wide - PAD.right, top, bottom };
    return { box, y, x: scale(...xs, box.left, box.right) };
  }

  #draw() {
    this.#asked = 0;
    const canvas = this.#canvas;
    const [wide, high] = [canvas.clientWidth, canvas.clientHeight];
    if (wide < 60 || high < 50) return;
    // A node that is zoomed in is drawn as sharp as it is seen.
    const zoom = Math.min(3, Math.max(1, canvas.getBoundingClientRect().width / wide));
    const ratio = (window.devicePixelRatio || 1) * zoom;
    const pixels = [Math.round(wide * ratio), Math.round(high * ratio)];
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = FONT;
    if (this.#stale) this.#frame = this.#measure(pen, wide, high);
    this.#stale = false;
    const now = { cursor: this.#snapped(this.#cursor), drag: this.#drag };
    drawChart(pen, this.#frame, inks(canvas), this.#view, this.#options, [wide, high], now);
    this.drawn += 1;
  }

  /** The x of a point next to `x`, of whatever curve. */
  #snapped(x) {
    if (x === undefined) return undefined;
    const all = this.#view.series.filter(({ points }) => points.length);
    const found = all.map(({ points }) => points[nearest(points, x)][0]);
    const inside = found.filter((each) => each >= this.#frame.x.low && each <= this.#frame.x.high);
    return inside.sort((a, b) => Math.abs(a - x) - Math.abs(b - x))[0];
  }

  /** The mouse in the canvas's own pixels, however it is scaled. */
  #place(event) {
    const seen = this.#canvas.getBoundingClientRect();
    return ((event.clientX - seen.left) * this.#canvas.clientWidth) / seen.width;
  }

  #listen(canvas) {
    canvas.addEventListener("pointermove", (event) => {
      if (!this.#frame) return;
      const at = this.#place(event);
      const { box, x } = this.#frame;
      this.#cursor = at < box.left - 4 || at > box.right + 4 ? undefined : x.value(at);
      if (this.#drag) this.#drag[1] = Math.min(box.right, Math.max(box.left, at));
      this.#again();
    });
    canvas.addEventListener("pointerleave", () => this.#point(undefined));
    canvas.addEventListener("blur", () => this.#point(undefined));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    if (this.#options.zoom) this.#listenToDrags(canvas);
  }

  /** Drag over steps to see them alone; twice clicked, or Home: all of them. */
  #listenToDrags(canvas) {
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.#frame || event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.#drag = [this.#place(event), this.#place(event)];
    });
    canvas.addEventListener("pointerup", () => {
      const drag = this.#drag?.sort((a, b) => a - b);
      this.#drag = undefined;
      if (drag && drag[1] - drag[0] >= LEAST_DRAG) this.#zoom = drag.map((each) => this.#frame.x.value(each));
      this.changed();
    });
    canvas.addEventListener("pointercancel", () => {
      this.#drag = undefined;
      this.#again();
    });
    canvas.addEventListener("dblclick", () => this.#whole());
  }

  #whole() {
    this.#zoom = undefined;
    this.changed();
  }

  #point(x) {
    this.#cursor = x;
    this.#again();
  }

  #key(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Home" && this.#options.zoom) return this.#whole();
    if (!way || !this.#frame) return;
    event.preventDefault();
    event.stopPropagation();
    const { low, high } = this.#frame.x;
    const step = Math.max(1, (high - low) / 100) * way;
    this.#point(Math.min(high, Math.max(low, (this.#cursor ?? (way > 0 ? low : high)) + step)));
  }
}

/**
 * Curves on `canvas`, which comes to fill its parent; that one is to have a size and `position: relative`.
 *
 * `options`, which `set` changes: `log` (y by powers of ten), `fit` (y not from 0 on), `legend`, `zoom` (by dragging),
 * `xName` ("step"), `empty` (what is said where there is no point), `label` (for screen readers).
 * `show({ series, marks })`: `series` of { name, colour, points: [[x, y], …] by x, dashed (true, or lengths), alpha,
 * width, dots, loose }; of a loose one single peaks are cut off. `marks` of { x, text, colour }: small triangles on the
 * axis. A colour is CSS's or the name of a variable ("--danlu-accent"). What was added to the same arrays is drawn after
 * `changed()`; `close()` when the canvas goes.
 */
export function makeChart(canvas, options = {}) {
  return new Chart(canvas, options);
}
