// What the nodes that train show of themselves: buttons, and a chart once there is a run. Works in both renderers.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { nodeOf } from "./parts/graph.mjs";
import { addButtons, enable } from "./train/buttons.mjs";
import { isOurs, onExecuted, restore, start } from "./train/live.mjs";

let running = new Set();

/** Enables the buttons of these nodes, and disables those of all others. */
function setRunning(nodes) {
  for (const node of running) if (!nodes.has(node)) enable(node, "progress", false);
  for (const node of nodes) enable(node, "progress", true);
  running = nodes;
}

function onProgress({ detail }) {
  const now = Object.values(detail.nodes).filter(({ state }) => state === "running");
  setRunning(new Set(now.map((each) => nodeOf(each.display_node_id ?? each.node_id)).filter(isOurs)));
}

app.registerExtension({
  name: "danlu.train",
  setup() {
    api.addEventListener("progress_state", onProgress);
    for (const end of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(end, () => setRunning(new Set()));
    }
    start();
  },
  nodeCreated(node) {
    if (!isOurs(node)) return;
    addButtons(node);
    // The picture of the loss is for programs: here there is a chart. One line for each renderer.
    node.hideOutputImages = true;
    node.onDrawBackground = () => {};
    const before = node.onExecuted;
    node.onExecuted = function (output) {
      before?.apply(this, arguments);
      onExecuted(node, output);
    };
  },
  afterConfigureGraph() {
    restore();
  },
});
