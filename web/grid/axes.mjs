// Which cell stands where: a grid's axes as columns, rows and pages. Knows nothing of the page.

/** Values of an axis that a cell is the same at: null. */
const fits = (wanted, found) => wanted === null || found === null || wanted === found;

/** Axes that differ between cells. */
export function openAxes(grid) {
  return grid.axes.filter((axis) => axis.values.length > 1);
}

/** Axis -> "columns", "rows" or "page": checkpoints beside each other, everything else below. */
export function usualRoles(grid) {
  const names = openAxes(grid).map((axis) => axis.name);
  const across = names.includes("checkpoint") ? "checkpoint" : names[0];
  return Object.fromEntries(names.map((name) => [name, name === across ? "columns" : "rows"]));
}

export function swapped(roles) {
  const other = { columns: "rows", rows: "columns", page: "page" };
  return Object.fromEntries(Object.entries(roles).map(([name, role]) => [name, other[role]]));
}

/** Finds cells by their place on the axes that are open. */
export class Places {
  constructor(grid) {
    this.axes = openAxes(grid);
    this.cells = grid.cells;
    this.byPlace = new Map(this.cells.map((cell) => [this.key(cell.at), cell]).reverse());
  }

  key(at) {
    return JSON.stringify(this.axes.map(({ name }) => at[name] ?? null));
  }

  /** The cell at `at` (axis -> value, null: any): that very one, else one that is the same at all values there. */
  find(at) {
    const exact = this.byPlace.get(this.key(at));
    if (exact) return exact;
    const given = this.axes.filter(({ name }) => (at[name] ?? null) !== null);
    if (given.length < this.axes.length) return this.cells.find((cell) => this.isAt(cell, at));
    // Few axes: all ways to leave some of them out, those that leave out least first.
    const ways = [...Array(2 ** given.length).keys()].sort((a, b) => ones(a) - ones(b));
    for (const way of ways) {
      const left = { ...at };
      given.forEach(({ name }, place) => (way >> place) & 1 && (left[name] = null));
      const found = this.byPlace.get(this.key(left));
      if (found) return found;
    }
    return undefined;
  }

  isAt(cell, at) {
    return this.axes.every(({ name }) => fits(at[name] ?? null, cell.at[name]));
  }

  /** The places that the axes `names` have together, in order, of cells that `wanted` accepts. */
  combined(names, wanted) {
    const axes = this.axes.filter(({ name }) => names.includes(name));
    const found = new Map();
    for (const cell of this.cells.filter(wanted)) {
      const at = Object.fromEntries(axes.map(({ name }) => [name, cell.at[name]]));
      found.set(JSON.stringify(Object.values(at)), at);
    }
    const all = [...found.values()];
    const open = (at) => axes.filter(({ name }) => at[name] === null).length;
    // One that is the same at several values stands at each of them, and needs no place of its own.
    const isWithin = (at, other) => open(other) < open(at) && axes.every(({ name }) => fits(at[name], other[name]));
    const kept = all.filter((at) => !open(at) || !all.some((other) => isWithin(at, other)));
    const order = (at) => axes.map(({ name, values }) => values.indexOf(at[name]));
    return kept.sort((a, b) => compared(order(a), order(b)));
  }

  /** The next place along an axis that has a cell; `step`: 1 or -1. Returns { at, cell } or undefined. */
  neighbour(at, name, step) {
    const { values } = this.axes.find((axis) => axis.name === name) ?? { values: [] };
    const from = values.indexOf(at[name] ?? null);
    if (from < 0) return undefined;
    for (let place = from + step; place >= 0 && place < values.length; place += step) {
      const next = { ...at, [name]: values[place] };
      const cell = this.find(next);
      if (cell) return { at: next, cell };
    }
    return undefined;
  }
}

const ones = (number) => number.toString(2).replaceAll("0", "").length;

function compared(a, b) {
  const differs = a.findIndex((value, place) => value !== b[place]);
  return differs < 0 ? 0 : a[differs] - b[differs];
}

/**
 * A grid laid out: { columns, rows, page }, each place an object axis -> value. `pages`: axis -> the value shown, of
 * axes whose role is "page"; `wanted(cell)`: which cells there are to be.
 */
export function laidOut(places, roles, pages, wanted = () => true) {
  const having = (role) => places.axes.map(({ name }) => name).filter((name) => (roles[name] ?? "rows") === role);
  const page = Object.fromEntries(having("page").map((name) => [name, pages[name] ?? firstOf(places, name)]));
  const shown = (cell) => wanted(cell) && places.isAt(cell, page);
  return { columns: places.combined(having("columns"), shown), rows: places.combined(having("rows"), shown), page };
}

const firstOf = (places, name) => places.axes.find((axis) => axis.name === name).values[0];
