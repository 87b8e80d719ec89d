// The ways to look at one picture: by itself, beside its mask or what it was before, one over the other; with boxes.
import { button, el } from "../parts/dom.mjs";
import { word } from "../parts/words.mjs";
import { ZoomWindow } from "../parts/zoom.mjs";

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A picture with others over it, all moved by one zoom. */
class Sight extends ZoomWindow {
  constructor(zoom, address, label, over = []) {
    super(zoom);
    this.over = over;
    this.image.src = address;
    this.image.alt = label;
    this.element.append(...over);
    const caption = el("figcaption", { class: "danlu-dim", text: label });
    this.figure = el("figure", { class: "danlu-sight" }, this.element, caption);
  }

  place() {
    super.place();
    if (!this.size) return;
    const { width, height, transform } = this.image.style;
    for (const each of this.over ?? []) Object.assign(each.style, { width, height, transform });
  }
}

/** Boxes over a picture, in its own pixels: { kind, label, box: [left, top, right, bottom] }. */
function marks([height, width], boxes) {
  const thick = Math.max(width, height) / 300;
  // Boxes often share a corner: each name stands a line below the one before.
  const one = ({ kind, label, box: [left, top, right, bottom] }, i) => {
    const place = { x: left, y: top, width: right - left, height: bottom - top };
    const text = svg("text", { x: left + 2 * thick, y: top + (10 + 11 * i) * thick, "font-size": 9 * thick }, label);
    return svg("g", { class: `danlu-box danlu-box-${kind}` }, svg("rect", { ...place, "stroke-width": thick }), text);
  };
  return boxes.map(one);
}

/** Which ways there are to look at this picture. */
function ways(item) {
  return ["picture", ...(item.has_mask ? ["mask"] : []), ...(item.befores ? ["before", "compare"] : [])];
}

function befores({ befores: count }) {
  return Array.from({ length: count }, (_, i) => [`before${i}`, word("dataset.sight.before_number", { number: i + 1 })]);
}

/** One over the other, with a line between them that is moved by a slider. */
function compared(store, item, zoom) {
  const over = el("img", { src: store.image(item, "before0"), alt: "", draggable: false, class: "danlu-over" });
  const sight = new Sight(zoom, store.image(item), word("dataset.sight.compare"), [over]);
  const move = ({ target }) => (over.style.clipPath = `inset(0 ${100 - target.value}% 0 0)`);
  const label = word("dataset.compare_slider");
  const range = { type: "range", min: 0, max: 100, value: 50, "aria-label": label };
  const slider = el("input", { ...range, on: { input: move } });
  move({ target: slider });
  sight.figure.append(slider);
  return sight;
}

/**
 * The pictures of one way to look, moved together by `zoom`. Returns their windows, each with a `figure`; the picture's
 * own has `mark(boxes)`.
 */
export function sights(store, item, way, zoom) {
  const own = () => {
    const [height, width] = item.size;
    const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "danlu-boxes", "aria-hidden": "true" });
    const sight = new Sight(zoom, store.image(item), word("dataset.sight.picture"), [drawn]);
    sight.mark = (boxes) => drawn.replaceChildren(...marks(item.size, boxes));
    return sight;
  };
  const beside = ([which, label]) => new Sight(zoom, store.image(item, which), label);
  const made = {
    picture: () => [own()],
    mask: () => [own(), beside(["mask", word("dataset.sight.mask")])],
    before: () => [...befores(item).map(beside), own()],
    compare: () => [compared(store, item, zoom)],
  };
  return made[way]();
}

/** Buttons that choose among them; none where there is only one. */
export function wayButtons(item, way, chosen) {
  const all = ways(item);
  if (all.length === 1) return [];
  const pressed = (each) => ({ "aria-pressed": String(each === way) });
  return all.map((each) => button(word(`dataset.sight.${each}`), () => chosen(each), pressed(each)));
}

/** The way that is shown of this picture: the one asked for, where it has it. */
export function wayOf(item, wanted) {
  return ways(item).includes(wanted) ? wanted : "picture";
}
