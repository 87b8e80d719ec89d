// One picture of the gallery: thumbnail, name, caption. The caption is edited in its place.
import { button, composes, el } from "../parts/dom.mjs";
import { word } from "../parts/words.mjs";

/** Milliseconds that a card must be in sight before its thumbnail is asked for. */
const PATIENCE = 60;
const SIDES = [128, 256, 512];

/** The caption in pieces: what was added in front (the trigger, say), its own text, what was added behind. */
export function pieces({ caption, body }) {
  if (!body) return { before: caption, body: "", after: "" };
  const start = caption.endsWith(body) ? caption.length - body.length : caption.indexOf(body);
  if (start < 0) return { before: "", body, after: "" };
  return { before: caption.slice(0, start), body, after: caption.slice(start + body.length) };
}

/** Elements that show a caption, with what was added apart from its own text. */
export function captionText(item, draft) {
  const { before, body, after } = pieces(item);
  const added = (text) => text && el("span", { class: "danlu-added", text, title: word("dataset.added") });
  const own = draft?.body ?? body;
  const text = own
    ? el("span", { class: "danlu-own", text: own })
    : el("span", { class: "danlu-dim danlu-none", text: word("dataset.no_caption") });
  return own || !before ? [added(before), text, added(after)] : [added(before), " ", text];
}

function badges(item) {
  const shown = [
    item.role !== "train" && word(`dataset.role.${item.role}`),
    item.repeats > 1 && `×${item.repeats}`,
    item.has_mask && word("dataset.badge.mask"),
    item.befores > 0 && word("dataset.badge.pair", { count: item.befores }),
    item.video && word("dataset.badge.video", { frames: item.video.frames }),
  ];
  return shown.filter(Boolean).map((text) => el("span", { class: "danlu-badge", text }));
}

/** A thumbnail that is asked for a moment after it came into sight, and given up when it is out of sight. */
export function thumbnail(address, alt) {
  const picture = el("img", { alt, decoding: "async", draggable: false });
  picture.addEventListener("error", () => {
    const gone = el("span", { class: "danlu-dim", text: word("dataset.no_picture") });
    if (picture.getAttribute("src")) picture.replaceWith(gone);
  });
  const timer = setTimeout(() => (picture.src = address), PATIENCE);
  const giveUp = () => {
    clearTimeout(timer);
    if (!picture.complete) picture.removeAttribute("src");
  };
  return { picture, giveUp };
}

export class Card {
  /** `gallery`: says how large thumbnails are and what is edited; `place`: in the list. */
  constructor(gallery, place) {
    this.gallery = gallery;
    this.store = gallery.store;
    this.place = place;
    this.shown = "";
    this.giveUp = () => {};
    const cell = { role: "gridcell", tabIndex: -1, "aria-colindex": (place % gallery.columns) + 1 };
    this.element = el("div", { class: "danlu-card", dataset: { place }, ...cell });
    this.update();
  }

  get item() {
    return this.store.at(this.place);
  }

  /** Shows the picture as it is now; does nothing where that is shown already. */
  update() {
    const { item, store } = this;
    const draft = item && store.drafts.get(item.n);
    const shown = JSON.stringify([item, draft]);
    if (shown === this.shown || this.editor) return;
    const same = item && this.version === `${item.n} ${item.version}`;
    this.shown = shown;
    if (!item) return this.element.replaceChildren(el("div", { class: "danlu-thumb" }));
    this.element.dataset.n = item.n;
    this.element.setAttribute("aria-label", `${item.name}: ${item.caption || word("dataset.no_caption")}`);
    if (!same) this.element.replaceChildren(this.thumb(item), el("div", { class: "danlu-text" }));
    this.version = `${item.n} ${item.version}`;
    this.element.lastChild.replaceChildren(this.head(item, draft), this.caption(item, draft));
    this.mark();
  }

  thumb(item) {
    this.giveUp();
    const wide = this.gallery.side * Math.min(window.devicePixelRatio, 2);
    const side = SIDES.find((each) => each >= wide) ?? SIDES.at(-1);
    const { picture, giveUp } = thumbnail(this.store.thumb(item, side), "");
    this.giveUp = giveUp;
    const named = { title: word("dataset.large"), "aria-label": word("dataset.large") };
    const large = { class: "danlu-large", tabIndex: -1, ...named };
    return el(
      "div",
      { class: "danlu-thumb" },
      picture,
      el("span", { class: "danlu-check", title: word("dataset.choose"), "aria-hidden": "true" }),
      el("span", { class: "danlu-badges" }, badges(item)),
      button("⤢", () => this.gallery.large(this.place), large),
    );
  }

  head(item, draft) {
    const name = el("span", { class: "danlu-name", text: item.name, title: item.name });
    if (draft) return el("div", { class: "danlu-head" }, name, this.unsaved(item));
    const [height, width] = item.size;
    const size = el("span", { class: "danlu-dim", text: `${width}×${height}` });
    const changed = item.changed && el("span", { class: "danlu-changed", text: "●", title: word("dataset.changed") });
    return el("div", { class: "danlu-head" }, name, changed, size);
  }

  unsaved(item) {
    const save = button(word("dataset.save"), () => this.gallery.save([item.n]), { class: "danlu-main", tabIndex: -1 });
    const forget = button(word("dataset.discard"), () => this.store.forget([item.n]), { tabIndex: -1 });
    return el("span", { class: "danlu-unsaved" }, save, forget);
  }

  caption(item, draft) {
    const title = item.why_not || word("dataset.edit_hint");
    const classes = `danlu-caption${draft ? " danlu-draft" : ""}${item.editable ? "" : " danlu-fixed"}`;
    return el("div", { class: classes, title }, captionText(item, draft));
  }

  /** Whether it is chosen, and where the keyboard is. */
  mark() {
    const { item, element, gallery } = this;
    element.setAttribute("aria-selected", String(Boolean(item && this.store.selected.has(item.n))));
    element.tabIndex = gallery.active === this.place ? 0 : -1;
  }

  /** A field in the place of the caption. Ctrl+Enter saves, Escape takes back; leaving it keeps what was typed. */
  edit() {
    const { item, store } = this;
    if (!item || this.editor) return;
    const value = store.drafts.get(item.n)?.body ?? item.body;
    const label = word("dataset.caption_of", { name: item.name });
    this.editor = el("textarea", { class: "danlu-input danlu-editor", value, "aria-label": label, spellcheck: false });
    const { editor } = this;
    editor.addEventListener("input", () => store.draft(store.items.get(item.n) ?? item, editor.value));
    editor.addEventListener("keydown", (event) => this.pressed(event, item));
    editor.addEventListener("blur", () => this.leave());
    this.element.lastChild.lastChild.replaceChildren(editor);
    editor.focus();
    editor.setSelectionRange(value.length, value.length);
  }

  pressed(event, item) {
    event.stopPropagation();
    if (composes(event)) return;
    if (event.key === "Escape") {
      event.preventDefault();
      this.store.forget([item.n]);
      this.leave(true);
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.leave(true);
      this.gallery.save([item.n]);
    }
  }

  leave(focus = false) {
    if (!this.editor) return;
    this.editor = undefined;
    this.shown = "";
    this.update();
    if (focus) this.element.focus({ preventScroll: true });
  }

  remove() {
    this.giveUp();
    this.editor = undefined;
  }
}
