// Search, filter, order and size of the pictures, in the bar of the page.
import { button, el } from "../parts/dom.mjs";
import { say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";

const ORDERS = ["given", "name", "-name", "length", "-length", "caption", "size", "-size", "shape"];
const PATIENCE = 250;
/** Widths of thumbnails, in pixels. */
const [SMALLEST, LARGEST, STEP] = [110, 400, 10];

/** Which filters this dataset has a use for. */
function filters({ has_pairs: pairs, has_masks: masks, has_videos: videos, folders }) {
  const roles = [...new Set(folders.map(({ role }) => role))];
  return [
    "all",
    "uncaptioned",
    "captioned",
    "changed",
    ...(pairs ? ["pairs"] : []),
    ...(masks ? ["masks"] : []),
    ...(videos ? ["videos"] : []),
    ...(roles.length > 1 ? roles : []),
  ];
}

function choice(label, key, values, chosen) {
  const options = values.map((value) => el("option", { value, text: word(`dataset.${key}.${value}`) }));
  const select = { class: "danlu-input", "aria-label": label, title: label };
  return el("select", { ...select, on: { change: ({ target }) => chosen(target.value) } }, options);
}

export function toolbar(store, { gallery, large, undo }) {
  const asked = (changes) => store.ask(changes).catch((error) => say("error", error.message));
  let timer;
  const typed = ({ target }) => {
    clearTimeout(timer);
    timer = setTimeout(() => asked({ search: target.value }), PATIENCE);
  };
  const search = el("input", {
    type: "search",
    class: "danlu-input danlu-search",
    placeholder: word("dataset.search"),
    "aria-label": word("dataset.search"),
    on: { input: typed },
  });
  const size = el("input", {
    type: "range",
    min: SMALLEST,
    max: LARGEST,
    step: STEP,
    value: gallery.side,
    title: word("dataset.size"),
    "aria-label": word("dataset.size"),
    on: { input: ({ target }) => gallery.resize(Number(target.value)) },
  });
  const tag = button("", () => asked({ tag: "" }), { class: "danlu-chip", title: word("dataset.tag_off") });
  const back = button(word("dataset.undo"), undo, { title: word("dataset.undo_tooltip") });
  const shown = () => {
    tag.hidden = !store.query.tag;
    tag.textContent = `${store.query.tag} ✕`;
    back.disabled = !store.undoable;
    if (document.activeElement !== search) search.value = store.query.search;
  };
  for (const kind of ["list", "items", "texts"]) store.addEventListener(kind, shown);
  shown();
  return [
    search,
    tag,
    choice(word("dataset.filter"), "only", filters(store.about), (only) => asked({ only })),
    choice(word("dataset.order_by"), "order", ORDERS, (order) => asked({ order })),
    size,
    button(word("dataset.large_view"), () => large(gallery.active), { title: word("dataset.large") }),
    back,
  ];
}
