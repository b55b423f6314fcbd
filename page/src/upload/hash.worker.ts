/** SHA-256 of files beside the page, so that it stays quick. */

import { Sha256 } from "./sha256";

const PIECE = 4 << 20;
const SMALL = 32 << 20;

const scope = self as unknown as DedicatedWorkerGlobalScope;

scope.addEventListener("message", (event: MessageEvent<{ number: number; blob: Blob }>) => {
  const { number, blob } = event.data;
  digest(blob).then(
    (sha256) => scope.postMessage({ number, sha256 }),
    () => scope.postMessage({ number, sha256: null }),
  );
});

async function digest(blob: Blob): Promise<string> {
  if (blob.size <= SMALL && scope.crypto?.subtle) {
    const found = await scope.crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
    return Array.from(new Uint8Array(found), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  const made = new Sha256();
  for (let at = 0; at < blob.size; at += PIECE) made.update(new Uint8Array(await blob.slice(at, at + PIECE).arrayBuffer()));
  return made.hex();
}
