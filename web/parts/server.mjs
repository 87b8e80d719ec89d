// What is asked of Danlu's routes; see host/routes in the repository.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { word } from "./words.mjs";

/** An answer that is an error; `status` is HTTP's. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** One of our routes, as the host takes it; `query`: an object, what is undefined is left out. */
function address(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const asked = new URLSearchParams(given).toString();
  return `/danlu/${path}${asked ? `?${asked}` : ""}`;
}

/** The whole address of one of our routes, for pictures. */
export const url = (path, query = {}) => api.apiURL(address(path, query));

/** What a request gives; throws `Refused`, in plain words, where no server answers. */
export function reached(asked) {
  return asked.catch((error) => {
    throw error.name === "AbortError" ? error : new Refused(0, word("server.silent"));
  });
}

async function ask(path, options) {
  const answer = await reached(api.fetchApi(path, options));
  if (answer.ok) return reached(answer.json());
  const found = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, found.error ?? `${answer.status} ${answer.statusText}`);
}

/** JSON of GET /danlu/`path`; `options`: of fetch, a `signal` say. Throws `Refused`. */
export const get = (path, query = {}, options = {}) => ask(address(path, query), options);

/** JSON of POST /danlu/`path`. Throws `Refused`. */
export function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  return ask(`/danlu/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
}

/** A line in the corner. `severity`: "success", "info", "warn" or "error". */
export function say(severity, detail, life = 6000) {
  app.extensionManager.toast.add({ severity, summary: "Danlu", detail, life });
}
