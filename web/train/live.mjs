// Which node shows which run: by the server's events while it trains, by what trains now when a page is opened in the
// middle, and by the run that the node last trained after that.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { everyNode, executionId, nodeOf, root } from "../parts/graph.mjs";
import { get, url } from "../parts/server.mjs";
import { enable } from "./buttons.mjs";
import { makePanel, panelOf } from "./panel.mjs";
import { runOf, runs } from "./runs.mjs";

const LAST = "danlu_run";
const GRID = "DanluGrid";
const SIDE = 256;
const CLASSES = ["DanluTrainLoRA", "DanluTrainLoop"];

const lost = (error) => console.warn("Danlu: the log of a run could not be read.", error);
export const isOurs = (node) => CLASSES.includes(node?.comfyClass);

/** All nodes that train, those in subgraphs too. */
function* trainers() {
  for (const [node] of everyNode()) if (isOurs(node)) yield node;
}

/** The node of this page's graph that an event is about; other tabs may hold other graphs. */
function nodeFor({ workflow, node }) {
  if (!workflow || workflow !== root()?.id) return undefined;
  const found = nodeOf(node);
  return isOurs(found) ? found : undefined;
}

function show(node, run) {
  // Saved with the workflow, so that it shows its last run when it is opened again; no part of the prompt.
  node.properties[LAST] = run.id;
  makePanel(node, app).show(run);
}

function onRun({ detail }) {
  const node = nodeFor(detail);
  if (!node) return;
  const run = runOf(detail.run);
  run.begin(detail);
  show(node, run);
  enable(node, "live", true);
  if (detail.known || detail.step) run.load().catch(lost);
}

function onStep({ detail }) {
  const node = nodeFor(detail);
  if (!node) return;
  const run = runOf(detail.run);
  if (panelOf(node)?.run !== run) onRun({ detail });
  run.step(detail);
}

/** Of a run that this page shows. */
const heard = (what) => ({ detail }) => runs().find(({ id }) => id === detail.run)?.[what](detail);

function onEnd(event) {
  heard("end")(event);
  for (const node of trainers()) if (panelOf(node)?.run?.id === event.detail.run) enable(node, "live", false);
}

/** A run that the node has trained; one that is gone, or another machine's, is nothing to show. */
async function showLast(node, id) {
  if (typeof id !== "string" || !/^[0-9a-f]{24}$/.test(id)) return;
  const before = panelOf(node)?.run;
  try {
    const run = await runOf(id).load();
    // Meanwhile it may have begun another one, or gone.
    if (panelOf(node)?.run !== before || executionId(node) === undefined) return;
    show(node, run);
    await seeLast(node);
  } catch (error) {
    if (error.status !== 404) lost(error);
  }
}

/** After a reload of the page, a lost connection, or when another graph is opened. */
export function restore() {
  restored().catch((error) => console.warn("Danlu: what trains now is not known.", error));
}

async function restored() {
  if (trainers().next().done) return;
  const before = turns;
  const { now } = await get("train");
  if (turns !== before) return restored(); // an answer from before a run began or ended
  const nodes = [...trainers()];
  const busy = now ? nodeFor(now) : undefined;
  for (const run of runs()) if (run.id !== now?.run) run.end();
  for (const node of nodes) {
    enable(node, "live", node === busy);
    if (node === busy) {
      onRun({ detail: now });
      seeLast(node).catch(() => {});
    } else showLast(node, node.properties?.[LAST]);
  }
}

// The newest test picture of a loop, of which its grid tells.

function loopOf(grid) {
  const slot = grid?.inputs?.findIndex(({ name }) => name === "loop") ?? -1;
  const node = slot < 0 ? undefined : grid.getInputNode(slot);
  return isOurs(node) ? node : undefined;
}

const see = (node, grid, cell) => {
  const picture = cell.pictures?.[0];
  const address = url(`grids/${grid}/cell/${cell.n}`, { side: SIDE, v: picture?.version });
  if (picture) panelOf(node)?.see(address, cell.label);
};

function onCell({ detail }) {
  if (detail.what !== "done" || !detail.cell || detail.workflow !== root()?.id) return;
  const node = loopOf(nodeOf(detail.node));
  if (node) see(node, detail.grid, detail.cell);
}

async function seeLast(node) {
  const slot = node.outputs?.findIndex(({ name }) => name === "loop") ?? -1;
  const grid = slot < 0 ? undefined : node.getOutputNodes(slot)?.find(({ comfyClass }) => comfyClass === GRID);
  if (!grid) return;
  const { grids } = await get("grids", { workflow: root().id, node: executionId(grid) });
  if (!grids.length) return;
  const { cells } = await get(`grids/${grids[0].id}`);
  const last = cells.filter(({ pictures }) => pictures.length).at(-1);
  if (last) see(node, grids[0].id, last);
}

/** The node's output, also when the host answers from its cache. */
export function onExecuted(node, output) {
  const id = output?.[LAST]?.[0];
  if (!id) return;
  const say = () => output.text?.length && panelOf(node)?.say(output.text.join("\n"));
  if (panelOf(node)?.run?.id === id) say();
  else showLast(node, id).then(say);
}

let ready = false;
/** How many runs have begun and ended. */
let turns = 0;

/** Once there is a graph. */
export function start() {
  ready = true;
  api.addEventListener("reconnected", restore);
}

// At once: the host complains of events that nobody has asked for, and they may come before there is a graph.
const taken = { run: onRun, step: onStep, checkpoint: heard("checkpoint"), end: onEnd, cell: onCell };
for (const name of ["run", "end"]) api.addEventListener(`danlu.${name}`, () => (turns += 1));
for (const [name, take] of Object.entries(taken)) {
  api.addEventListener(`danlu.${name}`, (event) => ready && take(event));
}
