// Elements of a page. Whatever comes from files or workflows goes in as text, never as HTML.

const sheets = new Set();

/** Loads a style sheet of ours once; `address`: of the .css file, `new URL("x.css", import.meta.url)`. */
export function style(address) {
  if (sheets.has(address.href)) return;
  sheets.add(address.href);
  document.head.append(el("link", { rel: "stylesheet", href: address.href }));
}

/**
 * An element. `props`: `class`, `text`, `style` (an object), `dataset` (an object), `on` (listeners by event), what
 * begins with "aria-" or is `role`, `for`, `colspan`, `rowspan` as attributes, everything else as properties.
 */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "class") made.className = value;
    else if (name === "text") made.textContent = value;
    else if (name === "style") {
      for (const [key, each] of Object.entries(value)) {
        if (key.startsWith("--")) made.style.setProperty(key, each);
        else made.style[key] = each;
      }
    } else if (name === "dataset") Object.assign(made.dataset, value);
    else if (name === "on") for (const [event, heard] of Object.entries(value)) made.addEventListener(event, heard);
    else if (/^(aria-|role$|for$|colspan$|rowspan$)/.test(name)) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return made;
}

export function button(text, pressed, props = {}) {
  const { class: more = "", on = {}, ...rest } = props;
  return el("button", { type: "button", class: `danlu-button ${more}`, text, on: { click: pressed, ...on }, ...rest });
}

/** Whether a key is for an input method: Enter and Escape end the word that is typed then, Chinese say. */
export const composes = ({ isComposing, keyCode }) => isComposing || keyCode === 229;

style(new URL("theme.css", import.meta.url));
