// What can be done with a cell: its picture opened and saved, its workflow loaded, pinned, its LoRA kept.
import { app } from "../../../scripts/app.js";
import { openDialog } from "../parts/dialog.mjs";
import { button, el } from "../parts/dom.mjs";
import { get, post, reached, say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { cellName } from "./names.mjs";
import { wholeUrl } from "./pictures.mjs";

const told = (error) => say("error", error.message, 15000);

export function openPicture(cell, which = 0) {
  window.open(wholeUrl(cell.pictures[which]), "_blank", "noopener");
}

export function savePicture(cell) {
  for (const picture of cell.pictures) {
    const link = el("a", { href: wholeUrl(picture), download: picture.filename });
    document.body.append(link);
    link.click();
    link.remove();
  }
}

/** Opens the workflow that is in a cell's picture, beside the one that is open. `left`: called before. */
export async function loadWorkflow(cell, left) {
  try {
    const [picture] = cell.pictures;
    const answer = await reached(fetch(wholeUrl(picture)));
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    const file = new File([await answer.blob()], picture.filename, { type: "image/png" });
    left();
    await app.handleFile(file);
  } catch (error) {
    told(error);
  }
}

export async function pin(grid, cell) {
  try {
    const { pinned } = await post(`grids/${grid.id}/cell/${cell.n}/pin`, { pinned: !cell.pinned });
    for (const each of grid.data.cells) each.pinned = pinned.includes(each.n);
    grid.changed(cell.n);
  } catch (error) {
    told(error);
  }
}

export const canKeep = (cell) => cell.state === "done" && cell.kind !== "" && cell.kind !== "given";

/** Asks for a name, and saves the cell's LoRA under it. Resolves when that is done or given up. */
export async function keep(grid, cell) {
  if (!canKeep(cell)) return say("warn", word("grid.keep.none"));
  const place = `grids/${grid.id}/cell/${cell.n}`;
  try {
    const name = cell.kind === "file" ? "" : await askName(cell, (await get(`${place}/name`)).name);
    if (name === undefined) return;
    const kept = await post(`${place}/keep`, { name });
    grid.set(cell.n, { kept: kept.name });
    const strength = kept.strength === null ? "" : word("grid.keep.strength", { strength: kept.strength });
    const key = kept.already ? "grid.keep.already" : "grid.keep.done";
    say("success", [word(key, { path: kept.path }), strength].filter(Boolean).join("\n"), 20000);
    if (!kept.already) await app.refreshComboInNodes?.();
  } catch (error) {
    told(error);
  }
}

/** A name for the file, or undefined. */
function askName(cell, suggested) {
  return new Promise((resolve) => {
    let name;
    const { body, close } = openDialog({ title: word("grid.keep"), size: "small", onClose: () => resolve(name) });
    const input = el("input", { class: "danlu-input danlu-grid-name", value: suggested, maxLength: 120 });
    const done = (event) => {
      event.preventDefault();
      name = input.value.trim() || suggested;
      close();
    };
    const label = el("label", { class: "danlu-grid-label" }, el("span", { text: word("grid.keep.name") }), input);
    const agree = button(word("grid.keep"), done, { class: "danlu-main" });
    const no = button(word("dialog.no"), close);
    const intro = el("p", { text: word("grid.keep.intro", { cell: cellName(cell) }) });
    const strength = cell.at.strength;
    const hint = strength !== null && el("p", { class: "danlu-dim", text: word("grid.keep.hint", { strength }) });
    const row = el("div", { class: "danlu-grid-answers" }, no, agree);
    body.append(el("form", { on: { submit: done } }, intro, label, hint || "", row));
    input.focus();
    input.select();
  });
}
