// Every text that a user sees: from web/words/<language>.json, in the host's language, else in English.
import { app } from "../../../scripts/app.js";

const LANGUAGES = ["en", "zh"];
// A table that cannot be read leaves the other language, or the keys: better than no view at all.
const read = (language) =>
  fetch(new URL(`../words/${language}.json`, import.meta.url)).then((answer) => answer.json()).catch(() => ({}));
const tables = Object.fromEntries(await Promise.all(LANGUAGES.map(async (each) => [each, await read(each)])));

/** "en" or "zh". */
export function language() {
  const asked = (app.extensionManager?.setting?.get("Comfy.Locale") ?? "en").split("-")[0];
  return LANGUAGES.includes(asked) ? asked : "en";
}

/** The text of `key`, with {names} of `values` filled in. */
export function word(key, values = {}) {
  const text = tables[language()][key] ?? tables.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}
