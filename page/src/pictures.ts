/** Small pictures, fetched with the caller's key and shown as blobs: one loader, few at a time, the latest kept. */

import { h } from "./dom";
import { isAbort, request } from "./api/client";

const MOST_AT_ONCE = 6;
const MOST_KEPT = 400;

interface Waiting {
  address: string;
  start: () => void;
}

const kept = new Map<string, string>();
const waiting: Waiting[] = [];
let running = 0;

function next(): void {
  while (running < MOST_AT_ONCE && waiting.length) waiting.shift()?.start();
}

function remember(address: string, url: string): void {
  kept.set(address, url);
  for (const [old, oldUrl] of kept) {
    if (kept.size <= MOST_KEPT) break;
    kept.delete(old);
    URL.revokeObjectURL(oldUrl);
  }
}

async function load(address: string, signal: AbortSignal): Promise<string> {
  const found = kept.get(address);
  if (found !== undefined) {
    kept.delete(address);
    kept.set(address, found); // the latest used last
    return found;
  }
  await new Promise<void>((start, stop) => {
    const entry: Waiting = { address, start };
    waiting.push(entry);
    signal.addEventListener("abort", () => {
      const place = waiting.indexOf(entry);
      if (place >= 0) waiting.splice(place, 1);
      stop(new DOMException("", "AbortError"));
    });
    next();
  });
  running += 1;
  try {
    const answer = await request(address, { signal, headers: { Accept: "image/jpeg, image/png;q=0.9" } });
    const url = URL.createObjectURL(await answer.blob());
    remember(address, url);
    return url;
  } finally {
    running -= 1;
    next();
  }
}

/** A picture that fills itself in; where there is none it stays an empty frame. */
export function picture(address: string, signal: AbortSignal, label = ""): HTMLElement {
  const frame = h("span", { class: "picture" });
  load(address, signal).then(
    (url) => {
      const image = h("img", { src: url, alt: label, draggable: false });
      image.addEventListener("error", () => frame.classList.add("none"));
      frame.appendChild(image);
    },
    (error: unknown) => {
      if (!isAbort(error)) frame.classList.add("none");
    },
  );
  return frame;
}

/** The empty frame of what has no picture. */
export const noPicture = (): HTMLElement => h("span", { class: "picture none" });

/** Let go of every picture: another caller must not see them. */
export function forgetPictures(): void {
  for (const url of kept.values()) URL.revokeObjectURL(url);
  kept.clear();
}
