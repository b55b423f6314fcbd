/** A study as one ZIP archive of DICOM files, as they are stored, with a DICOMDIR. */

import { hasKey, here, isAbort, request } from "../api/client";
import { button, h, replace } from "../dom";
import { bytes } from "../format";
import { announce, failure } from "../shell/messages";
import { text } from "../text";

const words = text.study;

export function downloadOf(store: string, study: string, signal: AbortSignal): HTMLElement {
  const address = `stores/${encodeURIComponent(store)}/dicomweb/studies/${study}?accept=application/zip`;
  // The browser's own download writes to disk as it comes, but sends no key.
  if (!hasKey()) return h("a", { class: "button", href: here(address), download: "", title: words.downloadTold }, words.download);
  const element = h("span", { class: "download" });
  const begin = (): HTMLElement => button(words.download, () => void run(), { name: "download" });
  const told = h("span", { role: "status" });
  const run = async (): Promise<void> => {
    const under = new AbortController();
    const stop = (): void => under.abort();
    signal.addEventListener("abort", stop, { once: true });
    replace(element, button(words.stopDownload, stop, { name: "stop" }), told);
    try {
      save(await fetched(address, told, under.signal));
      replace(element, begin());
      announce(words.downloaded);
    } catch (error) {
      replace(element, begin(), ...(isAbort(error) ? [] : [failure(error, null)]));
    } finally {
      signal.removeEventListener("abort", stop);
    }
  };
  replace(element, begin());
  return element;
}

async function fetched(address: string, told: HTMLElement, signal: AbortSignal): Promise<{ blob: Blob; name: string }> {
  const answer = await request(address, { signal, headers: { Accept: "application/zip" } });
  const total = Number(answer.headers.get("Content-Length") ?? NaN);
  const pieces: BlobPart[] = [];
  let got = 0;
  const reader = answer.body!.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value as BlobPart);
    got += value.byteLength;
    told.textContent = Number.isFinite(total) ? words.downloading(bytes(got), bytes(total)) : bytes(got);
  }
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "study.zip";
  return { blob: new Blob(pieces, { type: "application/zip" }), name };
}

function save({ blob, name }: { blob: Blob; name: string }): void {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  window.setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
