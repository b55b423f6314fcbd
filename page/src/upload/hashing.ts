/** Hands files to a worker that hashes them; null for one that can no longer be read. */

let worker: Worker | null = null;
let count = 0;
const waiting = new Map<number, (sha256: string | null) => void>();

export function sha256Of(blob: Blob): Promise<string | null> {
  worker ??= begun();
  count += 1;
  const number = count;
  return new Promise((found) => {
    waiting.set(number, found);
    worker?.postMessage({ number, blob });
  });
}

function begun(): Worker {
  const made = new Worker(new URL("./hash.worker.ts", import.meta.url), { type: "module" });
  made.addEventListener("message", (event: MessageEvent<{ number: number; sha256: string | null }>) => {
    waiting.get(event.data.number)?.(event.data.sha256);
    waiting.delete(event.data.number);
  });
  made.addEventListener("error", () => {
    for (const found of waiting.values()) found(null);
    waiting.clear();
    worker = null;
  });
  return made;
}
