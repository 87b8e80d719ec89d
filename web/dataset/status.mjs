// The line at the foot: how many pictures, what is chosen, what is not saved, what was changed last.
import { button, el } from "../parts/dom.mjs";
import { say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";

export class Status {
  /** `drop`, `undo`, `all`: what the buttons do. */
  constructor(store, { drop, undo, all }) {
    Object.assign(this, { store, undo });
    this.count = el("span", { role: "status" });
    this.chosen = el(
      "span",
      { class: "danlu-group" },
      button(word("dataset.select_all"), all, { title: "Ctrl+A" }),
      (this.none = button(word("dataset.select_none"), () => store.select([]))),
      (this.drop = button(word("dataset.drop"), drop, { title: word("dataset.drop_tooltip") })),
    );
    this.typed = el("span", { class: "danlu-bad" });
    this.unsaved = el(
      "span",
      { class: "danlu-group" },
      this.typed,
      button(word("dataset.save_all"), () => this.save(), { class: "danlu-main" }),
      button(word("dataset.discard_all"), () => store.forget()),
    );
    this.told = el("span", { class: "danlu-group danlu-told", role: "status" });
    this.element = el("div", { class: "danlu-status" }, this.count, this.chosen, this.unsaved, this.told);
    for (const kind of ["list", "items", "selection", "drafts", "texts"]) {
      store.addEventListener(kind, () => this.update());
    }
    this.update();
  }

  update() {
    const { store } = this;
    const values = { shown: store.total, all: store.about.count, captioned: store.about.captioned };
    const chosen = store.selected.size ? word("dataset.chosen", { count: store.selected.size }) : "";
    const text = [word(store.total < store.about.count ? "dataset.count_of" : "dataset.count", values), chosen];
    // Written only when it is another, so that it is read out once.
    const line = text.filter(Boolean).join(" · ");
    if (this.count.textContent !== line) this.count.textContent = line;
    this.none.disabled = this.drop.disabled = !store.selected.size;
    this.unsaved.hidden = !store.drafts.size;
    this.typed.textContent = word("dataset.unsaved", { count: store.drafts.size });
  }

  /** Writes what was typed of these pictures, or of all. */
  async save(ns) {
    try {
      const answer = await this.store.save(ns);
      if (answer?.left.length) say("warn", `${word("dataset.left")} ${answer.left.join(", ")}`);
      if (answer?.written) this.tell(word("dataset.done_change", { count: answer.written }), true);
    } catch (error) {
      say("error", error.message, 12000);
    }
  }

  /** What was done last; `undoable`: with a button that takes it back. */
  tell(text, undoable = false) {
    this.told.replaceChildren(text, ...(undoable ? [button(word("dataset.undo_last"), this.undo)] : []));
  }
}
