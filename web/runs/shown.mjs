// Numbers, times and small curves as people read them.
import { language, word } from "../parts/words.mjs";

const SVG = "http://www.w3.org/2000/svg";
const UNITS = ["B", "kB", "MB", "GB", "TB"];
const TIMES = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3600], ["minute", 60]];
const [WIDE, HIGH, EDGE] = [72, 26, 2];
const REACH = 2;

export const number = (value) => value.toLocaleString(language());

export function bytes(size) {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, size)) / 3)));
  const value = size / 1000 ** power;
  return `${value.toLocaleString(language(), { maximumFractionDigits: value < 10 && power ? 1 : 0 })} ${UNITS[power]}`;
}

/** "2 hours ago"; `seconds` since the epoch. */
export function ago(seconds) {
  if (!seconds) return "";
  const past = Math.max(0, Date.now() / 1000 - seconds);
  const [unit, length] = TIMES.find(([, each]) => past >= each) ?? [];
  if (!unit) return word("runs.just_now");
  return new Intl.RelativeTimeFormat(language(), { numeric: "auto" }).format(-Math.floor(past / length), unit);
}

export const when = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleString(language()) : "");

/** Each value with those around it: steps that are few are so noisy that no line could be read. */
function smooth(values) {
  const mean = (some) => some.reduce((sum, value) => sum + value, 0) / some.length;
  return values.map((_, i) => mean(values.slice(Math.max(0, i - REACH), i + REACH + 1)));
}

/** How the loss went, as a line of a finger's breadth; single peaks do not press the rest flat. */
export function sparkline(losses) {
  const values = smooth(losses);
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("class", "danlu-runs-curve");
  picture.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  picture.setAttribute("aria-hidden", "true");
  if (values.length < 2) return picture;
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[0], sorted[Math.floor(0.97 * (sorted.length - 1))]];
  const x = (i) => EDGE + (i / (values.length - 1)) * (WIDE - 2 * EDGE);
  const y = (value) => HIGH - EDGE - (Math.min(1, (value - low) / (high - low || 1))) * (HIGH - 2 * EDGE);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" "));
  picture.append(line);
  return picture;
}
