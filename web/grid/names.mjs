// What axes, places and cells are called.
import { word } from "../parts/words.mjs";

// The server names these in English, as on its pictures.
const KNOWN = new Map([["no LoRA", "grid.base"], ["before", "grid.before"], ["truth", "grid.truth"]]);

export const axisName = (name) => word(`grid.axis.${name}`);

export function valueName(axis, value) {
  if (value === null || value === undefined) return word("grid.any");
  if (axis === "checkpoint") return KNOWN.has(value) ? word(KNOWN.get(value)) : value;
  if (axis === "prompt") return value || word("grid.no_prompt");
  return word(`grid.value.${axis}`, { value });
}

/** Of a place (axis -> value), as one line; what is null is left out. */
export function placeName(at) {
  const parts = Object.entries(at).filter(([, value]) => value !== null && value !== undefined);
  return parts.map(([axis, value]) => valueName(axis, value)).join(" · ");
}

export const cellName = (cell) => placeName(cell.at);
