// The runs that this page shows: their curves from the server's log, and on by its events.
import { get } from "../parts/server.mjs";

const POINTS = 2000;
const MOST = 8000;
const known = new Map();

class Run {
  constructor(id) {
    this.id = id;
    this.name = "";
    /** Points [step, loss] each. */
    this.losses = [];
    this.averages = [];
    this.validation = { held_out: [], trained: [] };
    this.checkpoints = [];
    this.notes = [];
    /** The newest event, see host/live.py; undefined where nothing has been heard of it. */
    this.report = undefined;
    this.rate = undefined;
    this.live = false;
    /** How many events it took. */
    this.heard = 0;
    this.listeners = new Set();
  }

  /** Called after each change; returns what ends that. */
  listen(changed) {
    this.listeners.add(changed);
    return () => this.listeners.delete(changed);
  }

  changed() {
    for (const each of [...this.listeners]) each(this);
  }

  get last() {
    return this.losses.at(-1)?.[0] ?? 0;
  }

  /** Asks for the log; what is told meanwhile comes after it. Throws `Refused` where there is no such run. */
  load() {
    this.loading ??= this.#ask().finally(() => (this.loading = undefined));
    return this.loading;
  }

  async #ask() {
    this.late = [];
    try {
      const log = await get(`runs/${encodeURIComponent(this.id)}/log`, { points: POINTS });
      this.name = log.name;
      this.losses = log.points.map(([step, loss]) => [step, loss]);
      this.averages = log.points.map(([step, , average]) => [step, average]);
      this.rate = log.points.at(-1)?.[3];
      this.validation = log.validation;
      this.checkpoints = log.checkpoints;
      this.notes = log.notes;
    } finally {
      const late = this.late;
      this.late = undefined;
      for (const event of late) this.#add(event);
      this.changed();
    }
    return this;
  }

  /** It begins or goes on: from an earlier step too, whose later ones are then done again. */
  begin(event) {
    this.live = true;
    this.name = event.name;
    this.report = { ...this.report, ...event };
    this.changed();
  }

  step(event) {
    this.live = true;
    this.report = event;
    this.rate = event.rate;
    this.heard += 1;
    if (this.late) this.late.push(event);
    else this.#add(event);
    if (this.losses.length > MOST) this.load().catch(() => {});
    this.changed();
  }

  #add({ points }) {
    if (!points?.length) return;
    const first = points[0][0];
    if (first <= this.last) {
      this.losses = this.losses.filter(([step]) => step < first);
      this.averages = this.averages.filter(([step]) => step < first);
    }
    for (const [step, loss, average] of points) {
      this.losses.push([step, loss]);
      this.averages.push([step, average]);
    }
  }

  checkpoint({ step, validation }) {
    this.checkpoints = [...this.checkpoints.filter((each) => each < step), step];
    this.validation = { ...this.validation, ...validation };
    this.changed();
  }

  end() {
    if (!this.live) return;
    this.live = false;
    this.changed();
  }
}

export function runOf(id) {
  if (!known.has(id)) known.set(id, new Run(id));
  return known.get(id);
}

export const runs = () => [...known.values()];
