// Which pictures are chosen, as in a file manager: click, shift, ctrl, and the same by keyboard.

/** The place that a key goes to from `place`, in a grid of `columns`; undefined for other keys. */
export function target(key, place, columns, rows, total) {
  const moves = {
    ArrowLeft: place - 1,
    ArrowRight: place + 1,
    ArrowUp: place - columns,
    ArrowDown: place + columns,
    PageUp: place - columns * rows,
    PageDown: place + columns * rows,
    Home: 0,
    End: total - 1,
  };
  if (!(key in moves) || !total) return undefined;
  const outside = moves[key] < 0 || moves[key] >= total;
  if (outside && (key === "ArrowUp" || key === "ArrowDown")) return place;
  return Math.min(Math.max(moves[key], 0), total - 1);
}

/** Chooses in a `Store`. A range goes from the anchor, where the last plain click was. */
export class Selection {
  constructor(store) {
    this.store = store;
    this.anchor = 0;
  }

  /** A click, or a key that moved to `place`. */
  choose(place, { shift = false, ctrl = false } = {}) {
    const { store } = this;
    if (shift) {
      const [low, high] = [Math.min(this.anchor, place), Math.max(this.anchor, place)];
      return store.select(store.numbers.slice(low, high + 1), ctrl);
    }
    this.anchor = place;
    const n = store.numbers[place];
    return ctrl ? store.toggle(n) : store.select([n]);
  }

  /** All pictures of the list as it is searched and filtered. */
  all() {
    this.store.select(this.store.numbers);
  }
}
