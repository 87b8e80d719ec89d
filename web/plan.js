// Shows the table of "Plan (Danlu)" on its node, also when ComfyUI answers from its cache.
// Works in both renderers; the canvas shows it in letters of equal width.
import { app } from "../../scripts/app.js";
import { ComfyWidgets } from "../../scripts/widgets.js";

const NAME = "plan";
const LEAST = [560, 800];

function tableOf(node) {
  const found = node.widgets?.find((widget) => widget.name === NAME);
  if (found) return found;
  const { widget } = ComfyWidgets.STRING(node, NAME, ["STRING", { multiline: true }], app);
  // It is no input: neither the prompt nor the workflow holds it.
  widget.serialize = false;
  widget.options = { ...widget.options, serialize: false, read_only: true };
  if (widget.element) {
    widget.element.readOnly = true;
    widget.element.wrap = "off";
    Object.assign(widget.element.style, { fontFamily: "monospace", whiteSpace: "pre", overflow: "auto" });
  }
  node.setSize(LEAST.map((least, i) => Math.max(least, node.size[i])));
  return widget;
}

app.registerExtension({
  name: "Danlu.Plan",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== "DanluPlan") return;
    const before = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (output) {
      before?.apply(this, arguments);
      if (output?.text?.length) tableOf(this).value = output.text.join("\n");
    };
  },
});
