// Which pictures a change is for: all, those in the list, or those chosen.
import { el } from "../parts/dom.mjs";
import { word } from "../parts/words.mjs";

export class Scope {
  constructor(store) {
    this.store = store;
    const label = word("dataset.scope");
    this.select = el("select", { class: "danlu-input", "aria-label": label });
    this.element = el("label", { class: "danlu-group" }, el("span", { class: "danlu-dim", text: label }), this.select);
    for (const kind of ["list", "selection", "texts"]) store.addEventListener(kind, () => this.update());
    this.update();
  }

  /** {} for the whole set, else { only: numbers }. */
  get value() {
    const { store } = this;
    if (this.select.value === "selected") return { only: [...store.selected] };
    return this.select.value === "shown" ? { only: store.numbers } : {};
  }

  update() {
    const { store, select } = this;
    const before = select.value || "all";
    const counts = { all: store.about.count, shown: store.total, selected: store.selected.size };
    const options = Object.entries(counts).map(([value, count]) => {
      const pointless = value === "selected" ? !count : value === "shown" && count === counts.all;
      return el("option", { value, text: word(`dataset.scope.${value}`, { count }), disabled: pointless });
    });
    select.replaceChildren(...options);
    select.value = options.find(({ value }) => value === before).disabled ? "all" : before;
  }
}
