// The curves of several runs over each other.
import { api } from "../../../scripts/api.js";
import { COLOURS, makeChart } from "../parts/chart.mjs";
import { openDialog } from "../parts/dialog.mjs";
import { button, el } from "../parts/dom.mjs";
import { say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { runOf } from "../train/runs.mjs";

const AGAIN = 5000;
/** A run has one colour, so that its curves differ in their lines; the buttons show them, see runs.css. */
const LOOKS = {
  average: { width: 2 },
  steps: { width: 1, alpha: 0.3, loose: true },
  held_out: { width: 2, dots: true, dashed: [8, 5] },
  trained: { dots: true, dashed: [2, 4] },
};
const POINTS = {
  average: (run) => run.averages,
  steps: (run) => run.losses,
  held_out: (run) => run.validation.held_out,
  trained: (run) => run.validation.trained,
};
const said = (kind) => word(`runs.kind.${kind}`);

/** Runs of one name are told apart by their ids. */
function names(runs) {
  const shown = runs.map(({ name }) => name);
  const isTwice = (name) => shown.indexOf(name) !== shown.lastIndexOf(name);
  return runs.map(({ name, id }) => (isTwice(name) ? `${name} (${id.slice(0, 8)})` : name));
}

class Curves {
  constructor(runs) {
    this.shown = new Set(["average", "held_out"]);
    this.hidden = new Set();
    this.names = names(runs);
    this.runs = runs.map(({ id }) => runOf(id));
    const title = word("runs.curves_of", { count: runs.length });
    const { bar, body } = openDialog({ title, onClose: () => this.close() });
    const canvas = el("canvas");
    this.log = button(word("train.log"), () => this.#press(this.log, "log"), {
      "aria-pressed": "false",
      class: "danlu-runs-scale",
    });
    const kinds = Object.keys(LOOKS).map((kind) => this.#kind(kind));
    for (const each of [...kinds, this.log]) bar.insertBefore(each, bar.lastChild);
    body.classList.add("danlu-runs-compare");
    body.append(el("div", { class: "danlu-runs-chart" }, canvas), this.#legend());
    const words = { xName: word("train.step"), empty: word("runs.loading"), label: title };
    this.chart = makeChart(canvas, { ...words, zoom: true, fit: true });
    this.heard = ({ detail }) => this.#later(detail.run);
    for (const event of ["danlu.step", "danlu.checkpoint"]) api.addEventListener(event, this.heard);
    this.#load(this.runs);
  }

  #kind(kind) {
    const pressed = () => this.#press(made, kind);
    const props = { "aria-pressed": this.shown.has(kind), dataset: { kind } };
    const made = button(said(kind), pressed, { ...props, class: "danlu-runs-kind" });
    return made;
  }

  #press(made, what) {
    const now = !this.shown.delete(what);
    if (now) this.shown.add(what);
    made.setAttribute("aria-pressed", now);
    if (what === "log") this.chart.set({ log: now });
    this.draw();
  }

  #legend() {
    const line = (run, i) => {
      const pressed = () => {
        if (!this.hidden.delete(run)) this.hidden.add(run);
        made.setAttribute("aria-pressed", !this.hidden.has(run));
        this.draw();
      };
      const mark = el("span", { class: "danlu-runs-mark", style: { background: COLOURS[i % COLOURS.length] } });
      const made = button("", pressed, { "aria-pressed": "true" });
      made.append(mark, this.names[i]);
      return made;
    };
    return el("div", { class: "danlu-runs-legend", role: "group" }, this.runs.map(line));
  }

  async #load(runs) {
    const told = await Promise.allSettled(runs.map((run) => run.load()));
    this.chart.set({ empty: word("train.no_step") });
    this.draw();
    const failed = told.find(({ status }) => status === "rejected");
    if (failed) say("error", failed.reason.message);
  }

  /** A run that is trained is read again every now and then. */
  #later(id) {
    const run = this.runs.find((each) => each.id === id);
    if (!run || this.waiting) return;
    this.waiting = setTimeout(async () => {
      await this.#load([run]);
      this.waiting = undefined;
    }, AGAIN);
  }

  draw() {
    const series = this.runs.flatMap((run, i) => {
      if (this.hidden.has(run)) return [];
      const colour = COLOURS[i % COLOURS.length];
      const kinds = Object.keys(LOOKS).filter((kind) => this.shown.has(kind));
      return kinds.map((kind) => {
        const name = `${this.names[i]} · ${said(kind)}`;
        return { ...LOOKS[kind], name, points: POINTS[kind](run), colour };
      });
    });
    this.chart.show({ series: series.filter(({ points }) => points.length) });
  }

  close() {
    clearTimeout(this.waiting);
    for (const event of ["danlu.step", "danlu.checkpoint"]) api.removeEventListener(event, this.heard);
    this.chart.close();
  }
}

/** `runs`: lines of the list. */
export const openCurves = (runs) => new Curves(runs);
