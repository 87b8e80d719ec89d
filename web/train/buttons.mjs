// Finish now, pause, save a checkpoint now: asked of the server, which tells the trainer between two steps.
import { addButton } from "../parts/graph.mjs";
import { post, say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";

const COMMANDS = ["finish", "pause", "save"];
const buttons = new WeakMap();
const reasons = new WeakMap();

async function ask(command) {
  try {
    await post(`train/${command}`);
    say("info", word(`train.told.${command}`));
  } catch (error) {
    if (error.status === 409) say("warn", word("train.idle"));
    else say("error", error.message);
  }
}

function addCommand(node, command) {
  const more = { tooltip: word(`train.told.${command}`), disabled: true };
  return addButton(node, `danlu_${command}`, word(`train.${command}`), () => ask(command), more);
}

export function addButtons(node) {
  buttons.set(node, COMMANDS.map((command) => addCommand(node, command)));
  reasons.set(node, new Set());
}

/** The buttons work as long as any `why` says that the node trains. */
export function enable(node, why, trains) {
  const all = reasons.get(node);
  if (!all || all.has(why) === trains) return;
  if (trains) all.add(why);
  else all.delete(why);
  for (const button of buttons.get(node)) button.disabled = !all.size;
  node.setDirtyCanvas(true);
}
