// Taking back what was written last: what that would do is shown first.
import { el } from "../parts/dom.mjs";
import { post, say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { confirmed, differenceList } from "./propose.mjs";

export async function undoDialog(store, status) {
  if (store.drafts.size) return say("warn", word("dataset.save_first"));
  const path = `${store.path}/undo`;
  const run = store.runs.at(-1) ?? "";
  const dry = await post(path, { run, apply: false });
  const count = dry.restored.length + dry.removed.length;
  if (!count) store.runs.pop(); // undone elsewhere: the one before it is next
  if (!dry.run || !count) return say("info", dry.note || word("dataset.nothing_to_undo"));
  const files = [...dry.restored, ...dry.removed].join("\n");
  const lines = dry.differences.length ? [] : [el("p", { class: "danlu-lines", text: files })];
  const agreed = await confirmed({
    title: word("dataset.would_undo"),
    content: [...lines, ...differenceList(store, dry.differences, dry.differences.length, dry.left)],
    summary: word("dataset.count_undo", { count, run: dry.run }),
    yes: word("dataset.undo_last"),
  });
  if (!agreed) return undefined;
  const done = await post(path, { run: dry.run, apply: true });
  store.runs.pop();
  await store.changed();
  const undone = done.restored.length + done.removed.length;
  return status.tell(word("dataset.done_undo", { count: undone }), store.undoable);
}
