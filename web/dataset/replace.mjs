// Find and replace in all captions.
import { button, composes, el } from "../parts/dom.mjs";
import { say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { propose } from "./propose.mjs";
import { Scope } from "./scope.mjs";

export class Replace {
  constructor(store, status) {
    Object.assign(this, { store, status });
    this.scope = new Scope(store);
    this.find = this.field("dataset.find");
    this.by = this.field("dataset.replace_by");
    this.regex = this.option("dataset.regex");
    this.whole = this.option("dataset.whole_tags");
    this.case = this.option("dataset.match_case");
    const preview = button(word("dataset.preview"), () => this.preview(), { class: "danlu-main" });
    this.element = el(
      "div",
      { class: "danlu-panel-tools" },
      this.find.row,
      this.by.row,
      this.regex.row,
      this.whole.row,
      this.case.row,
      this.scope.element,
      el("div", { class: "danlu-group" }, preview),
      el("p", { class: "danlu-dim", text: word("dataset.replace_help") }),
    );
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.type === "text" && !composes(event)) this.preview();
    });
  }

  field(key) {
    const input = el("input", { type: "text", class: "danlu-input", spellcheck: false });
    return { input, row: el("label", { class: "danlu-field-row" }, el("span", { text: word(key) }), input) };
  }

  option(key) {
    const input = el("input", { type: "checkbox" });
    return { input, row: el("label", { class: "danlu-group" }, input, el("span", { text: word(key) })) };
  }

  show() {
    this.find.input.focus();
  }

  preview() {
    const find = this.find.input.value;
    if (!find) return say("warn", word("dataset.find_nothing"));
    return propose(this.store, this.status, "replace", {
      find,
      replace: this.by.input.value,
      regex: this.regex.input.checked,
      whole_tags: this.whole.input.checked,
      case: this.case.input.checked,
      ...this.scope.value,
    });
  }
}
