// Where pictures of cells come from: small ones from our route, whole ones from the host.
import { api } from "../../../scripts/api.js";
import { url } from "../parts/server.mjs";

/** As host/routes/grids.py makes them. */
const SIDES = [64, 128, 256, 512, 1024];
/** Pixels of whole pictures that are held at a time: four bytes each when they are drawn. */
export const MOST_PIXELS = 48_000_000;

/** Whole, with the workflow in it. */
export function wholeUrl(picture) {
  const { filename, subfolder, type, version } = picture;
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type, v: version })}`);
}

export function smallUrl(grid, cell, side, which = 0) {
  return url(`grids/${grid.id}/cell/${cell.n}`, { side, picture: which || undefined, v: cell.pictures[which].version });
}

/** The least side that serves for `wanted` pixels of the screen; undefined: only the whole picture does. */
export function sideFor(picture, wanted) {
  const longer = Math.max(...picture.size);
  if (wanted > longer * 0.75) return undefined;
  const side = SIDES.find((known) => known >= wanted);
  return side && side < longer ? side : undefined;
}

/** The side for a picture that may not be whole, however large it is shown. */
export function sideAtMost(wanted) {
  return SIDES.find((known) => known >= wanted) ?? SIDES.at(-1);
}
