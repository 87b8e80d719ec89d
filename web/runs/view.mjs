// The list of runs in the sidebar: found, sorted, chosen, and what is done with one.
import { api } from "../../../scripts/api.js";
import { button, el, style } from "../parts/dom.mjs";
import { get, say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { doing } from "./doing.mjs";
import { Row } from "./row.mjs";
import { bytes } from "./shown.mjs";

/** Milliseconds from one reading of the list to the next, whatever happens meanwhile. */
const AGAIN = 5000;
const NEW = ["danlu.run", "danlu.end", "danlu.checkpoint", "execution_interrupted", "execution_error", "reconnected"];
const SORTS = {
  used: (a, b) => b.used - a.used,
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  size: (a, b) => b.size - a.size,
  step: (a, b) => b.step - a.step,
};
/** What was looked for and chosen, for as long as the page lives: the host takes the tab down when another is shown. */
const kept = { search: "", sort: "used", chosen: new Set() };

class View {
  constructor(element) {
    this.rows = new Map();
    this.list = el("ul", { class: "danlu-runs-list", on: { keydown: (event) => this.#step(event) } });
    this.count = el("span", { class: "danlu-dim" });
    this.told = el("div", { role: "status", class: "danlu-runs-told" });
    this.trash = button("", () => this.act("open_trash"));
    this.curves = button("", () => this.act("compare"), { class: "danlu-main", dataset: { act: "compare" } });
    this.root = el("div", { class: "danlu-root danlu-runs" }, this.#top(), this.told, this.list);
    this.listeners = [...NEW.map((name) => [name, () => this.later()]), ["danlu.step", (event) => this.#live(event)]];
    for (const [name, heard] of this.listeners) api.addEventListener(name, heard);
    element.replaceChildren(this.root);
    this.#showChosen();
    this.refresh();
  }

  #top() {
    const found = ({ target }) => {
      kept[target.name] = target.value;
      this.arrange();
    };
    const said = { placeholder: word("runs.search"), "aria-label": word("runs.search") };
    const search = { type: "search", name: "search", class: "danlu-input", value: kept.search, ...said };
    const named = { used: "runs.sort.used", name: "runs.sort.name", size: "runs.sort.size", step: "runs.sort.step" };
    const options = Object.keys(SORTS).map((value) => el("option", { value, text: word(named[value]) }));
    const sort = { name: "sort", class: "danlu-input", "aria-label": word("runs.sort"), on: { change: found } };
    const select = el("select", sort, options);
    select.value = kept.sort;
    const again = { title: word("runs.refresh"), "aria-label": word("runs.refresh") };
    return el(
      "div",
      { class: "danlu-runs-top" },
      el("div", {}, el("h3", { text: word("runs.title") }), button("⟳", () => this.refresh(), again)),
      el("div", {}, el("input", { ...search, on: { input: found } }), select),
      el("div", {}, this.count, this.curves, this.trash),
    );
  }

  // What there is

  /** Soon, but not at every event. */
  later() {
    this.timer ??= setTimeout(() => this.refresh(), Math.max(300, (this.read ?? 0) + AGAIN - Date.now()));
  }

  async refresh() {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.read = Date.now();
    const asked = (this.asked = {});
    try {
      const found = await get("runs");
      if (this.asked === asked) this.#show(found);
    } catch (error) {
      if (this.asked === asked && !this.closed) this.tell(error.message, "danlu-bad");
    }
  }

  #show({ runs, size, trash }) {
    const there = new Set(runs.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (there.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
    for (const id of kept.chosen) if (!there.has(id)) kept.chosen.delete(id);
    for (const run of runs) this.put(run);
    this.size = size;
    this.trash.textContent = word("runs.trash_open", { count: trash });
    this.trash.hidden = !trash;
    this.arrange();
    this.#showChosen();
  }

  /** A line that is new or has changed. */
  put(run) {
    const row = this.rows.get(run.id);
    if (row) return row.show(run);
    const made = new Row(run, (name, each, pressed) => this.act(name, each, pressed));
    made.choose(kept.chosen.has(run.id));
    this.rows.set(run.id, made);
  }

  /** Those that are looked for, in order; what stands where it belongs is left there. */
  arrange() {
    const words = kept.search.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = ({ run }) => {
      const text = [run.name, run.base, run.dataset, run.id, word(`runs.state.${run.state}`)].join(" ").toLowerCase();
      return words.every((each) => text.includes(each));
    };
    const rows = [...this.rows.values()].sort((a, b) => SORTS[kept.sort](a.run, b.run));
    const shown = rows.filter(fits);
    for (const row of rows) if (!shown.includes(row)) row.element.remove();
    shown.forEach(({ element }, i) => {
      if (this.list.children[i] !== element) this.list.insertBefore(element, this.list.children[i] ?? null);
    });
    const all = { count: this.rows.size, size: bytes(this.size ?? 0) };
    const some = shown.length < this.rows.size ? `${shown.length} / ` : "";
    this.count.textContent = this.rows.size ? some + word("runs.count", all) : word("runs.none");
  }

  /** Between two readings: how far the run is that is trained now. */
  #live({ detail }) {
    const row = this.rows.get(detail.run);
    if (!row) return this.later();
    row.show({ ...row.run, state: "running", why: "", step: detail.step, steps: detail.steps });
    if (Date.now() - this.read > AGAIN) this.later();
  }

  // What is done

  async act(name, run, pressed) {
    if (name === "choose") return this.#choose(run, pressed.checked);
    if (pressed) pressed.disabled = true;
    try {
      await doing[name](this, run);
    } catch (error) {
      say("error", error.message);
      this.refresh();
    }
    if (pressed) pressed.disabled = false;
  }

  #choose(run, chosen) {
    if (chosen) kept.chosen.add(run.id);
    else kept.chosen.delete(run.id);
    this.#showChosen();
  }

  #showChosen() {
    this.curves.textContent = word("runs.compare", { count: kept.chosen.size });
    this.curves.title = word("runs.compare_tooltip");
    this.curves.disabled = !kept.chosen.size;
  }

  /** The lines of the runs that are ticked. */
  chosen() {
    return [...this.rows.values()].map(({ run }) => run).filter(({ id }) => kept.chosen.has(id));
  }

  /** A line over the list, with a button where there is something to take back. */
  tell(text, kind = "", undo = undefined) {
    const parts = text ? [el("span", { class: kind, text })] : [];
    if (undo) parts.push(button(word("runs.undo"), undo));
    this.told.replaceChildren(...parts);
  }

  /** The arrow keys go from run to run. */
  #step(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const here = event.target.closest?.(".danlu-runs-row");
    if (!way || !here || !event.target.matches(".danlu-runs-open, input")) return;
    event.preventDefault();
    const next = way > 0 ? here.nextElementSibling : here.previousElementSibling;
    next?.querySelector(event.target.matches("input") ? "input" : ".danlu-runs-open").focus();
  }

  close() {
    this.closed = true;
    this.asked = undefined;
    clearTimeout(this.timer);
    for (const [name, heard] of this.listeners) api.removeEventListener(name, heard);
    this.root.remove();
  }
}

style(new URL("runs.css", import.meta.url));

/** Fills the element; returns what ends that. */
export function mount(element) {
  const view = new View(element);
  return () => view.close();
}
