// What the trainer will see of a picture: the final text with its length, and what is left of the picture at each size.
import { el } from "../parts/dom.mjs";
import { word } from "../parts/words.mjs";

const sizeOf = ([height, width]) => `${width} × ${height}`;
const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** Boxes for the picture: what is left of it at each size. */
export function cropBoxes(seen) {
  return seen.items[0].fits.map(({ bucket, box }) => ({ kind: "crop", label: sizeOf(bucket), box }));
}

/** What the trainer's route said of one picture; `failed`: why it said nothing. */
export function trainerPanel(seen, failed) {
  const head = el("h3", { text: word("dataset.trainer") });
  if (failed) return el("section", {}, head, el("p", { class: "danlu-bad", text: failed }));
  if (!seen) return el("section", {}, head, el("p", { class: "danlu-dim", text: "…" }));
  const [{ caption, tokens, fits }] = seen.items;
  const text = el("p", { class: "danlu-lines danlu-final", text: caption || word("dataset.no_caption") });
  return el("section", {}, head, text, lengths(tokens), sizes(fits, seen.buckets));
}

/** Without the columns that are empty in every row. */
function table(keys, rows) {
  const used = (_, place) => rows.some((cells) => cells[place] !== "");
  const heads = el("tr", {}, keys.filter(used).map((key) => el("th", { text: word(key), scope: "col" })));
  const lines = rows.map((cells) => el("tr", {}, cells.filter(used).map((text) => el("td", { text }))));
  return el("table", { class: "danlu-table danlu-numbers" }, el("thead", {}, heads), el("tbody", {}, lines));
}

function lengths(tokens) {
  const pieces = ({ chunks, most }) => (most ? word("dataset.pieces", { chunks, most }) : "");
  const rows = tokens.map((each) => [each.tokenizer, each.tokens, pieces(each)]);
  return table(["dataset.tokenizer", "dataset.tokens", "dataset.read_in"], rows);
}

function sizes(fits, buckets) {
  const rows = fits.map(({ bucket, lost, enlarged }) => {
    const same = buckets.filter(({ size }) => size[0] === bucket[0] && size[1] === bucket[1]);
    const pictures = same.reduce((sum, each) => sum + each.pictures, 0);
    return [sizeOf(bucket), percent(lost), pictures, enlarged ? word("dataset.enlarged") : ""];
  });
  return table(["dataset.trained_at", "dataset.cut_off", "dataset.in_bucket", "dataset.note"], rows);
}

/** Boxes of the faces, and of the crops that Face Crops (Danlu) would make of them. */
export function faceBoxes({ faces, crops }) {
  const found = faces.map(([left, top, width, height]) => {
    return { kind: "face", label: word("dataset.face"), box: [left, top, left + width, top + height] };
  });
  const made = crops.map(({ box, large }) => {
    const size = { width: box[2] - box[0], height: box[3] - box[1] };
    const label = word(large ? "dataset.face_crop" : "dataset.face_small", size);
    return { kind: large ? "keep" : "small", label, box };
  });
  return [...made, ...found];
}

export function facesPanel({ faces, crops, why_not: whyNot }) {
  const kept = crops.filter(({ large }) => large).length;
  const text = whyNot || word("dataset.faces_found", { faces: faces.length, crops: kept });
  return el("section", {}, el("h3", { text: word("dataset.faces") }), el("p", { text }));
}
