// The dataset view: a page over the graph with the pictures, their captions, and what can be done with all of them.
import { ask, openDialog } from "../parts/dialog.mjs";
import { button, el, style } from "../parts/dom.mjs";
import { say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { dropDialog, Dropped } from "./dropped.mjs";
import { Gallery } from "./gallery.mjs";
import { openLarge } from "./large.mjs";
import { Replace } from "./replace.mjs";
import { Status } from "./status.mjs";
import { Store } from "./store.mjs";
import { Tags } from "./tags.mjs";
import { toolbar } from "./toolbar.mjs";
import { undoDialog } from "./undo.mjs";

style(new URL("view.css", import.meta.url));

/** Panels beside the pictures, one of them shown. */
function panels(all) {
  const tabs = el("div", { class: "danlu-tabs", role: "tablist", "aria-label": word("dataset.tools") });
  const side = el("div", { class: "danlu-side" }, tabs);
  const choose = (name) => {
    for (const [each, { tab, panel }] of Object.entries(made)) {
      tab.setAttribute("aria-selected", String(each === name));
      tab.tabIndex = each === name ? 0 : -1;
      panel.element.hidden = each !== name;
    }
    made[name].panel.show();
  };
  const made = {};
  for (const [name, panel] of Object.entries(all)) {
    const tab = button(word(`dataset.tab.${name}`), () => choose(name), { role: "tab", class: "danlu-tab" });
    panel.element.setAttribute("role", "tabpanel");
    panel.element.setAttribute("aria-label", word(`dataset.tab.${name}`));
    made[name] = { tab, panel };
    tabs.append(tab);
    side.append(panel.element);
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = Object.keys(made);
    const here = names.findIndex((name) => made[name].tab === document.activeElement);
    const next = names[(here + step + names.length) % names.length];
    choose(next);
    made[next].tab.focus();
  });
  choose(Object.keys(all)[0]);
  return side;
}

/** Whether the page may be closed: what was typed and not saved is asked about. */
async function mayClose(store) {
  const count = store.drafts.size;
  return !count || ask(word("dataset.close_unsaved", { count }), { yes: word("dataset.discard_close") });
}

/**
 * Opens the view. `about`: what the server says of the dataset (GET datasets/{id}); `title`: of the node that gives it;
 * `resolution`: what it is encoded at, where the node knows.
 */
export async function openDataset(about, { title, resolution }) {
  const store = new Store(about);
  const failed = (error) => say("error", error.message, 12000);
  const page = openDialog({
    title: word("dataset.title", { title }),
    mayClose: () => mayClose(store),
    onClose: () => gallery.close(),
  });
  const drop = () => dropDialog(store, status).catch(failed).then(() => gallery.activate(gallery.active));
  const large = (place) => openLarge(store, place, { resolution, closed: (at) => gallery.activate(at) });
  const gallery = new Gallery(store, { large, drop, save: (ns) => status.save(ns) });
  const undo = () => undoDialog(store, status).catch(failed);
  const status = new Status(store, { drop, undo, all: () => gallery.selection.all() });
  const kinds = { tags: Tags, replace: Replace, dropped: Dropped };
  const made = Object.entries(kinds).map(([name, Kind]) => [name, new Kind(store, status)]);
  const side = panels(Object.fromEntries(made));
  const split = el("div", { class: "danlu-split" }, gallery.element, side);
  page.dialog.classList.add("danlu-dataset");
  page.bar.lastChild.before(...toolbar(store, { gallery, large, undo }));
  page.body.append(split);
  page.dialog.append(status.element);
  await store.reload().catch(failed);
  gallery.activate(0);
}
