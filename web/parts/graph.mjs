// Nodes of the graph, in both renderers and in subgraphs.
import { app } from "../../../scripts/app.js";
import { el } from "./dom.mjs";

/** The graph that all others are in, whichever of them is open. */
export const root = () => app.rootGraph ?? app.graph;

/** The node of an execution id; "12:5" is node 5 in the subgraph of node 12. */
export function nodeOf(id) {
  let node;
  let graph = root();
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(part);
    graph = node?.subgraph;
  }
  return node;
}

/** Every node with its execution id, those in subgraphs too: [node, id]. */
export function* everyNode(graph = root(), prefix = "") {
  for (const node of graph?.nodes ?? []) {
    const id = `${prefix}${node.id}`;
    yield [node, id];
    if (node.subgraph) yield* everyNode(node.subgraph, `${id}:`);
  }
}

/** The execution id of a node: the reverse of `nodeOf`; undefined for one that is in no graph. */
export function executionId(node) {
  for (const [each, id] of everyNode()) if (each === node) return id;
  return undefined;
}

/** Calls `gone` when the node leaves its graph, before whatever else waits for that. */
export function onRemoved(node, gone) {
  const before = node.onRemoved;
  node.onRemoved = function () {
    gone();
    return before?.apply(this, arguments);
  };
}

/** A button on a node, neither in the workflow file nor in the prompt; `more`: of the widget, its `tooltip` say. */
export function addButton(node, name, label, pressed, more = {}) {
  const button = node.addWidget("button", name, "", pressed);
  button.serialize = false;
  button.options = { ...button.options, serialize: false };
  return Object.assign(button, { label, ...more });
}

/**
 * Puts an element on a node, as a widget that neither the workflow nor the prompt knows of.
 * `height`: the least, in pixels of the graph; `more`: options of the widget. Returns the element that `content` is in,
 * with the widget as `.widget`.
 */
export function addPanel(node, name, content, height, more = {}) {
  // Nodes 2.0 knows of no least height but the element's own.
  const panel = el("div", { class: "danlu-root danlu-panel", style: { minHeight: `${height}px` } }, content);
  const options = { serialize: false, hideOnZoom: false, getMinHeight: () => height, ...more };
  const widget = node.addDOMWidget(name, `DANLU_${name.toUpperCase()}`, panel, options);
  widget.serialize = false;
  panel.widget = widget;
  return panel;
}
