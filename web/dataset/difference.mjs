// Two texts, with what differs marked word by word.
import { el } from "../parts/dom.mjs";

/** Spaces, Chinese letters one by one, words, and signs. */
const WORDS = /\s+|\p{Script=Han}|(?:(?!\p{Script=Han})[\p{L}\p{N}_'-])+|./gu;
/** Pairs of words to compare at most; longer texts are marked as a whole between what they share at both ends. */
const MOST = 400_000;

/** [kind, text] pieces, kind "same", "old" or "new". */
export function differences(before, after) {
  const [old, now] = [before, after].map((text) => text.match(WORDS) ?? []);
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start++;
  let end = 0;
  while (end < Math.min(old.length, now.length) - start && old.at(-1 - end) === now.at(-1 - end)) end++;
  const same = (words) => words.map((text) => ["same", text]);
  const middle = compared(old.slice(start, old.length - end), now.slice(start, now.length - end));
  return joined([...same(old.slice(0, start)), ...middle, ...same(end ? old.slice(-end) : [])]);
}

/** By the longest common subsequence. */
function compared(old, now) {
  const whole = [...old.map((text) => ["old", text]), ...now.map((text) => ["new", text])];
  if (!old.length || !now.length || old.length * now.length > MOST) return whole;
  const wide = now.length + 1;
  const longest = new Uint16Array((old.length + 1) * wide);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      const skipped = Math.max(longest[(i + 1) * wide + j], longest[i * wide + j + 1]);
      longest[i * wide + j] = old[i] === now[j] ? longest[(i + 1) * wide + j + 1] + 1 : skipped;
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < old.length && j < now.length) {
    if (old[i] === now[j]) {
      found.push(["same", old[i++]]);
      j++;
    } else if (longest[(i + 1) * wide + j] >= longest[i * wide + j + 1]) found.push(["old", old[i++]]);
    else found.push(["new", now[j++]]);
  }
  const left = [...old.slice(i).map((text) => ["old", text]), ...now.slice(j).map((text) => ["new", text])];
  return [...found, ...left];
}

/** Neighbours of one kind as one piece. */
function joined(pieces) {
  const found = [];
  for (const [kind, text] of pieces) {
    if (found.at(-1)?.[0] === kind) found.at(-1)[1] += text;
    else found.push([kind, text]);
  }
  return found;
}

/** The line before and the line after. */
export function differenceLines(before, after) {
  const pieces = differences(before, after);
  const line = (tag, kind) =>
    el(
      "div",
      { class: `danlu-line danlu-line-${kind}` },
      pieces.filter(([each]) => each === "same" || each === kind).map(([each, text]) =>
        each === "same" ? el("span", { text }) : el(tag, { text }),
      ),
    );
  return [line("del", "old"), line("ins", "new")];
}
