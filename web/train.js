// Buttons on the nodes that train: finish now, pause, save a checkpoint now. They work while their node runs, and are
// asked of the server, which tells the trainer between two steps. Works in both renderers.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const NODES = ["DanluTrainLoRA", "DanluTrainLoop"];
const WORDS = {
  en: {
    finish: ["Finish now", "Training ends after this step, and the graph goes on with the LoRA as it is."],
    pause: ["Pause", "Everything is kept. Waiting workflows run first, then training goes on."],
    save: ["Save a checkpoint now", "A checkpoint is saved after this step."],
    idle: "No training runs.",
  },
  zh: {
    finish: ["立即完成", "这一步之后结束训练，工作流用当前的 LoRA 继续运行。"],
    pause: ["暂停", "进度全部保留。先运行排队中的工作流，然后继续训练。"],
    save: ["立即保存检查点", "这一步之后保存一个检查点。"],
    idle: "当前没有正在运行的训练。",
  },
};
const words = () => {
  const language = app.extensionManager.setting.get("Comfy.Locale") ?? "en";
  return WORDS[language.split("-")[0]] ?? WORDS.en;
};

function say(severity, detail) {
  app.extensionManager.toast.add({ severity, summary: "Danlu", detail, life: 6000 });
}

async function ask(command) {
  const answer = await api.fetchApi(`/danlu/train/${command}`, { method: "POST" });
  if (answer.ok) return say("info", words()[command][1]);
  if (answer.status === 409) return say("warn", words().idle);
  say("error", `${answer.status} ${answer.statusText}`);
}

function addButton(node, command) {
  const button = node.addWidget("button", `danlu_${command}`, "", () => ask(command));
  [button.label, button.tooltip] = words()[command];
  button.disabled = true;
  button.serialize = false; // neither in the workflow file nor in the prompt
  button.options = { ...button.options, serialize: false };
  return button;
}

const buttons = new WeakMap();
let running = new Set();

/** The node of an execution id; "12:5" is node 5 in the subgraph of node 12. */
function nodeOf(id) {
  let node;
  let graph = app.rootGraph ?? app.graph;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(part);
    graph = node?.subgraph;
  }
  return node;
}

/** Enables the buttons of these nodes, and disables those of all others. */
function setRunning(nodes) {
  for (const [some, disabled] of [[running, true], [nodes, false]]) {
    for (const node of some) {
      for (const button of buttons.get(node) ?? []) button.disabled = disabled;
      node.setDirtyCanvas(true);
    }
  }
  running = nodes;
}

function onProgress({ detail }) {
  const now = Object.values(detail.nodes).filter(({ state }) => state === "running");
  const nodes = new Set(now.map((each) => nodeOf(each.display_node_id ?? each.node_id)).filter((node) => buttons.has(node)));
  if (nodes.size !== running.size || [...nodes].some((node) => !running.has(node))) setRunning(nodes);
}

app.registerExtension({
  name: "danlu.train",
  setup() {
    api.addEventListener("progress_state", onProgress);
    for (const end of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(end, () => setRunning(new Set()));
    }
  },
  nodeCreated(node) {
    if (NODES.includes(node.comfyClass)) {
      buttons.set(node, ["finish", "pause", "save"].map((command) => addButton(node, command)));
    }
  },
});
