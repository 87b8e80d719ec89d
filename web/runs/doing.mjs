// What the buttons of the list do. Each takes the view and the run's line.
import { ask, openDialog } from "../parts/dialog.mjs";
import { button, composes, el } from "../parts/dom.mjs";
import { post, say, url } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { openCurves } from "./compare.mjs";
import { openGraph, resume } from "./graphs.mjs";
import { bytes } from "./shown.mjs";
import { openTrash } from "./trash.mjs";

async function pin(view, run, pinned) {
  view.put(await post(`runs/${run.id}/pin`, { pinned }));
}

async function toFile(view, run) {
  view.tell(word("runs.exporting", { name: run.name }));
  try {
    const { file, size } = await post(`runs/${run.id}/export`);
    el("a", { href: url(`runs/${run.id}/archive`, { file }), download: file }).click();
    view.tell(word("runs.exported", { file, size: bytes(size) }));
  } catch (error) {
    view.tell("");
    throw error;
  }
}

async function trash(view, run) {
  const asked = word("runs.trash_question", { name: run.name, size: bytes(run.size) });
  if (!(await ask(asked, { yes: word("runs.act.trash") }))) return;
  const { entry } = await post(`runs/${run.id}/trash`);
  const back = async () => {
    try {
      await post(`runs/${run.id}/restore`, { entry });
      view.tell("");
    } catch (error) {
      say("error", error.message);
    }
    view.refresh();
  };
  view.tell(word("runs.trashed", { name: run.name }), "", back);
  await view.refresh();
}

function rename(view, run) {
  const field = el("input", { class: "danlu-input", value: run.name, "aria-label": word("runs.name") });
  const { body, close } = openDialog({ title: word("runs.rename_title"), size: "small" });
  const save = async () => {
    try {
      view.put(await post(`runs/${run.id}/rename`, { name: field.value }));
      close();
    } catch (error) {
      say("error", error.message);
    }
  };
  field.addEventListener("keydown", (event) => event.key === "Enter" && !composes(event) && save());
  const help = el("p", { class: "danlu-dim", text: word("runs.rename_help") });
  body.classList.add("danlu-runs-rename");
  body.append(field, button(word("runs.act.rename"), save, { class: "danlu-main" }), help);
  field.select();
}

export const doing = {
  resume: (_view, run) => resume(run),
  load: (_view, run) => openGraph(run),
  curves: (_view, run) => openCurves([run]),
  compare: (view) => openCurves(view.chosen()),
  export: toFile,
  pin: (view, run) => pin(view, run, true),
  unpin: (view, run) => pin(view, run, false),
  rename,
  trash,
  open_trash: (view) => openTrash(() => view.refresh()),
};
