// What a node shows of the run that it trains: chart, numbers, the newest test picture, and what the trainer says.
import { makeChart } from "../parts/chart.mjs";
import { button, el, style } from "../parts/dom.mjs";
import { addPanel, executionId, onRemoved } from "../parts/graph.mjs";
import { word } from "../parts/words.mjs";
import { chartOptions, curvesOf } from "./curves.mjs";
import { makeNumbers } from "./numbers.mjs";

// The host writes a node's lines into a widget of this name: here they have their place beside the chart.
const LINES = "$$node-text-preview";
const STEP_LINE = /^step [\d,]+ \/ [\d,]+ · /;
const HEIGHT = 360;
const LEAST_WIDTH = 320;

const panels = new WeakMap();

style(new URL("train.css", import.meta.url));

/** The wheel zooms the graph, as it does beside the panel, but scrolls what can be scrolled. */
function letWheelThrough(event, app) {
  if (LiteGraph.vueNodesMode) return;
  const text = event.target.closest(".danlu-train-text");
  if (text && text.scrollHeight > text.clientHeight) return event.stopPropagation();
  event.preventDefault();
  app.canvas.processMouseWheel(event);
}

class Panel {
  #chart;
  #numbers = makeNumbers();
  #unheard = () => {};
  #lines = "";

  constructor(node, app) {
    this.node = node;
    this.run = undefined;
    this.#build(app);
    const before = node.widgets?.find(({ name }) => name === LINES);
    if (before) {
      this.#lines = String(before.value ?? "");
      node.removeWidget(before);
    }
    const value = { getValue: () => this.#lines, setValue: (text) => this.say(text) };
    this.element = addPanel(node, LINES, this.root, HEIGHT, value);
    this.say(this.#lines);
    const [width, height] = node.size;
    node.setSize([Math.max(width, LEAST_WIDTH), Math.max(height, node.computeSize()[1])]);
    onRemoved(node, () => this.close());
  }

  #build(app) {
    const canvas = el("canvas");
    this.name = el("span", { class: "danlu-train-name" });
    this.state = el("span", { class: "danlu-dim" });
    const larger = button("⤢", () => this.enlarge(), { title: word("train.large"), "aria-label": word("train.large") });
    const head = el("div", { class: "danlu-train-head" }, this.name, this.state, larger);
    this.picture = el("figure", { class: "danlu-train-picture", hidden: true }, el("img"), el("figcaption"));
    const chart = el("div", { class: "danlu-train-chart", on: { dblclick: () => this.enlarge() } }, canvas);
    this.text = el("div", { class: "danlu-train-text", tabIndex: 0, hidden: true });
    const middle = el("div", { class: "danlu-train-middle" }, chart, this.picture);
    const parts = [head, middle, this.#numbers.list, this.text];
    this.root = el("div", { class: "danlu-train", role: "group", "aria-label": word("train.panel") }, ...parts);
    this.root.addEventListener("wheel", (event) => letWheelThrough(event, app), { passive: false });
    this.#chart = makeChart(canvas, chartOptions());
  }

  /** Of `run` from now on. */
  show(run) {
    if (this.run === run) return;
    this.#unheard();
    this.run = run;
    this.#unheard = run.listen(() => this.#changed());
    this.#changed();
  }

  #changed() {
    // A node in a subgraph is not told when another graph is opened.
    if (executionId(this.node) === undefined) return this.close();
    const { run } = this;
    this.name.textContent = this.name.title = run.name;
    this.state.textContent = run.live ? word("train.live") : "";
    this.root.classList.toggle("danlu-train-live", run.live);
    this.#chart.show(curvesOf(run));
    this.#numbers.show(run);
  }

  /** How often the chart was drawn, and of how many points. */
  get drawn() {
    return { times: this.#chart.drawn, points: this.run?.losses.length ?? 0, heard: this.run?.heard ?? 0 };
  }

  /** What the trainer says; its lines of numbers are in the panel already. */
  say(text) {
    this.#lines = String(text ?? "");
    if (STEP_LINE.test(this.#lines)) return;
    this.text.textContent = this.#lines;
    this.text.hidden = !this.#lines;
  }

  /** The newest test picture. */
  see(address, label) {
    const [img, caption] = this.picture.children;
    this.picture.hidden = false;
    img.src = address;
    img.alt = caption.textContent = label;
  }

  async enlarge() {
    if (!this.run) return;
    const { openLarge } = await import("./large.mjs");
    openLarge(this.run);
  }

  close() {
    panels.delete(this.node);
    this.#unheard();
    this.#chart.close();
  }
}

export const panelOf = (node) => panels.get(node);

export function makePanel(node, app) {
  if (!panels.has(node)) panels.set(node, new Panel(node, app));
  return panels.get(node);
}
