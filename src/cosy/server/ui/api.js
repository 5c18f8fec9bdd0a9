// The server's API: every request of the studio goes through here.

import { signal } from "./lib.js";
import { prefs } from "./prefs.js";

const AGAIN_MS = 2000; // between two looks for a lost server

export const base = new URL(".", document.baseURI); // behind a proxy it need not be the root
export const info = signal(null);
export const voices = signal(null); // null: not loaded yet
export const lost = signal(false); // the server cannot be reached

/** What went wrong: `code` is a class of failure, `message` the server's own words. */
export class ApiError extends Error {
  constructor(code, message, { status = 0, retry_after_s = null } = {}) {
    super(message);
    Object.assign(this, { code, status, retry_after_s });
  }
}

export function address(path, query = {}) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

/** One call.  `json` or `form` is the body; the answer is read `as` json, blob or nothing.  Throws ApiError. */
export async function call(method, path, { json, form, query, as = "json", signal: abort } = {}) {
  const headers = {};
  if (prefs.key.value) headers.Authorization = `Bearer ${prefs.key.value}`;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  const body = json === undefined ? form : JSON.stringify(json);
  let answer;
  try {
    answer = await fetch(address(path, query), { method, headers, body, signal: abort });
  } catch (error) {
    if (error.name === "AbortError") throw new ApiError("aborted", "");
    watch();
    throw new ApiError("offline", "");
  }
  lost.value = false;
  if (!answer.ok) throw await failure(answer);
  return as === "nothing" ? undefined : answer[as]();
}

async function failure(answer) {
  const body = await answer.json().catch(() => ({}));
  const told = body.error ?? body;
  const message = told.message ?? body.message ?? body.detail ?? answer.statusText;
  const code = typeof told.code === "string" && body.request_id ? told.code : "";
  const retry_after_s = told.retry_after_s ?? (Number(answer.headers.get("retry-after")) || null);
  return new ApiError(code || byStatus(answer.status), String(message), { status: answer.status, retry_after_s });
}

function byStatus(status) {
  const codes = { 401: "unauthorized", 403: "forbidden", 404: "not_found", 413: "too_large", 429: "rate_limited" };
  return codes[status] ?? (status === 503 ? "overloaded" : status >= 500 ? "internal" : "invalid");
}

let watching = 0;

/** The server is gone: look for it until it is back. */
export function watch() {
  lost.value = true;
  if (watching) return;
  watching = setInterval(async () => {
    const back = await fetch(address("cosy/v1/info")).then((answer) => answer.ok, () => false);
    if (!back) return;
    clearInterval(watching);
    watching = 0;
    lost.value = false;
    await load().catch(() => undefined);
  }, AGAIN_MS);
}

export async function load() {
  info.value = await call("GET", "cosy/v1/info");
  await loadVoices();
}

export async function loadVoices() {
  const found = [];
  for (let total = 1; found.length < total; ) {
    const page = await call("GET", "cosy/v1/voices", { query: { limit: 1000, offset: found.length } });
    if (!page.voices.length) break;
    found.push(...page.voices);
    total = page.total;
  }
  voices.value = found;
}

export function socketAddress(path) {
  const url = address(path);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}
