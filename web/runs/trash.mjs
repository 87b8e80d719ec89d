// The runs that were thrown away: each can be taken back.
import { openDialog } from "../parts/dialog.mjs";
import { button, el } from "../parts/dom.mjs";
import { get, post, say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { bytes, number, when } from "./shown.mjs";

/** `restored` is called after each one that came back. */
export async function openTrash(restored) {
  const { body } = openDialog({ title: word("runs.trash_title") });
  body.classList.add("danlu-runs-trash");
  const list = el("ul");
  const count = el("p", { class: "danlu-dim" });
  body.append(el("p", { class: "danlu-dim", text: word("runs.trash_help") }), count, list);

  const take = async (entry, pressed) => {
    pressed.disabled = true;
    try {
      await post(`runs/${entry.id}/restore`, { entry: entry.entry });
      restored();
    } catch (error) {
      say("error", error.message);
    }
    await show();
  };
  const line = (entry) => {
    const about = [word("runs.step", { step: number(entry.step) }), bytes(entry.size), when(entry.gone)];
    const pressed = ({ currentTarget }) => take(entry, currentTarget);
    const name = el("strong", { text: entry.name, title: entry.id });
    const told = el("span", { class: "danlu-dim", text: about.filter(Boolean).join(" · ") });
    return el("li", { dataset: { entry: entry.entry } }, name, told, button(word("runs.restore"), pressed));
  };
  const show = async () => {
    const { runs } = await get("trash");
    const size = runs.reduce((sum, entry) => sum + entry.size, 0);
    const told = { count: runs.length, size: bytes(size) };
    count.textContent = runs.length ? word("runs.count", told) : word("runs.empty");
    list.replaceChildren(...runs.map(line));
  };
  await show().catch((error) => say("error", error.message));
}
