// "Open the dataset" on every node that gives one, as a button and in the node's menu: its pictures and captions on a
// page over the graph. Load Dataset opens what its inputs name; other nodes what they gave last.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { ask } from "./parts/dialog.mjs";
import { addButton, executionId, root } from "./parts/graph.mjs";
import { get, post, Refused, say } from "./parts/server.mjs";
import { word } from "./parts/words.mjs";
// Registered before this one, so that its buttons always stand above ours.
import "./upload.js";

const TYPE = "DANLU_DATASET";
const ENCODER = "DanluEncodeDataset";
/** The node that a run of a part of the graph ends in; in no graph that anybody saves. */
const END = "0";

const gives = (node) => node.outputs?.findIndex(({ type }) => type === TYPE) ?? -1;
const isOurs = (node) => node.comfyClass?.startsWith("Danlu") && (gives(node) >= 0 || node.comfyClass === ENCODER);

/** The last dataset that a node gave, as it told the page; undefined before it has run. */
function given(node) {
  const id = node.graph === root() ? String(node.id) : `${node.graph.id}:${node.id}`;
  return app.nodeOutputs[id]?.danlu_dataset?.[0]?.id;
}

/** What the server says of the dataset of a node; undefined where the node has to run first. */
async function found(node) {
  if (node.comfyClass === "DanluLoadDataset") {
    const { inputs } = (await app.graphToPrompt()).output[executionId(node)] ?? {};
    const isWired = Object.values(inputs ?? { muted: [] }).some(Array.isArray);
    if (!isWired) return post("datasets/open", { inputs });
  }
  const id = given(node);
  if (!id) return undefined;
  try {
    return await get(`datasets/${id}`);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return undefined; // the server was started anew since
    throw error;
  }
}

/** A prompt of `id` and what it needs, with an end that takes its output of number `slot`. */
function upTo(prompt, id, slot) {
  const wanted = {};
  const add = (each) => {
    if (each in wanted) return;
    wanted[each] = prompt[each];
    const links = Object.values(prompt[each].inputs).filter(Array.isArray);
    for (const [from] of links) if (from in prompt) add(from);
  };
  add(id);
  return { ...wanted, [END]: { class_type: "PreviewAny", inputs: { source: [id, slot] } } };
}

/** Queues a prompt; resolves when its run has ended: to whether it went well. */
async function ended(prompt) {
  const kinds = ["execution_success", "execution_error", "execution_interrupted"];
  // A quick run has ended before the answer is here that says which it is.
  const ends = new Map();
  let arrived;
  const heard = ({ type, detail }) => {
    ends.set(detail.prompt_id, type === "execution_success");
    arrived?.();
  };
  for (const kind of kinds) api.addEventListener(kind, heard);
  try {
    const { prompt_id: id } = await api.queuePrompt(0, prompt);
    say("info", word("dataset.running"));
    while (!ends.has(id)) await new Promise((done) => (arrived = done));
    return ends.get(id);
  } finally {
    for (const kind of kinds) api.removeEventListener(kind, heard);
  }
}

/** Runs the graph up to this node. */
async function run(node) {
  const { output, workflow } = await app.graphToPrompt();
  const id = executionId(node);
  if (!output[id]) throw new Error(word("dataset.muted"));
  return ended({ output: upTo(output, id, Math.max(0, gives(node))), workflow });
}

async function open(node) {
  try {
    let about = await found(node);
    if (!about) {
      const wanted = await ask(word("dataset.run_first"), { yes: word("dataset.run_now") });
      if (!wanted || !(await run(node))) return;
      about = await found(node);
    }
    if (!about) return say("warn", word("dataset.gave_none"));
    const { openDataset } = await import("./dataset/view.mjs");
    const resolution = node.widgets?.find(({ name }) => name === "resolution")?.value;
    await openDataset(about, { title: node.title, resolution });
  } catch (error) {
    // The host's own error says in `toString` alone what is wrong with a graph.
    say("error", error.response ? String(error) : error.message, 12000);
  }
}

app.registerExtension({
  name: "danlu.dataset",
  nodeCreated(node) {
    if (!isOurs(node)) return;
    const more = { tooltip: word("dataset.open_tooltip") };
    addButton(node, "danlu_open_dataset", word("dataset.open"), () => open(node), more);
  },
  getNodeMenuItems(node) {
    return isOurs(node) ? [{ content: word("dataset.open"), callback: () => open(node) }] : [];
  },
});
