// The graph that a run was trained by, back on a tab of its own; and a node for the run where there is none.
import { app } from "../../../scripts/app.js";
import { get, say } from "../parts/server.mjs";
import { word } from "../parts/words.mjs";

const LONGEST = 80;

/** The name of a tab, which the front end takes for a file's; names of runs may come from other machines. */
function tabName(label) {
  const plain = label.replace(/[<>:"/\\|?*\u0000-\u001f]/g, "_").slice(0, LONGEST);
  // A tab of that name that is in front would be overwritten, with what was changed in it.
  return app.extensionManager.workflow.activeWorkflow?.filename === plain ? `${plain} 2` : plain;
}

function addLoadRun(label) {
  const node = LiteGraph.createNode("DanluLoadRun");
  const [left, top, width, height] = app.canvas.visible_area;
  node.pos = [left + width / 2 - node.size[0] / 2, top + height / 2 - node.size[1] / 2];
  app.canvas.graph.add(node);
  const choice = node.widgets.find(({ name }) => name === "run");
  if (!choice.options.values.includes(label)) choice.options.values.unshift(label);
  choice.value = label;
  app.canvas.selectNode(node);
}

/** Opens the graph of a run; resolves to whether it may be queued without a look at it. */
export async function openGraph({ id }) {
  const { workflow, prompt, label, imported } = await get(`runs/${id}/workflow`);
  if (workflow) await app.loadGraphData(workflow, true, true, tabName(label));
  else if (prompt) await app.loadApiJson(prompt, tabName(label));
  else {
    addLoadRun(label);
    say("info", word("runs.no_graph"));
    return false;
  }
  if (imported) say("info", word("runs.is_imported"));
  return !imported;
}

/** Goes on with a run: its own graph, as it was, is queued again. */
export async function resume(run) {
  if (await openGraph(run)) await app.queuePrompt(0, 1);
}
