// Step, loss, learning rate, speed, time left and memory of a run, in words.
import { el } from "../parts/dom.mjs";
import { shown } from "../parts/scales.mjs";
import { word } from "../parts/words.mjs";

const whole = new Intl.NumberFormat("en");

/** "1 h 05 min", "3 min 20 s", "7 s". */
export function duration(seconds) {
  const all = Math.round(seconds);
  const [h, m, s] = [Math.floor(all / 3600), Math.floor((all % 3600) / 60), all % 60];
  const two = (number) => String(number).padStart(2, "0");
  if (h) return word("train.hours", { h, m: two(m) });
  return m ? word("train.minutes", { m, s: two(s) }) : word("train.seconds", { s });
}

function speed(seconds) {
  if (seconds >= 1) return word("train.per_step", { s: seconds.toFixed(2) });
  return word("train.per_second", { n: (1 / Math.max(seconds, 1e-9)).toFixed(1) });
}

/** [[name, value], …] of what is known. */
function rows({ report, rate, averages, last, live }) {
  const { step = last, steps, seconds, left, memory } = report ?? {};
  const average = averages.at(-1)?.[1];
  const known = (value, made) => (value === undefined ? undefined : made(value));
  const goal = live && steps ? ` / ${whole.format(steps)}` : "";
  return [
    ["step", `${whole.format(step || last)}${goal}`],
    ["average", known(average, (value) => value.toFixed(4))],
    ["rate", known(rate, shown)],
    ["speed", live ? known(seconds, speed) : undefined],
    ["left", live ? known(left, duration) : undefined],
    ["memory", live && memory ? memory.replace(" of ", " / ") : undefined],
  ].filter(([, value]) => value !== undefined);
}

export function makeNumbers() {
  const list = el("dl", { class: "danlu-train-numbers" });
  const show = (run) => {
    list.replaceChildren(
      ...rows(run).map(([name, value]) => {
        const parts = [el("dt", { text: word(`train.${name}`) }), el("dd", { text: value })];
        return el("div", { dataset: { name } }, ...parts);
      }),
    );
  };
  return { list, show };
}
