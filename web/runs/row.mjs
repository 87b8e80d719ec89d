// One run of the list: made once and changed in place, so that hundreds of them cost nothing while one is trained.
import { button, el } from "../parts/dom.mjs";
import { word } from "../parts/words.mjs";
import { ago, bytes, number, sparkline, when } from "./shown.mjs";

const ENDING = /\.(safetensors|sft|gguf|ckpt|pth?|bin)$/;

/** What can be done with a run in this state: [name, whether it is offered now]. */
const actions = (run) => [
  ["resume", run.resumable && ["stopped", "failed"].includes(run.state)],
  ["load", true],
  ["curves", run.step > 0],
  ["export", run.state !== "running"],
  [run.pinned ? "unpin" : "pin", true],
  ["rename", run.state !== "running"],
  ["trash", run.state !== "running" && !run.pinned],
];

export class Row {
  /** `act(name, run, button)` does one of `actions`, or "choose" with the box that was ticked. */
  constructor(run, act) {
    this.act = act;
    this.box = el("input", { type: "checkbox", on: { change: () => act("choose", this.run, this.box) } });
    this.name = el("span", { class: "danlu-runs-name" });
    this.state = el("span", { class: "danlu-runs-state" });
    const opened = { click: () => this.open(this.more.hidden) };
    const head = { type: "button", class: "danlu-runs-open", "aria-expanded": "false", on: opened };
    this.head = el("button", head, this.name, this.state);
    this.curve = el("span");
    this.bar = el("div", { class: "danlu-runs-done" });
    this.far = el("div", { class: "danlu-runs-line" });
    this.about = el("div", { class: "danlu-runs-line danlu-dim" });
    this.more = el("div", { class: "danlu-runs-more", hidden: true });
    const top = el("div", { class: "danlu-runs-head" }, this.box, this.head, this.curve);
    const bar = el("div", { class: "danlu-runs-bar" }, this.bar);
    this.element = el("li", { class: "danlu-runs-row" }, top, bar, this.far, this.about, this.more);
    this.show(run);
  }

  /** Draws what has changed. */
  show(run) {
    const stamp = JSON.stringify(run) + ago(run.used);
    if (stamp === this.stamp) return;
    [this.run, this.stamp] = [run, stamp];
    this.element.dataset.run = run.id;
    this.element.dataset.state = run.state;
    this.name.textContent = run.name;
    this.head.title = `${run.name} · ${run.id}`;
    this.box.setAttribute("aria-label", word("runs.choose", { name: run.name }));
    const state = word(`runs.state.${run.state}`);
    this.state.textContent = run.pinned ? word("runs.pinned", { state }) : state;
    this.state.title = run.why;
    this.curve.replaceChildren(sparkline(run.curve));
    const share = run.steps ? Math.min(1, run.step / run.steps) : run.state === "finished" ? 1 : 0;
    this.bar.style.width = `${100 * share}%`;
    this.#showLines(run);
    if (!this.more.hidden) this.#showMore();
  }

  #showLines(run) {
    const step = number(run.step);
    const far = run.steps ? word("runs.step_of", { step, steps: number(run.steps) }) : word("runs.step", { step });
    this.far.replaceChildren(far);
    if (run.best !== null) {
      const best = word("runs.best", { step: number(run.best) });
      this.far.append(" · ", el("span", { class: "danlu-runs-best", text: best, title: word("runs.best_tooltip") }));
    }
    const pictures = run.pictures ? word("runs.pictures", { count: number(run.pictures) }) : "";
    const parts = [run.base.replace(ENDING, ""), run.dataset, pictures, bytes(run.size)].filter(Boolean);
    this.about.textContent = parts.join(" · ");
    this.about.append(" · ", el("span", { text: ago(run.used), title: when(run.used) }));
    this.about.title = [run.base, run.dataset].filter(Boolean).join("\n");
  }

  open(opened) {
    this.more.hidden = !opened;
    this.head.setAttribute("aria-expanded", opened);
    if (opened) this.#showMore();
  }

  #showMore() {
    const made = (name) => {
      const pressed = ({ currentTarget }) => this.act(name, this.run, currentTarget);
      return button(word(`runs.act.${name}`), pressed, { title: word(`runs.tip.${name}`), dataset: { act: name } });
    };
    const focused = this.more.contains(document.activeElement) && document.activeElement.dataset.act;
    const offered = actions(this.run).filter(([, now]) => now);
    const buttons = el("div", { class: "danlu-runs-actions" }, offered.map(([name]) => made(name)));
    const why = this.run.why && el("div", { class: "danlu-bad danlu-runs-why", text: this.run.why });
    this.more.replaceChildren(...[why, buttons].filter(Boolean));
    if (focused) buttons.querySelector(`[data-act="${focused}"], button`)?.focus();
  }

  choose(chosen) {
    this.box.checked = chosen;
  }
}
