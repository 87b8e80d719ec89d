// A change of many captions: first what it would do, side by side; only then is anything written.
import { openDialog } from "../parts/dialog.mjs";
import { button, el } from "../parts/dom.mjs";
import { post, say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";
import { differenceLines } from "./difference.mjs";

/** A list of { n, name, before, after } with the changed parts marked; `all`: how many there are, shown or not. */
export function differenceList(store, found, all = found.length, left = []) {
  const list = el("div", { class: "danlu-differences", role: "list" }, found.map((each) => entry(store, each)));
  const more = all > found.length && word("dataset.and_more", { count: all - found.length });
  const kept = left.map((each) => (typeof each === "string" ? each : `${each.name}: ${each.why}`)).join("\n");
  return [
    list,
    more && el("p", { class: "danlu-dim", text: more }),
    kept && el("p", { class: "danlu-lines", text: `${word("dataset.left")}\n${kept}` }),
  ].filter(Boolean);
}

function entry(store, { n, name, before, after }) {
  const item = n === undefined ? undefined : (store.items.get(n) ?? { n });
  const picture = item && el("img", { src: store.thumb(item, 128), alt: "", loading: "lazy" });
  const text = el("div", {}, el("div", { class: "danlu-dim", text: name }), differenceLines(before, after));
  return el("div", { class: "danlu-difference", role: "listitem" }, picture, text);
}

/** A page with a foot that holds the buttons. Resolves to whether `yes` was pressed. */
export function confirmed({ title, content, summary, yes }) {
  return new Promise((resolve) => {
    let answer = false;
    const page = openDialog({ title, onClose: () => resolve(answer) });
    const agree = () => {
      answer = true;
      page.close();
    };
    const apply = yes && button(yes, agree, { class: "danlu-main" });
    const cancel = button(word(yes ? "dialog.no" : "dialog.close"), page.close);
    page.body.append(...content);
    page.dialog.append(el("div", { class: "danlu-foot" }, el("span", { text: summary }), cancel, apply));
    (apply ?? cancel).focus();
  });
}

/**
 * Asks the server what a change would do, shows it, and applies just that. `route`: "replace" or "tags"; `what`: the
 * change as the route takes it. Resolves to whether anything was written.
 */
export async function propose(store, status, route, what) {
  if (store.drafts.size) return say("warn", word("dataset.save_first"));
  try {
    const path = `${store.path}/${route}`;
    const { plan, changed: count, differences, left } = await post(path, { ...what, apply: false });
    if (!count && !left.length) return say("info", word("dataset.no_change"));
    const agreed = await confirmed({
      title: word("dataset.would_change"),
      content: differenceList(store, differences, count, left),
      summary: word("dataset.count_change", { count }),
      yes: count > 0 && word("dataset.apply_to", { count }),
    });
    if (!agreed) return false;
    const done = await post(path, { ...what, apply: true, plan });
    if (done.run) store.runs.push(done.run);
    await store.changed();
    status.tell(word("dataset.done_change", { count: done.changed }), true);
    return true;
  } catch (error) {
    say("error", error.message, 12000);
    return false;
  }
}
