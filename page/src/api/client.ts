/** Requests to the server, with the caller's key in a header and never in an address. */

import { keep, kept } from "../store";
import { text } from "../text";

/** What the server answered instead of what was asked for (RFC 9457). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }
}

let key = kept("sessionStorage", "key");
let asked: Promise<void> | null = null;
let ask: (() => Promise<string>) | null = null;

/** Say who asks for a key when the server wants one. */
export function onKeyWanted(asker: () => Promise<string>): void {
  ask = asker;
}

export function hasKey(): boolean {
  return key !== null;
}

export function setKey(value: string | null): void {
  key = value;
  keep("sessionStorage", "key", value);
}

/** An address of this server, which may live below a path. */
export function here(path: string): string {
  return new URL(path.replace(/^\//, ""), document.baseURI.split("#")[0]).href;
}

/** A request; answers 401 by asking for a key and trying again. Throws Problem, or AbortError when it is cancelled. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const headers = new Headers(init.headers);
    if (key !== null) headers.set("Authorization", `Bearer ${key}`);
    const used = key;
    let answer: Response;
    try {
      answer = await fetch(here(path), { ...init, headers, credentials: "omit" });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new Problem(0, "offline", text.problems.offline);
    }
    if (answer.ok || answer.status === 304) return answer;
    const problem = await problemOf(answer);
    if (answer.status !== 401 || ask === null) throw problem;
    if (used === key) await wanted(ask);
  }
}

async function wanted(asker: () => Promise<string>): Promise<void> {
  asked ??= asker()
    .then(setKey)
    .finally(() => {
      asked = null;
    });
  await asked;
}

export async function problemOf(answer: Response): Promise<Problem> {
  let told: { code?: unknown; detail?: unknown } = {};
  try {
    told = (await answer.json()) as typeof told;
  } catch {
    // not ours: a proxy between
  }
  const detail = typeof told.detail === "string" ? told.detail : text.problems.status(answer.status);
  const code = typeof told.code === "string" ? told.code : "http";
  const wait = Number(answer.headers.get("Retry-After") ?? NaN);
  return new Problem(answer.status, code, detail, Number.isFinite(wait) ? wait : null);
}

export async function getJson<T>(path: string, signal?: AbortSignal, accept = "application/json"): Promise<T> {
  const init: RequestInit = { headers: { Accept: accept } };
  if (signal) init.signal = signal;
  return (await (await request(path, init)).json()) as T;
}

export async function sendJson<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = { method, headers: { "Content-Type": "application/json" } };
  if (body !== undefined) init.body = JSON.stringify(body);
  if (signal) init.signal = signal;
  const answer = await request(path, init);
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

/** What went wrong, in words for people. */
export function wordsFor(error: unknown): string {
  if (error instanceof Problem) {
    if (error.status === 403) return text.problems.forbidden(error.message);
    if (error.status === 429) return text.problems.busy;
    return error.message;
  }
  console.error(error); // a fault of the page's own; what the server says never comes here
  return text.problems.unexpected;
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
