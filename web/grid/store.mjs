// The grids that this page knows, kept up to date by the server's events.
import { get } from "../parts/server.mjs";

const known = new Map();

/** A grid of the server. `data` is what host/routes/grids.py says of it; undefined until it is loaded. */
class Grid {
  constructor(id) {
    this.id = id;
    this.data = undefined;
    this.heard = new Set();
    this.late = undefined;
  }

  /** Called with the number of the cell that has changed, or without one; returns what ends that. */
  listen(heard) {
    this.heard.add(heard);
    return () => this.heard.delete(heard);
  }

  changed(number) {
    for (const heard of [...this.heard]) heard(number);
  }

  /** Asks the server; what happens meanwhile is not lost. */
  load() {
    this.loading ??= this.ask().finally(() => {
      this.loading = undefined;
      if (!this.isStale) return;
      this.isStale = false;
      this.load().catch((error) => console.warn("Danlu:", error.message));
    });
    return this.loading;
  }

  async ask() {
    this.late = [];
    try {
      this.data = await get(`grids/${this.id}`);
      this.changed();
      for (const event of this.late.splice(0)) this.apply(event);
    } finally {
      this.late = undefined;
    }
    return this;
  }

  cell(number) {
    return this.data?.cells.find((cell) => cell.n === number);
  }

  /** An event of the server: a cell is begun, is there, or all of them are. */
  take(event) {
    this.late?.push(event);
    this.isStale ||= Boolean(this.loading) && event.what === "begun";
    if (event.what === "begun" || !this.data) this.load().catch((error) => console.warn("Danlu:", error.message));
    else this.apply(event);
  }

  apply(event) {
    this.data.running = event.what !== "ended";
    if (event.what === "now") {
      this.settle("missing");
      this.data.prompt = event.prompt;
      this.set(event.n, { state: "now", why: undefined });
    }
    if (event.what === "done" && event.cell) this.set(event.n, event.cell);
    if (event.what === "ended") this.settle("missing");
  }

  /** The queue item that makes it has ended; `why`: it failed. */
  stop(why) {
    if (!this.data?.running) return;
    this.data.running = false;
    this.settle(why ? "failed" : "missing", why);
    this.changed();
  }

  /** The cell that is made becomes something else. */
  settle(state, why) {
    for (const cell of this.data.cells) if (cell.state === "now") this.set(cell.n, { state, why });
  }

  set(number, values) {
    const cell = this.cell(number);
    if (!cell) return;
    Object.assign(cell, values);
    this.changed(number);
  }
}

export function gridOf(id) {
  if (!known.has(id)) known.set(id, new Grid(id));
  return known.get(id);
}

export async function loaded(id) {
  const grid = gridOf(id);
  return grid.data ? grid : grid.load();
}

/** An event of the server, for those grids that something on the page shows. */
export function hear(event) {
  const grid = known.get(event.grid);
  if (grid && (grid.heard.size || grid.data)) grid.take(event);
}

/** After the connection was lost: what the page shows may be old. */
export function again() {
  const shown = [...known.values()].filter((grid) => grid.heard.size);
  for (const grid of shown) grid.load().catch((error) => console.warn("Danlu:", error.message));
}

/** A queue item has ended. */
export function stopped(prompt, why) {
  for (const grid of known.values()) if (grid.data?.prompt === prompt) grid.stop(why);
}

/** How many cells are there of how many. */
export function counted(grid) {
  const made = grid.data.cells.filter((cell) => cell.kind !== "given");
  return { done: made.filter((cell) => cell.state === "done").length, total: made.length };
}
