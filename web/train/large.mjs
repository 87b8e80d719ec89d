// The curves of a run over the whole page.
import { makeChart } from "../parts/chart.mjs";
import { openDialog } from "../parts/dialog.mjs";
import { button, el } from "../parts/dom.mjs";
import { word } from "../parts/words.mjs";
import { chartOptions, curvesOf } from "./curves.mjs";
import { makeNumbers } from "./numbers.mjs";

export function openLarge(run) {
  const numbers = makeNumbers();
  const canvas = el("canvas");
  let log = false;
  const onClose = () => {
    unheard();
    chart.close();
  };
  const { bar, body } = openDialog({ title: run.name || word("train.chart"), onClose });
  const toggle = button(word("train.log"), () => {
    log = !log;
    toggle.setAttribute("aria-pressed", log);
    chart.set({ log });
  }, { "aria-pressed": "false" });
  bar.insertBefore(toggle, bar.lastChild);
  body.classList.add("danlu-train", "danlu-train-large");
  body.append(el("div", { class: "danlu-train-chart" }, canvas), numbers.list, ...noted(run));
  const chart = makeChart(canvas, { ...chartOptions(), zoom: true });
  const changed = () => {
    chart.show(curvesOf(run));
    numbers.show(run);
  };
  const unheard = run.listen(changed);
  changed();
}

/** What was changed in the middle of the run. */
function noted({ notes }) {
  if (!notes.length) return [];
  const lines = notes.map(({ after, note }) => el("li", { text: `${after ?? ""}: ${note}` }));
  return [el("ul", { class: "danlu-train-notes danlu-dim" }, lines)];
}
