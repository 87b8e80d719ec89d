// Pictures that were taken out of the dataset: they are moved aside with their captions, never deleted.
import { ask } from "../parts/dialog.mjs";
import { button, el } from "../parts/dom.mjs";
import { get, post, say, url } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";

/** Asks, and moves the chosen pictures aside. */
export async function dropDialog(store, status) {
  const ns = [...store.selected];
  const yes = word("dataset.drop");
  if (!ns.length || !(await ask(word("dataset.drop_question", { count: ns.length }), { yes }))) return;
  const { dropped } = await store.drop(ns);
  status.tell(word("dataset.done_drop", { count: dropped.length }));
}

export class Dropped {
  constructor(store, status) {
    Object.assign(this, { store, status });
    this.list = el("div", { class: "danlu-scroll danlu-dropped", role: "list" });
    this.all = button(word("dataset.restore_all"), () => this.restore(this.found.map(({ key }) => key)));
    const help = el("p", { class: "danlu-dim", text: word("dataset.dropped_help") });
    const foot = el("div", { class: "danlu-group" }, this.all);
    this.element = el("div", { class: "danlu-panel-tools" }, help, this.list, foot);
    store.addEventListener("texts", () => this.show());
  }

  async show() {
    if (this.element.hidden) return;
    try {
      const { items } = await get(`${this.store.path}/dropped`);
      this.found = items;
      this.all.disabled = !items.length;
      const none = el("p", { class: "danlu-dim", text: word("dataset.dropped_none") });
      this.list.replaceChildren(...(items.length ? items.map((each) => this.entry(each)) : [none]));
    } catch (error) {
      say("error", error.message);
    }
  }

  entry({ key, name, body }) {
    const back = { "aria-label": `${word("dataset.restore")}: ${name}` };
    return el(
      "div",
      { class: "danlu-difference", role: "listitem" },
      el("img", { src: url(`${this.store.path}/dropped/${key}/thumb`, { side: 128 }), alt: "", loading: "lazy" }),
      el("div", {}, el("div", { class: "danlu-dim", text: name }), el("div", { class: "danlu-lines", text: body })),
      el("div", {}, button(word("dataset.restore"), () => this.restore([key]), back)),
    );
  }

  async restore(names) {
    try {
      const { restored } = await post(`${this.store.path}/restore`, { names });
      await this.store.changed();
      this.status.tell(word("dataset.done_restore", { count: restored.length }));
    } catch (error) {
      say("error", error.message, 12000);
    }
  }
}
