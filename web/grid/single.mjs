// One cell at full size, with ways to its neighbours on every axis.
import { openDialog } from "../parts/dialog.mjs";
import { button, el } from "../parts/dom.mjs";
import { word } from "../parts/words.mjs";
import { Zoom, ZoomWindow } from "../parts/zoom.mjs";
import { cellName, axisName, valueName } from "./names.mjs";
import { wholeUrl } from "./pictures.mjs";

const ARROWS = {
  ArrowLeft: ["columns", -1],
  ArrowRight: ["columns", 1],
  ArrowUp: ["rows", -1],
  ArrowDown: ["rows", 1],
};

/**
 * `places()`: which cell stands where, by now; `at`: the place to begin with; `roles`: which axes are columns and rows;
 * `footer(cell)`: elements below the picture; `key(event, cell, at)`: keys that mean more than here; `closed(at)`:
 * called in the end.
 */
export function openSingle({ grid, places, roles, at, footer, key, closed }) {
  const zoom = new Zoom();
  const window = new ZoomWindow(zoom);
  const stage = el("div", { class: "danlu-grid-stage" }, window.element, el("div", { class: "danlu-grid-text" }));
  const ways = el("div", { class: "danlu-grid-ways" });
  const foot = el("div", { class: "danlu-grid-foot" });
  const page = openDialog({ title: word("grid.single"), onClose: ended });
  page.body.classList.add("danlu-grid-body");
  page.body.append(ways, stage, foot);
  const heading = page.bar.querySelector("h2");
  let here = { ...at };
  let which = 0;

  const deaf = grid.listen((number) => (number === undefined || number === places().find(here)?.n) && show());
  const sized = new ResizeObserver(() => window.place());
  sized.observe(stage);
  function ended() {
    deaf();
    sized.disconnect();
    closed(here);
  }

  function go(next) {
    if (!next) return;
    here = next.at;
    which = 0;
    show();
  }

  function step(role, direction) {
    const names = places().axes.map(({ name }) => name).filter((name) => (roles[name] ?? "rows") === role);
    // The last axis of a heading goes first, as the digits of a number.
    for (const name of names.reverse()) {
      const next = places().neighbour(here, name, direction);
      if (next) return go(next);
    }
  }

  function way({ name }) {
    const [before, after] = [-1, 1].map((direction) => places().neighbour(here, name, direction));
    const arrow = (next, text, key) => {
      const title = next ? word(key, { axis: axisName(name), value: valueName(name, next.at[name]) }) : "";
      return button(text, () => go(next), { disabled: !next, title, "aria-label": title || text });
    };
    const text = `${axisName(name)}: ${valueName(name, here[name])}`;
    const label = el("span", { class: "danlu-grid-way", text, title: text });
    return el("div", {}, arrow(before, "‹", "grid.go"), label, arrow(after, "›", "grid.go"));
  }

  function show() {
    const cell = places().find(here);
    if (!cell) return page.close(); // the grid is made anew without it
    const picture = cell.pictures[which];
    heading.textContent = cellName(cell);
    const text = picture ? "" : cell.why || word(`grid.state.${cell.state}`);
    stage.querySelector(".danlu-grid-text").textContent = text;
    if (picture) {
      window.image.src = wholeUrl(picture);
      window.show(picture.size);
    } else window.image.removeAttribute("src");
    const several = cell.pictures.length > 1 && button(`${which + 1} / ${cell.pictures.length}`, () => {
      which = (which + 1) % cell.pictures.length;
      show();
    });
    ways.replaceChildren(...places().axes.map(way), ...(several ? [several] : []));
    foot.replaceChildren(...footer(cell));
  }

  page.dialog.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement) return;
    const arrow = !zoom.scale && !event.shiftKey && ARROWS[event.key];
    if (arrow) step(...arrow);
    else if (!zoom.key(event) && !key(event, places().find(here), here)) return;
    event.preventDefault();
  });
  show();
  return page;
}
