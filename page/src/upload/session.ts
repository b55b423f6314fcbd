/** One upload session with the server: what it takes, what has come, and what became of it. */

import { here, Problem, problemOf, sendJson, getJson } from "../api/client";
import { keep, kept } from "../store";
import { text } from "../text";

export interface Part {
  part: number;
  offset: number;
  size: number;
  received: boolean;
  url: string | null;
  headers: Record<string, string>;
}

export interface Session {
  id: string;
  expires: string;
  store: string;
  files: { file: number; name: string; parts: Part[] }[];
}

export interface Receipt {
  file: number;
  outcome: string;
  image_id: string | null;
  code: string | null;
  detail: string | null;
}

export interface Announced {
  name: string;
  size: number;
  sha256: string;
  subject_id?: string;
}

/** What is remembered of an open session: content by SHA-256 and size, and no name of a file. */
export interface Remembered {
  id: string;
  files: [string, number][];
}

const DAY = 86_400;

export async function begin(files: Announced[], store: string | null, signal: AbortSignal): Promise<Session> {
  const body = { files, seconds: DAY, ...(store ? { store } : {}) };
  const session = await sendJson<Session>("POST", "uploads", body, signal);
  remember({ id: session.id, files: files.map((file) => [file.sha256, file.size]) });
  return session;
}

export const reopen = (id: string, signal?: AbortSignal): Promise<Session> => getJson<Session>(`uploads/${id}`, signal);

export async function complete(id: string, signal: AbortSignal): Promise<Receipt[]> {
  const done = await sendJson<{ receipts: Receipt[] }>("POST", `uploads/${id}/complete`, undefined, signal);
  forget(id);
  return done.receipts;
}

export async function giveUp(id: string): Promise<void> {
  forget(id);
  await sendJson("DELETE", `uploads/${id}`).catch(() => undefined); // it ends by itself too
}

export function remembered(): Remembered[] {
  try {
    const found: unknown = JSON.parse(kept("localStorage", "uploads") ?? "[]");
    return Array.isArray(found) ? (found as Remembered[]) : [];
  } catch {
    return [];
  }
}

export function remember(session: Remembered): void {
  keep("localStorage", "uploads", JSON.stringify([...remembered().filter((each) => each.id !== session.id), session]));
}

export function forget(id: string): void {
  const left = remembered().filter((each) => each.id !== id);
  keep("localStorage", "uploads", left.length ? JSON.stringify(left) : null);
}

/** Send one part to its address. Progress comes from XMLHttpRequest, since fetch tells none of uploads. */
export function put(part: Part, blob: Blob, progress: (sent: number) => void, signal: AbortSignal): Promise<void> {
  return new Promise((done, failed) => {
    if (signal.aborted) return failed(new DOMException("", "AbortError"));
    const sending = new XMLHttpRequest();
    sending.open("PUT", addressOf(part.url ?? ""));
    for (const [name, value] of Object.entries(part.headers)) sending.setRequestHeader(name, value);
    sending.upload.addEventListener("progress", (event) => progress(event.loaded));
    sending.addEventListener("load", () => {
      if (sending.status >= 200 && sending.status < 300) return done();
      // A bucket answers 412 where the part is there already: it takes each once.
      if (sending.status === 412) return done();
      const headers = { "Retry-After": sending.getResponseHeader("Retry-After") ?? "" };
      void problemOf(new Response(sending.responseText, { status: sending.status, headers })).then(failed);
    });
    sending.addEventListener("error", () => failed(new Problem(0, "offline", text.uploads.interruptedFile)));
    sending.addEventListener("abort", () => failed(new DOMException("", "AbortError")));
    signal.addEventListener("abort", () => sending.abort(), { once: true });
    sending.send(blob);
  });
}

/** Our own addresses are taken as paths: a proxy may call the server by another name than the browser does. */
function addressOf(url: string): string {
  const own = /\/uploaded\/([^/?#]+)$/.exec(url);
  return own ? here(`uploaded/${own[1]}`) : url;
}
