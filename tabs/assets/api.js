// The studio's HTTP API, at the same origin and with the visitor's own session.

import { t } from "./language.js";

const API = new URL("../../api/v1/", import.meta.url);

export class Problem extends Error {
  constructor({ code = "UNKNOWN_ERROR", message = t("Something went wrong."), remedy = "", field = null, correlation_id = null } = {}) {
    super(message);
    Object.assign(this, { code, remedy, field, correlation_id });
  }
}

export function address(path, query = {}) {
  const url = new URL(path, API);
  for (const [key, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of [value].flat()) url.searchParams.append(key, one);
  }
  return url.href;
}

export const thumbnail = (id) => address(`images/${encodeURIComponent(id)}/thumbnail`);
export const file = (id, download = false) => address(`images/${encodeURIComponent(id)}/file`, download ? { download: 1 } : {});
export const preview = (job) => address(`jobs/${encodeURIComponent(job.id)}/preview`, { v: `${job.attempt}${String(job.preview).padStart(5, "0")}` });

export const get = (path, query, options) => ask("GET", path, undefined, query, options);
export const post = (path, body = {}) => ask("POST", path, body);
export const remove = (path, body) => ask("DELETE", path, body);
export const put = (path, body) => ask("PUT", path, body);
export const patch = (path, body) => ask("PATCH", path, body);
// Files travel as a form; the browser writes its header itself.
export const send = (path, form, method = "POST") => ask(method, path, form);

const unreachable = () => new Problem({ code: "UNREACHABLE", message: t("The studio is not answering."), remedy: t("Check that it still runs; the page goes on by itself.") });

async function ask(method, path, body, query, { signal } = {}) {
  const form = body instanceof FormData;
  let answer;
  try {
    answer = await fetch(address(path, query), {
      method,
      signal,
      headers: body === undefined || form ? {} : { "Content-Type": "application/json" },
      body: body === undefined || form ? body : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
  const found = await answer.json().catch(() => null);
  if (answer.ok) return found;
  if (answer.status === 401) signIn();
  throw Object.assign(new Problem(found?.error), { status: answer.status });
}

// A form whose way to the studio is watched: `on(sent, total)` in bytes.
export function sendWatched(path, form, on) {
  return new Promise((resolve, reject) => {
    const way = new XMLHttpRequest();
    way.open("POST", address(path));
    way.responseType = "json";
    way.upload.addEventListener("progress", ({ loaded, total }) => on(loaded, total));
    way.addEventListener("error", () => reject(unreachable()));
    way.addEventListener("load", () => {
      if (way.status >= 200 && way.status < 300) return resolve(way.response);
      if (way.status === 401) signIn();
      return reject(Object.assign(new Problem(way.response?.error), { status: way.status }));
    });
    way.send(form);
  });
}

export function signIn() {
  const root = new URL("../../", API);
  const here = location.pathname.slice(root.pathname.length - 1) + location.search;
  location.assign(new URL(`login?next=${encodeURIComponent(here)}`, root));
}
