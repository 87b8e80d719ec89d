// Where numbers lie on an axis, and what is written beside it.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const MOST_TICKS = 40;

/** "1,250", "0.0134", "1e-4": as short as can be read. */
export function shown(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e7) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return Number.isInteger(value) ? WHOLE.format(value) : SHORT.format(value);
}

/** Steps of 1, 2 or 5 times a power of ten, about `count` of them. */
function evenTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= rough * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9 && found.length < MOST_TICKS; k++) {
    found.push(Number((k * step).toPrecision(12)));
  }
  return found;
}

function logTicks(low, high, count) {
  const decades = Math.log10(high / low);
  if (decades < 0.3) return evenTicks(low, high, count);
  const parts = decades < 1.5 ? [1, 2, 3, 5, 7] : decades < count / 2 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil(decades / Math.max(1, count)));
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high) + 1e-9; power += every) {
    found.push(...parts.map((part) => Number((part * 10 ** power).toPrecision(12))));
  }
  return found.filter((value) => value >= low * 0.999 && value <= high * 1.001).slice(0, MOST_TICKS);
}

/**
 * An axis from `low` to `high` (numbers) on `from` to `to` (pixels); `log`: by powers of ten, both above 0.
 * `place(value)` gives pixels, `value(pixel)` the reverse, `ticks(count)` about so many round numbers.
 */
export function scale(low, high, from, to, log = false) {
  const [bend, unbend] = log ? [Math.log10, (each) => 10 ** each] : [(each) => each, (each) => each];
  const [first, last] = [bend(low), bend(high)];
  const share = (to - from) / (last - first || 1);
  return {
    low,
    high,
    place: (value) => from + (bend(value) - first) * share,
    value: (pixel) => unbend(first + (pixel - from) / share),
    ticks: (count) => (log ? logTicks : evenTicks)(low, high, count),
  };
}

const LOOSE = 0.99;

/** [lowest, highest] y of a series within the xs; of a `loose` one single peaks do not count. */
function heights({ points, loose }, [left, right], log) {
  const found = [];
  for (const [x, y] of points) if (x >= left && x <= right && Number.isFinite(y) && (!log || y > 0)) found.push(y);
  if (!found.length) return undefined;
  found.sort((a, b) => a - b);
  return [found[0], found[loose ? Math.floor(LOOSE * (found.length - 1)) : found.length - 1]];
}

/** [lowest, highest] x of all series; undefined where there is no point. */
export function width(series) {
  const ends = series.filter(({ points }) => points.length).flatMap(({ points }) => [points[0][0], points.at(-1)[0]]);
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : undefined;
}

/**
 * [lowest, highest] y to draw, with a little room above: from 0 on; with `log` from the lowest point on; with `fit` from
 * below it, so that curves that lie close fill the height.
 */
export function height(series, xs, log, fit = false) {
  const found = series.map((each) => heights(each, xs, log)).filter(Boolean);
  if (!found.length) return log ? [0.1, 1] : [0, 1];
  const low = Math.min(...found.map(([lowest]) => lowest));
  const high = Math.max(...found.map(([, highest]) => highest));
  if (log) return [low / 1.1, Math.max(high, low) * 1.2];
  const foot = fit ? low : Math.min(0, low);
  const room = 0.08 * (high - foot) || 1;
  return [low < 0 ? foot - room : Math.max(0, foot - room), high + room];
}

/** The place of the point whose x is nearest; `points` by x, at least one. */
export function nearest(points, x) {
  let [low, high] = [0, points.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && x - points[low - 1][0] <= points[low][0] - x ? low - 1 : low;
}
