/** Hands files to a worker that hashes them; null for one that can no longer be read. */

import { Problem } from "../api/client";
import { text } from "../text";

interface Waiting {
  found: (sha256: string | null) => void;
  failed: (error: Problem) => void;
}

let worker: Worker | null = null;
let count = 0;
const waiting = new Map<number, Waiting>();

/** Load the worker while the server is there, so that files can be read when it is not. */
export function prepareHashing(): void {
  worker ??= begun();
}

export function sha256Of(blob: Blob): Promise<string | null> {
  worker ??= begun();
  count += 1;
  const number = count;
  return new Promise((found, failed) => {
    waiting.set(number, { found, failed });
    worker?.postMessage({ number, blob });
  });
}

function begun(): Worker {
  const made = new Worker(new URL("./hash.worker.ts", import.meta.url), { type: "module" });
  made.addEventListener("message", (event: MessageEvent<{ number: number; sha256: string | null }>) => {
    waiting.get(event.data.number)?.found(event.data.sha256);
    waiting.delete(event.data.number);
  });
  made.addEventListener("error", () => {
    // It could not be loaded: no fault of the files.
    for (const { failed } of waiting.values()) failed(new Problem(0, "offline", text.problems.offline));
    waiting.clear();
    worker = null;
  });
  return made;
}
