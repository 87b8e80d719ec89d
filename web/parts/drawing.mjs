// How a chart looks: see chart.mjs.
import { nearest, shown, width } from "./scales.mjs";

export const FONT = '12px system-ui, "Noto Sans", "PingFang SC", "Microsoft YaHei", sans-serif';
export const PAD = { right: 12, top: 10, bottom: 24 };
const LINE = 16;
const THICK = 1.5;
const DASHES = [5, 4];
const REACH = 12;
const MOST_ROWS = 14;

/** What `canvas` inherits of the theme. */
export function inks(canvas) {
  const style = getComputedStyle(canvas);
  const of = (name, other) => style.getPropertyValue(name).trim() || other;
  return {
    text: of("--danlu-fg", "#ddd"),
    dim: of("--danlu-dim", "#999"),
    line: of("--danlu-line", "#4e4e4e"),
    ground: of("--danlu-bg", "#202020"),
    of: (colour) => (colour.startsWith("--") ? of(colour, "#999") : colour),
  };
}

/** Lowest and highest point of each pixel column: what the eye sees of a curve stays the same. */
function* thinned(points, x, y, [left, right]) {
  let column = [];
  let at;
  const flush = () => {
    if (column.length < 4) return column;
    const tops = column.map(([, height]) => height);
    const ends = [tops.indexOf(Math.min(...tops)), tops.indexOf(Math.max(...tops))];
    const wanted = [...new Set([0, ...ends, column.length - 1])].sort((a, b) => a - b);
    return wanted.map((place) => column[place]);
  };
  const last = points.length - 1;
  for (let k = 0; k <= last; k++) {
    // One point on either side of the frame, so that the curve runs on to its edge.
    if (points[Math.min(k + 1, last)][0] < left || points[Math.max(k - 1, 0)][0] > right) continue;
    const place = [x.place(points[k][0]), y.place(points[k][1])];
    if (!Number.isFinite(place[1])) continue;
    if (Math.round(place[0]) !== at) {
      yield* flush();
      column = [];
      at = Math.round(place[0]);
    }
    column.push(place);
  }
  yield* flush();
}

const MOST_TICKS = 12;
const often = (long, apart) => Math.min(MOST_TICKS, Math.max(2, Math.floor(long / apart)));

function drawFrame(pen, frame, ink, options) {
  const { x, y, box } = frame;
  pen.strokeStyle = ink.line;
  pen.fillStyle = ink.dim;
  pen.lineWidth = 1;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const value of y.ticks(often(box.bottom - box.top, 36))) {
    const at = Math.round(y.place(value)) + 0.5;
    pen.globalAlpha = 0.35;
    pen.beginPath();
    pen.moveTo(box.left, at);
    pen.lineTo(box.right, at);
    pen.stroke();
    pen.globalAlpha = 1;
    pen.fillText(shown(value), box.left - 6, at);
  }
  pen.textBaseline = "top";
  pen.textAlign = "center";
  const whole = x.ticks(often(box.right - box.left, 80)).filter(Number.isInteger);
  for (const value of whole) {
    const most = box.right + PAD.right - pen.measureText(shown(value)).width / 2 - 1;
    pen.fillText(shown(value), Math.min(x.place(value), most), box.bottom + 7);
  }
  if (options.xName && !whole.some((value) => x.place(value) > box.right - 60)) {
    pen.textAlign = "right";
    pen.fillText(options.xName, box.right, box.bottom + 7);
  }
}

function drawSeries(pen, frame, ink, { points, colour, dashed, alpha = 1, width: thick = THICK, dots }) {
  const places = [...thinned(points, frame.x, frame.y, [frame.x.low, frame.x.high])];
  pen.globalAlpha = alpha;
  pen.strokeStyle = pen.fillStyle = ink.of(colour);
  pen.lineWidth = thick;
  pen.lineJoin = "round";
  pen.setLineDash(dashed === true ? DASHES : dashed || []);
  pen.beginPath();
  places.forEach(([left, top], k) => (k ? pen.lineTo(left, top) : pen.moveTo(left, top)));
  pen.stroke();
  pen.setLineDash([]);
  for (const [left, top] of dots || places.length === 1 ? places : []) {
    pen.beginPath();
    pen.arc(left, top, 2.5, 0, 2 * Math.PI);
    pen.fill();
  }
  pen.globalAlpha = 1;
}

/** Checkpoints and the like: small triangles on the axis. */
function drawMarks(pen, { x, box }, ink, marks) {
  for (const { x: at, colour = "--danlu-accent" } of marks) {
    const left = x.place(at);
    if (left < box.left - 1 || left > box.right + 1) continue;
    pen.fillStyle = ink.of(colour);
    pen.beginPath();
    pen.moveTo(left, box.bottom - 5);
    pen.lineTo(left - 4, box.bottom + 2);
    pen.lineTo(left + 4, box.bottom + 2);
    pen.fill();
  }
}

