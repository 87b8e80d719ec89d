// The tab "Runs (Danlu)" in the sidebar: every training that lies on the server's disk. The host makes a command of it
// ("Toggle Runs (Danlu) Sidebar"), to which people can give keys. Works in both renderers.
import { app } from "../../scripts/app.js";
import { word } from "./parts/words.mjs";

let shown;

/** The host calls it again whenever it draws its sidebar anew, with the same element too. */
async function render(element) {
  if (shown?.element === element) return;
  const mine = (shown = { element });
  const { mount } = await import("./runs/view.mjs");
  if (shown === mine) mine.unmount = mount(element);
}

function destroy() {
  shown?.unmount?.();
  shown = undefined;
}

app.registerExtension({
  name: "danlu.runs",
  setup() {
    const [title, tooltip] = [word("runs.title"), word("runs.tooltip")];
    const tab = { id: "danlu-runs", icon: "pi pi-chart-line", title, tooltip, type: "custom", render, destroy };
    app.extensionManager.registerSidebarTab(tab);
  },
});
