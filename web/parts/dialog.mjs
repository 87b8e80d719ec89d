// Pages that lie over the graph. The keyboard stays in the topmost one, and the host's shortcuts stay out.
import { button, composes, el } from "./dom.mjs";
import { word } from "./words.mjs";

const REACHED = 'button:not(:disabled), input:not(:disabled), select, textarea, a[href], [tabindex="0"]';
const open = [];
const isUndo = ({ key, ctrlKey, metaKey }) => (ctrlKey || metaKey) && /^[zy]$/i.test(key);

function keepFocus(event, dialog) {
  const all = [...dialog.querySelectorAll(REACHED)].filter((each) => each.offsetParent !== null);
  if (!all.length) return event.preventDefault();
  const [first, last] = [all[0], all.at(-1)];
  const here = document.activeElement;
  if (event.shiftKey ? here === first || here === dialog : here === last) {
    event.preventDefault();
    (event.shiftKey ? last : first).focus();
  }
}

/** The host would open a file that is dropped here, over the graph. */
function refuseFiles(event) {
  event.stopPropagation();
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "none";
}

// What had the keyboard may have gone from the page, a line of a table say: its keys are meant for the topmost page, too.
window.addEventListener(
  "keydown",
  (event) => {
    const dialog = open.at(-1)?.firstChild;
    if (!dialog) return;
    // The host hears of it before this, and undoes with the next frame where Alt is not held.
    if (isUndo(event)) Object.defineProperty(event, "altKey", { value: true });
    if (event.target !== document.body) return;
    event.stopImmediatePropagation();
    dialog.focus();
    if (!dialog.dispatchEvent(new KeyboardEvent("keydown", event))) event.preventDefault();
  },
  true,
);

/**
 * Opens a page over the graph. `size`: "full" or "small"; `onClose` is called once, `mayClose` (may be async) is asked
 * before. Keys go to the page alone: listen on `dialog`. Returns { dialog, bar, body, close }.
 */
export function openDialog({ title, size = "full", onClose = () => {}, mayClose = () => true }) {
  const before = document.activeElement;
  const heading = el("h2", { text: title });
  const bar = el("div", { class: "danlu-bar" }, heading);
  const body = el("div", { class: "danlu-body" });
  const attributes = { role: "dialog", "aria-modal": "true", "aria-label": title, tabIndex: -1 };
  const dialog = el("div", { class: `danlu-dialog danlu-${size}`, ...attributes }, bar, body);
  const cover = el("div", { class: "danlu-cover" }, dialog);
  const close = () => {
    if (!open.includes(cover)) return;
    open.splice(open.indexOf(cover), 1);
    cover.remove();
    before?.focus?.();
    onClose();
  };
  const leave = async () => (await mayClose()) && close();
  bar.append(button("✕", leave, { title: word("dialog.close"), "aria-label": word("dialog.close") }));
  // The host listens to keys on the window: what is pressed here is not meant for the graph.
  cover.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Tab") keepFocus(event, dialog);
    if (event.key === "Escape" && !event.defaultPrevented && !composes(event)) leave();
  });
  for (const kind of ["keyup", "keypress", "paste", "copy", "cut", "wheel", "pointerdown", "contextmenu"]) {
    cover.addEventListener(kind, (event) => event.stopPropagation());
  }
  for (const kind of ["dragenter", "dragover", "drop"]) cover.addEventListener(kind, refuseFiles);
  document.body.append(cover);
  open.push(cover);
  dialog.focus();
  return { dialog, bar, body, close };
}

/** A question with two buttons; resolves to whether the answer was yes. */
export function ask(question, { yes = word("dialog.yes"), no = word("dialog.no") } = {}) {
  return new Promise((resolve) => {
    let answer = false;
    const { body, close } = openDialog({ title: "Danlu", size: "small", onClose: () => resolve(answer) });
    const choose = (chosen) => () => {
      answer = chosen;
      close();
    };
    const agree = button(yes, choose(true), { class: "danlu-main" });
    const row = { display: "flex", gap: "8px", justifyContent: "flex-end" };
    const text = el("p", { text: question, style: { whiteSpace: "pre-wrap", marginTop: "0" } });
    body.append(text, el("div", { style: row }, button(no, choose(false)), agree));
    agree.focus();
  });
}
