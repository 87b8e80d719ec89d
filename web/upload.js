// Drop pictures, a folder or a .zip onto "Load Dataset (Danlu)": they are uploaded into a new folder below ComfyUI's
// input folder, and the node's `folder` is set to it. Two buttons do the same without a mouse that drags.
// Works in both renderers: the canvas and Nodes 2.0 call the same onDragOver and onDragDrop of a node.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { addButton } from "./parts/graph.mjs";
import { reached, say } from "./parts/server.mjs";
import { word } from "./parts/words.mjs";

const PICTURES = ["png", "apng", "jpg", "jpeg", "jfif", "webp", "bmp", "tif", "tiff", "avif", "gif"];
const VIDEOS = ["mp4", "mov", "m4v", "mkv", "webm", "avi"];
const CAPTIONS = ["txt", "caption", "csv", "tsv", "jsonl", "json"];
const AT_ONCE = 4;
const REPEATS_FOLDER = /^\d+_/;

const suffix = (name) => name.split(".").pop().toLowerCase();
const isPicture = (name) => PICTURES.includes(suffix(name)) || VIDEOS.includes(suffix(name));
const isZip = (name) => suffix(name) === "zip";
const isHidden = (path) => path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");
const isWanted = ({ path }) => !isHidden(path) && (isPicture(path) || isZip(path) || CAPTIONS.includes(suffix(path)));

/** A part of a path that every file system takes. */
function safe(part) {
  return part.replace(/[<>:"|?*\\/\u0000-\u001f]/g, "_").replace(/[. ]+$/, "") || "_";
}

/** A folder name of its own for each drop, so that nothing is ever mixed or overwritten. */
function newFolder(name) {
  const now = new Date();
  const two = (number) => String(number).padStart(2, "0");
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  const time = `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
  const chance = Math.random().toString(36).slice(2, 5);
  return `danlu/${safe(name).slice(0, 60)}-${day}-${time}-${chance}`;
}

/** Every file of a dropped entry, folders walked: [{ file, path }]. */
async function filesOf(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // The browser hands out a folder in portions; an empty one is the last.
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) break;
    for (const inner of entries) found.push(...(await filesOf(inner)));
  }
  return found;
}

/** What was dropped. The entries must be taken before the first await: the browser forgets them after the event. */
function takeDropped(event) {
  const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = [...event.dataTransfer.files].map((file) => ({ file, path: file.name }));
  if (entries.length !== items.length) return { folders: [], plain, files: async () => plain };
  const folders = entries.filter((entry) => entry.isDirectory).map((entry) => entry.name);
  return { folders, plain, files: async () => (await Promise.all(entries.map(filesOf))).flat() };
}

async function uploadOne({ file, path }, folder) {
  const parts = path.split("/").map(safe);
  const name = parts.pop();
  const body = new FormData();
  body.append("image", file, name);
  body.append("type", "input");
  body.append("subfolder", [folder, ...parts].join("/"));
  const answer = await reached(api.fetchApi("/upload/image", { method: "POST", body }));
  if (answer.status === 413) throw new Error(word("upload.too_large", { path }));
  const why = `${answer.status} ${answer.statusText}`;
  if (!answer.ok) throw new Error(word("upload.refused", { path, why }));
}

/** Uploads all files, a few at a time. */
async function uploadAll(files, folder, told) {
  const waiting = [...files];
  let done = 0;
  const worker = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      await uploadOne(next, folder);
      told(++done);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  } finally {
    waiting.length = 0; // after a failure the other workers stop too
  }
}

/** Leaves out the one folder that everything is in: its name is the new folder's. */
function withoutWrapper(files, name) {
  const start = `${name}/`;
  if (!files.every(({ path }) => path.startsWith(start))) return files;
  return files.map(({ file, path }) => ({ file, path: path.slice(start.length) }));
}

function setWidget(node, name, value) {
  const widget = node.widgets?.find((candidate) => candidate.name === name);
  if (!widget) return;
  widget.value = value;
  widget.callback?.(value, app.canvas, node);
}

function isDeep({ path }) {
  const folders = path.split("/").slice(0, -1);
  return isPicture(path) && folders.some((part) => !REPEATS_FOLDER.test(part));
}

async function upload(node, button, files, name) {
  const wanted = withoutWrapper(files.filter(isWanted), name);
  const zips = wanted.filter(({ path }) => isZip(path));
  const pictures = wanted.filter(({ path }) => isPicture(path));
  if (zips.length && wanted.length > 1) return say("warn", word("upload.mixed"));
  if (!zips.length && !pictures.length) return say("warn", word("upload.no_pictures", { kinds: PICTURES.join(", ") }));
  const folder = newFolder(name);
  const label = button.label;
  const told = (done) => {
    button.label = word("upload.busy", { done, total: wanted.length });
    node.setDirtyCanvas(true);
  };
  try {
    told(0);
    await uploadAll(wanted, folder, told);
  } catch (error) {
    return say("error", word("upload.failed", { why: error.message }), 20000);
  } finally {
    button.label = label;
    node.setDirtyCanvas(true);
  }
  setWidget(node, "folder", zips.length ? `${folder}/${safe(zips[0].path)}` : folder);
  if (wanted.some(isDeep)) setWidget(node, "recursive", true);
  app.graph.change?.();
  const captions = wanted.length - pictures.length;
  const done = { pictures: pictures.length, captions };
  say("success", zips.length ? word("upload.zip_done", { name }) : word("upload.done", done));
}

const stem = (name) => name.replace(/\.[^.]*$/, "");

function nameOf(files, folders) {
  if (folders.length === 1) return folders[0];
  return files.length === 1 ? stem(files[0].path) : "pictures";
}

/** Opens the browser's own file dialog. */
function choose(folder, taken) {
  const input = document.createElement("input");
  input.type = "file";
  input.multiple = true;
  if (folder) input.webkitdirectory = true;
  else input.accept = [...PICTURES, ...VIDEOS, ...CAPTIONS, "zip"].map((kind) => `.${kind}`).join(",");
  input.onchange = () => {
    const files = [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
    if (files.length) taken(files, folder ? [files[0].path.split("/")[0]] : []);
  };
  input.click();
}

function addChoice(node, what, folder) {
  const taken = (files, folders) => upload(node, button, files, nameOf(files, folders));
  const button = addButton(node, `danlu_upload_${what}`, word(`upload.${what}`), () => choose(folder, taken));
  return button;
}

app.registerExtension({
  name: "danlu.upload",
  nodeCreated(node) {
    if (node.comfyClass !== "DanluLoadDataset") return;
    const button = addChoice(node, "pictures", false);
    addChoice(node, "folder", true);
    node.onDragOver = (event) => [...(event?.dataTransfer?.items ?? [])].some((item) => item.kind === "file");
    node.onDragDrop = async (event) => {
      const dropped = takeDropped(event);
      const plain = (dropped.plain ?? []).filter(isWanted);
      const isOurs = dropped.folders.length || plain.some(({ path }) => suffix(path) !== "json");
      if (!isOurs) return false; // a workflow file, say: the host's business
      try {
        const files = await dropped.files();
        await upload(node, button, files, nameOf(files, dropped.folders));
      } catch (error) {
        say("error", word("upload.unreadable", { why: error.message }), 20000);
      }
      return true;
    };
  },
});