/** The names that there is room for, those of thick curves first. */
function drawLegend(pen, { box }, ink, series) {
  let left = box.left;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  for (const each of [...series].sort((a, b) => (b.width ?? THICK) - (a.width ?? THICK))) {
    const long = pen.measureText(each.name).width;
    if (left + 20 + long > box.right && left > box.left) continue;
    pen.globalAlpha = Math.max(each.alpha ?? 1, 0.5);
    pen.fillStyle = ink.of(each.colour);
    pen.fillRect(left, PAD.top + 4, 14, 3);
    pen.globalAlpha = 1;
    pen.fillStyle = ink.text;
    pen.fillText(each.name, left + 19, PAD.top + 6);
    left += 19 + long + 14;
  }
}

/** What lies at `x`: [{ colour, text }]; each curve with the point next to it. */
function readout({ x: axis }, x, { series, marks }, options) {
  const rows = [];
  for (const { name, colour, points } of series) {
    const ends = points.length ? [axis.place(points[0][0]) - REACH, axis.place(points.at(-1)[0]) + REACH] : [0, -1];
    if (axis.place(x) < ends[0] || axis.place(x) > ends[1]) continue;
    rows.push({ colour, text: `${name}  ${shown(points[nearest(points, x)][1])}` });
  }
  const near = marks.filter((mark) => Math.abs(axis.place(mark.x) - axis.place(x)) <= 5 && mark.text);
  const head = { text: `${options.xName ?? ""} ${shown(Math.round(x))}`.trim() };
  return [head, ...rows.slice(0, MOST_ROWS), ...near.slice(0, 2).map(({ text }) => ({ text }))];
}

function drawReadout(pen, frame, ink, x, rows) {
  const { box } = frame;
  const at = frame.x.place(x);
  pen.strokeStyle = ink.dim;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(Math.round(at) + 0.5, box.top);
  pen.lineTo(Math.round(at) + 0.5, box.bottom);
  pen.stroke();
  const wide = Math.max(...rows.map(({ text }) => pen.measureText(text).width)) + 30;
  const high = rows.length * LINE + 8;
  const left = at + 10 + wide > box.right ? Math.max(2, at - 10 - wide) : at + 10;
  pen.fillStyle = ink.ground;
  pen.globalAlpha = 0.92;
  pen.beginPath();
  pen.roundRect(left, box.top + 2, wide, high, 5);
  pen.fill();
  pen.globalAlpha = 1;
  pen.strokeStyle = ink.line;
  pen.stroke();
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  rows.forEach(({ colour, text }, k) => {
    const top = box.top + 6 + k * LINE + LINE / 2;
    pen.fillStyle = colour ? ink.of(colour) : ink.text;
    if (colour) pen.fillRect(left + 8, top - 4, 8, 8);
    pen.fillStyle = ink.text;
    pen.fillText(text, left + (colour ? 22 : 8), top);
  });
}

function drawDrag(pen, { box }, ink, [from, to]) {
  pen.globalAlpha = 0.2;
  pen.fillStyle = ink.of("--danlu-accent");
  pen.fillRect(Math.min(from, to), box.top, Math.abs(to - from), box.bottom - box.top);
  pen.globalAlpha = 1;
}

/**
 * All of a chart on `pen`, whose unit is the page's pixel. `frame`: { x, y (scales), box }; `shape`: [width, height];
 * `now`: { cursor (an x) and drag (two pixels), where there are any }.
 */
export function drawChart(pen, frame, ink, { series, marks }, options, shape, now) {
  pen.clearRect(0, 0, ...shape);
  if (!width(series)) {
    pen.fillStyle = ink.dim;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(options.empty ?? "", shape[0] / 2, shape[1] / 2);
    return;
  }
  const { box } = frame;
  drawFrame(pen, frame, ink, options);
  pen.save();
  pen.beginPath();
  pen.rect(box.left, box.top - 4, box.right - box.left + 3, box.bottom - box.top + 8);
  pen.clip();
  for (const each of series) if (each.points.length) drawSeries(pen, frame, ink, each);
  pen.restore();
  drawMarks(pen, frame, ink, marks);
  if (options.legend) drawLegend(pen, frame, ink, series);
  if (now.drag) drawDrag(pen, frame, ink, now.drag);
  if (now.cursor !== undefined) {
    drawReadout(pen, frame, ink, now.cursor, readout(frame, now.cursor, { series, marks }, options));
  }
}
