// Shows on "Grid (Danlu)" what is made, as it is made: also after the page was loaded again, and in a second one.
// Works in both renderers; the page that opens from it is web/grid/view.mjs.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { style } from "./parts/dom.mjs";
import { addPanel, everyNode, executionId, nodeOf, onRemoved, root } from "./parts/graph.mjs";
import { get } from "./parts/server.mjs";
import { Panel } from "./grid/panel.mjs";
import { again, gridOf, hear, stopped } from "./grid/store.mjs";

const NODE = "DanluGrid";
const HEIGHT = 240;
const panels = new WeakMap();

/** The grid that a node made last, of this very workflow. */
async function find(node) {
  const place = executionId(node);
  const panel = panels.get(node);
  if (!place || !panel || panel.grid) return;
  try {
    const { grids } = await get("grids", { workflow: root().id, node: place });
    if (grids.length && !panel.grid) panel.show(gridOf(grids[0].id));
  } catch (error) {
    panel.text.textContent = error.message;
  }
}

function findAll() {
  for (const [node] of everyNode()) if (node.comfyClass === NODE) find(node);
}

function onCell({ detail }) {
  hear(detail);
  const isHere = !detail.workflow || detail.workflow === root().id;
  const panel = isHere && panels.get(nodeOf(detail.node));
  if (panel) panel.show(gridOf(detail.grid));
}

app.registerExtension({
  name: "danlu.grid",
  setup() {
    style(new URL("grid/grid.css", import.meta.url));
    api.addEventListener("danlu.cell", onCell);
    api.addEventListener("reconnected", () => {
      again();
      findAll();
    });
    api.addEventListener("execution_error", ({ detail }) => {
      stopped(detail.prompt_id, detail.exception_message?.trim() || detail.exception_type);
    });
    for (const end of ["execution_success", "execution_interrupted"]) {
      api.addEventListener(end, ({ detail }) => stopped(detail?.prompt_id));
    }
  },
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const panel = new Panel(() => executionId(node) === undefined);
    addPanel(node, "danlu_grid", panel.element, HEIGHT);
    panels.set(node, panel);
    onRemoved(node, () => panel.remove());
  },
  afterConfigureGraph() {
    findAll();
  },
});
