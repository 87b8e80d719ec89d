// One picture in full size: what lies beside it (mask, before), where it is cropped, and what the trainer will see.
import { openDialog } from "../parts/dialog.mjs";
import { button, el } from "../parts/dom.mjs";
import { get, say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { Zoom } from "../parts/zoom.mjs";
import { captionText } from "./card.mjs";
import { sights, wayButtons, wayOf } from "./sights.mjs";
import { cropBoxes, faceBoxes, facesPanel, trainerPanel } from "./trainer.mjs";

/** Opens at a place of the list; `resolution`: what is trained at; `closed(place)` is told where it was left. */
export function openLarge(store, place, { resolution, closed }) {
  if (store.total) new Large(store, place, resolution).open(closed);
}

class Large {
  constructor(store, place, resolution = "") {
    Object.assign(this, { store, place, resolution, way: "picture", zoom: new Zoom(), shown: "", answers: {} });
    this.stage = el("div", { class: "danlu-stage" });
    this.facts = el("div", { class: "danlu-facts" });
    this.where = el("span", { role: "status", class: "danlu-dim" });
    this.ways = el("span", { class: "danlu-group" });
    this.crops = this.toggle("dataset.crops", true);
    this.faces = this.toggle("dataset.faces", false);
    const changed = ({ target }) => {
      this.resolution = target.value;
      this.show();
    };
    const value = resolution === "auto" ? "" : resolution;
    const field = el("input", { class: "danlu-input", value, size: 12, on: { change: changed } });
    const label = el("span", { class: "danlu-dim", text: word("dataset.resolution") });
    this.field = el("label", { class: "danlu-group", title: word("dataset.resolution_tooltip") }, label, field);
  }

  toggle(key, on) {
    const press = () => {
      made.setAttribute("aria-pressed", String(made.getAttribute("aria-pressed") !== "true"));
      this.shown = "";
      this.show();
    };
    const made = button(word(key), press, { "aria-pressed": String(on), title: word(`${key}_tooltip`) });
    return made;
  }

  open(closed) {
    const heard = () => this.show();
    const fit = () => this.zoom.changed();
    const watched = new ResizeObserver(() => requestAnimationFrame(fit));
    const kinds = ["items", "list"];
    for (const kind of kinds) this.store.addEventListener(kind, heard);
    const onClose = () => {
      this.control?.abort();
      watched.disconnect();
      for (const kind of kinds) this.store.removeEventListener(kind, heard);
      closed(this.place);
    };
    const page = openDialog({ title: word("dataset.large_view"), onClose });
    page.dialog.classList.add("danlu-dataset");
    page.bar.lastChild.before(...this.arrows(), this.ways, this.crops, this.faces, this.field);
    page.body.append(el("div", { class: "danlu-split" }, this.stage, this.facts));
    page.dialog.addEventListener("keydown", (event) => this.pressed(event));
    watched.observe(this.stage);
    this.show();
  }

  arrows() {
    const step = (by, key, text) => {
      const named = { title: word(key), "aria-label": word(key) };
      return button(text, () => this.go(this.place + by), named);
    };
    return [step(-1, "dataset.previous", "◀"), this.where, step(1, "dataset.next", "▶")];
  }

  pressed(event) {
    if (event.target.closest("input, textarea")) return;
    const step = { ArrowLeft: -1, PageUp: -1, ArrowRight: 1, PageDown: 1 }[event.key];
    if (step) this.go(this.place + step);
    else if (event.key === "Home") this.go(0);
    else if (event.key === "End") this.go(this.store.total - 1);
    else this.zoom.key(event, false);
  }

  go(place) {
    this.place = Math.max(0, Math.min(place, this.store.total - 1));
    this.show();
  }

  /** Everything of the picture at this place; what is asked for arrives later, and only if it is still wanted. */
  show() {
    const { store } = this;
    this.place = Math.max(0, Math.min(this.place, store.total - 1));
    this.where.textContent = word("dataset.place", { place: this.place + 1, count: store.total });
    const item = store.at(this.place);
    if (!item) return store.want(this.place, this.place).catch((error) => say("error", error.message));
    const shown = JSON.stringify([item, this.resolution]);
    if (shown === this.shown) return undefined;
    if (item.n !== this.item?.n) this.zoom.fit();
    this.control?.abort(); // what is not wanted any more waits in no queue
    Object.assign(this, { shown, item, answers: {}, control: new AbortController() });
    this.draw();
    return this.ask(item, shown);
  }

  async ask(item, shown) {
    const isOn = (each) => each.getAttribute("aria-pressed") === "true";
    const { path } = this.store;
    const query = { n: item.n, resolution: this.resolution, tokenizers: this.tokenizers };
    const { signal } = this.control;
    const asked = (address, query) => get(address, query, { signal }).catch((error) => ({ failed: error.message }));
    const wanted = { trainer: asked(`${path}/trainer`, query) };
    if (isOn(this.faces)) wanted.faces = asked(`${path}/faces/${item.n}`, {});
    for (const [name, answer] of Object.entries(wanted)) {
      const found = await answer;
      if (shown !== this.shown || signal.aborted) return;
      this.answers[name] = found;
      this.draw();
    }
    const { tokenizers } = this.answers.trainer;
    if (!tokenizers || this.tokenizers) return;
    // The quick one is shown first; the others take a moment to load.
    this.tokenizers = tokenizers.join(",");
    this.ask(item, shown);
  }

  boxes() {
    const { trainer, faces } = this.answers;
    const crops = this.crops.getAttribute("aria-pressed") === "true" && trainer?.items ? cropBoxes(trainer) : [];
    return [...crops, ...(faces?.faces ? faceBoxes(faces) : [])];
  }

  draw() {
    const { item, answers } = this;
    const way = wayOf(item, this.way);
    const chosen = (wanted) => {
      this.way = wanted;
      this.draw();
      this.ways.querySelector('[aria-pressed="true"]')?.focus();
    };
    const picture = `${item.n} ${item.version} ${way}`;
    if (picture !== this.picture) this.put(item, way, chosen);
    this.picture = picture;
    for (const window of this.zoom.windows) window.mark?.(this.boxes());
    const { trainer, faces } = answers;
    const more = faces && (faces.failed ? el("p", { class: "danlu-bad", text: faces.failed }) : facesPanel(faces));
    const seen = trainer?.items ? trainer : undefined;
    this.facts.replaceChildren(this.about(), trainerPanel(seen, trainer?.failed), ...(more ? [more] : []));
  }

  /** Puts the pictures of one way to look on the page. */
  put(item, way, chosen) {
    for (const window of this.zoom.windows) window.remove();
    const windows = sights(this.store, item, way, this.zoom);
    this.ways.replaceChildren(...wayButtons(item, way, chosen));
    this.stage.replaceChildren(...windows.map(({ figure }) => figure));
    const [height, width] = item.size;
    for (const window of windows) window.show([width, height]);
  }

  about() {
    const { item } = this;
    const [height, width] = item.size;
    const facts = [`${width} × ${height}`, item.text_file, item.captioner];
    return el(
      "section",
      {},
      el("h3", { text: item.name }),
      el("p", { class: "danlu-dim", text: facts.filter(Boolean).join(" · ") }),
      el("p", { class: "danlu-lines" }, captionText(item, this.store.drafts.get(item.n))),
    );
  }
}
