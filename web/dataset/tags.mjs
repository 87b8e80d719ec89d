// The tags of all captions, or their words, with how many pictures have each: to search by, rename, remove and add.
import { button, composes, el } from "../parts/dom.mjs";
import { get, say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { propose } from "./propose.mjs";
import { Scope } from "./scope.mjs";

/** Rows on the page; more are shown when asked for. */
const SHOWN = 300;

export class Tags {
  constructor(store, status) {
    Object.assign(this, { store, status, kind: "", found: [], search: "", most: SHOWN });
    this.scope = new Scope(store);
    this.body = el("tbody");
    this.head = el("th", { scope: "col" });
    const pictures = el("th", { text: word("dataset.pictures"), scope: "col" });
    const head = el("thead", {}, el("tr", {}, this.head, pictures, el("th")));
    const table = el("table", { class: "danlu-table danlu-tags" }, head, this.body);
    this.more = button("", () => this.showMore());
    this.element = el(
      "div",
      { class: "danlu-panel-tools" },
      this.top(),
      this.scope.element,
      this.adding(),
      el("div", { class: "danlu-scroll" }, table, this.more),
    );
    this.name("tags");
    store.addEventListener("texts", () => this.show());
    store.addEventListener("list", () => this.mark());
    store.addEventListener("items", () => this.mark());
  }

  top() {
    this.kinds = ["tags", "words"].map((kind) =>
      button(word(`dataset.kind.${kind}`), () => this.load(kind), { dataset: { kind } }),
    );
    const typed = ({ target }) => {
      this.search = target.value.trim().toLowerCase();
      this.draw();
    };
    this.searched = el("input", { type: "search", class: "danlu-input", on: { input: typed } });
    return el("div", { class: "danlu-group" }, this.kinds, this.searched);
  }

  adding() {
    const field = (this.added = el("input", { class: "danlu-input" }));
    const add = (place) => () => field.value.trim() && this.propose({ op: "add", tags: field.value.trim(), place });
    const front = button(word("dataset.add_front"), add("front"), { title: word("dataset.add_front_tooltip") });
    return el("div", { class: "danlu-group" }, field, front, button(word("dataset.add_end"), add("end")));
  }

  /** Calls what is listed what it is: tags or words. */
  name(kind) {
    this.head.textContent = word(`dataset.one.${kind}`);
    const label = (field, text) => Object.assign(field, { placeholder: text, ariaLabel: text });
    label(this.searched, word(`dataset.search.${kind}`));
    label(this.added, word(`dataset.add.${kind}`));
  }

  propose(what) {
    return propose(this.store, this.status, "tags", { ...what, ...this.scope.value });
  }

  /** Called when the panel comes to the front, and when texts have changed. */
  show() {
    if (!this.element.hidden) this.load(this.kind);
  }

  async load(kind) {
    const asked = (this.asked = {});
    try {
      const answer = await get(`${this.store.path}/tags`, kind ? { kind } : {});
      if (this.asked !== asked) return; // of another kind, or after another change
      this.kind = answer.kind;
      this.found = answer.tags;
      this.name(this.kind);
      this.draw();
    } catch (error) {
      say("error", error.message);
    }
  }

  showMore() {
    this.most += SHOWN;
    this.draw();
  }

  draw() {
    for (const each of this.kinds) each.setAttribute("aria-pressed", String(each.dataset.kind === this.kind));
    const fits = this.found.filter(({ tag }) => tag.toLowerCase().includes(this.search));
    this.body.replaceChildren(...fits.slice(0, this.most).map((each) => this.row(each)));
    this.more.hidden = fits.length <= this.most;
    this.more.textContent = word("dataset.show_more", { count: fits.length - this.most });
    this.mark();
  }

  row({ tag, count }) {
    const chosen = () => this.filter(tag);
    const name = button(tag, chosen, { class: "danlu-plain", title: word("dataset.tag_filter"), dataset: { tag } });
    const small = (text, key, done) =>
      button(text, done, { class: "danlu-small-button", title: word(key), "aria-label": `${word(key)}: ${tag}` });
    const rename = small("✎", "dataset.rename", () => this.rename(tag, line));
    const remove = small("✕", "dataset.remove", () => this.propose({ op: "remove", tags: tag }));
    const line = el("tr", {}, el("td", {}, name), el("td", { text: count }), el("td", {}, rename, " ", remove));
    return line;
  }

  /** A field in the place of the tag; Enter shows what would change, Escape takes back. */
  rename(tag, line) {
    const label = word("dataset.rename_to", { tag });
    const field = el("input", { class: "danlu-input", value: tag, "aria-label": label, style: { width: "100%" } });
    const back = () => line.firstChild.replaceChildren(this.row({ tag, count: 0 }).querySelector("button"));
    field.addEventListener("keydown", (event) => {
      if (composes(event)) return;
      if (event.key === "Escape") {
        event.preventDefault();
        back();
        line.querySelector("button").focus();
      } else if (event.key === "Enter" && field.value.trim() && field.value.trim() !== tag) {
        this.propose({ op: "rename", tags: tag, new: field.value.trim() });
      }
    });
    line.firstChild.replaceChildren(field);
    field.focus();
    field.select();
  }

  async filter(tag) {
    // Words of sentences are no tags: they are searched for.
    const by = this.kind === "words" ? "search" : "tag";
    const other = this.store.query[by] === tag ? "" : tag;
    try {
      await this.store.ask(by === "search" ? { tag: "", search: other } : { tag: other });
    } catch (error) {
      say("error", error.message);
    }
  }

  mark() {
    const { tag, search } = this.store.query;
    const chosen = this.kind === "words" ? search : tag;
    for (const each of this.body.querySelectorAll("[data-tag]")) {
      each.setAttribute("aria-pressed", String(each.dataset.tag === chosen));
    }
  }
}
