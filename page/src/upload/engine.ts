/** Sends files by sessions of some hundred: hashed, resumed where they broke off, each with its own outcome. */

import { isAbort, Problem, wordsFor } from "../api/client";
import { text } from "../text";
import { sha256Of } from "./hashing";
import { begin, complete, forget, put, remembered, reopen, type Announced, type Receipt, type Session } from "./session";
import { isZip, members, ZipError } from "./zip";

export type State = "waiting" | "reading" | "sending" | "sent" | "stored" | "duplicate" | "replaced" | "rejected" | "failed";

export interface Entry {
  name: string;
  size: number;
  open: () => Promise<Blob>;
  state: State;
  sent: number;
  told: string;
  sha256?: string;
  image?: string | null;
  /** Of an archive; then what was unpacked is kept until it is sent. */
  member?: boolean;
  unpacked?: Blob;
}

const SESSION_FILES = 200;
const SESSION_BYTES = 512e6;
const AT_ONCE = 4;
const READING_AT_ONCE = 3;
const ATTEMPTS = 5;
const OVER: readonly State[] = ["stored", "duplicate", "replaced", "rejected", "failed"];

export const isOver = (entry: Entry): boolean => OVER.includes(entry.state);

interface Open {
  session: Session;
  /** File numbers by content. */
  places: Map<string, number[]>;
}

export class Uploads {
  entries: Entry[] = [];
  store: string | null = null;
  subject = "";
  running = false;
  private under = new AbortController();
  private readonly open = new Map<string, Open>();

  constructor(private readonly changed: (entry: Entry | null) => void) {}

  add(entries: Entry[]): void {
    this.entries = this.entries.concat(entries);
    this.changed(null);
  }

  /** Sessions of before that still lack files, how many files they have and how many are missing. */
  async interrupted(): Promise<{ files: number; missing: number; ids: string[] }> {
    const found = { files: 0, missing: 0, ids: [] as string[] };
    for (const { id, files } of remembered()) {
      try {
        const session = await reopen(id);
        this.take(session, files);
        const missing = session.files.filter((file) => file.parts.some((part) => !part.received)).length;
        found.files += session.files.length;
        found.missing += missing;
        found.ids.push(id);
      } catch (error) {
        if (error instanceof Problem && error.status === 404) forget(id);
      }
    }
    return found;
  }

  private take(session: Session, files: [string, number][]): void {
    const places = new Map<string, number[]>();
    files.forEach(([sha256, size], number) => {
      const key = `${sha256}:${size}`;
      places.set(key, [...(places.get(key) ?? []), number]);
    });
    this.open.set(session.id, { session, places });
  }

  /** Complete what had all been sent when it broke off. */
  async finish(ids: string[]): Promise<void> {
    for (const id of ids) {
      const open = this.open.get(id);
      if (open?.session.files.every((file) => file.parts.every((part) => part.received))) {
        await complete(id, this.under.signal);
        this.open.delete(id);
      }
    }
  }

  forgetOpen(): void {
    this.open.clear();
  }

  pause(): void {
    this.under.abort();
    this.under = new AbortController();
    for (const entry of this.entries) if (!isOver(entry)) entry.state = "waiting";
    this.running = false;
    this.changed(null);
  }

  retry(): void {
    for (const entry of this.entries) if (entry.state === "failed") Object.assign(entry, { state: "waiting", sent: 0, told: "" });
    void this.start();
  }

  clear(): void {
    this.entries = this.entries.filter((entry) => !isOver(entry));
    this.changed(null);
  }

  async start(): Promise<void> {
    if (this.running) return;
    this.running = true;
    this.changed(null);
    const { signal } = this.under;
    try {
      while (!signal.aborted) {
        const batch = await this.batch(signal);
        if (signal.aborted) return;
        if (!batch.length) break;
        await this.sendBatch(batch, signal);
      }
    } catch (error) {
      if (!isAbort(error)) throw error;
    } finally {
      if (!signal.aborted) {
        this.running = false;
        this.changed(null);
      }
    }
  }

  // ---- reading

  /** The next files, read and hashed; an archive gives way to what is in it. */
  private async batch(signal: AbortSignal): Promise<Entry[]> {
    const found: Entry[] = [];
    let bytes = 0;
    while (found.length < SESSION_FILES && bytes < SESSION_BYTES && !signal.aborted) {
      const next = this.entries.filter((entry) => entry.state === "waiting").slice(0, READING_AT_ONCE * 8);
      if (!next.length) break;
      await pooled(next, READING_AT_ONCE, async (entry) => {
        if (signal.aborted) return;
        if (found.length >= SESSION_FILES || bytes >= SESSION_BYTES) return;
        if (await this.read(entry, signal)) {
          found.push(entry);
          bytes += entry.size;
        }
      });
    }
    return found;
  }

  /** Whether there is something to send now. */
  private async read(entry: Entry, signal: AbortSignal): Promise<boolean> {
    this.set(entry, "reading");
    if (entry.size === 0) return this.over(entry, "rejected", text.uploads.empty);
    try {
      const blob = await contentOf(entry);
      const head = new Uint8Array(await blob.slice(0, 4).arrayBuffer());
      if (isZip(head) && !entry.member) return await this.unpack(entry, blob);
      entry.sha256 ??= (await sha256Of(blob)) ?? undefined!;
      if (!entry.sha256) return this.over(entry, "failed", text.uploads.unreadable);
      return !signal.aborted;
    } catch (error) {
      if (error instanceof Problem) return this.over(entry, "failed", wordsFor(error));
      const other = entry.member ? text.uploads.zipTooLarge : text.uploads.unreadable;
      return this.over(entry, "rejected", error instanceof ZipError ? zipWords(error) : other);
    }
  }

  private async unpack(archive: Entry, blob: Blob): Promise<boolean> {
    const found = await members(blob);
    const made = found.map((member) => ({
      ...fresh(`${archive.name}/${member.name}`, member.size, member.open),
      member: true,
    }));
    const place = this.entries.indexOf(archive);
    this.entries = [...this.entries.slice(0, place), ...made, ...this.entries.slice(place + 1)];
    this.changed(null);
    return false;
  }

  // ---- sending

  private async sendBatch(batch: Entry[], signal: AbortSignal): Promise<void> {
    const groups = new Map<string, Map<number, Entry>>();
    const rest: Entry[] = [];
    for (const entry of batch) if (!this.goesOn(entry, groups)) rest.push(entry);
    try {
      if (rest.length) {
        const files = await Promise.all(rest.map((entry) => this.announced(entry)));
        const session = await patient(() => begin(files, this.store, signal), signal);
        this.take(session, files.map((file) => [file.sha256, file.size]));
        groups.set(session.id, new Map(rest.map((entry, number) => [number, entry])));
      }
      for (const [id, files] of groups) await this.send(id, files, signal);
    } catch (error) {
      if (isAbort(error)) throw error;
      for (const entry of batch) if (!isOver(entry)) this.over(entry, "failed", wordsFor(error));
    }
  }

  /** Whether a session of before waits for this very content. */
  private goesOn(entry: Entry, groups: Map<string, Map<number, Entry>>): boolean {
    for (const [id, { places }] of this.open) {
      const numbers = places.get(`${entry.sha256}:${entry.size}`) ?? [];
      const group = groups.get(id) ?? new Map<number, Entry>();
      const number = numbers.find((each) => !group.has(each));
      if (number === undefined) continue;
      groups.set(id, group.set(number, entry));
      return true;
    }
    return false;
  }

  private async announced(entry: Entry): Promise<Announced> {
    const name = printable(entry.name).slice(-1000) || text.unknown;
    const told: Announced = { name, size: entry.size, sha256: entry.sha256 ?? "" };
    // DICOM says itself whom it is of.
    if (this.subject && !(await isDicom(await contentOf(entry)))) told.subject_id = this.subject;
    return told;
  }

  private async send(id: string, files: Map<number, Entry>, signal: AbortSignal): Promise<void> {
    const open = this.open.get(id);
    if (!open) return;
    const { session } = open;
    const work: { entry: Entry; run: () => Promise<void> }[] = [];
    for (const [number, entry] of files) {
      this.set(entry, "sending");
      entry.sent = 0;
      const parts = session.files[number]?.parts ?? [];
      for (const part of parts) {
        if (part.received) {
          entry.sent += part.size;
          continue;
        }
        work.push({
          entry,
          run: async () => {
            const blob = (await contentOf(entry)).slice(part.offset, part.offset + part.size);
            let counted = 0;
            const progress = (sent: number): void => {
              entry.sent += sent - counted;
              counted = sent;
              this.changed(entry);
            };
            await patient(async () => {
              progress(0);
              await put(part, blob, progress, signal);
            }, signal);
            progress(part.size);
            part.received = true;
          },
        });
      }
    }
    await pooled(work, AT_ONCE, async ({ entry, run }) => {
      try {
        if (!isOver(entry)) await run();
      } catch (error) {
        if (isAbort(error)) throw error;
        this.over(entry, "failed", wordsFor(error));
      }
    });
    if (signal.aborted) throw new DOMException("", "AbortError");
    for (const entry of files.values()) if (!isOver(entry)) this.set(entry, "sent");
    await this.close(open, files, signal);
  }

  /** Complete a session that lacks nothing; one that lacks something stays open for it. */
  private async close(open: Open, files: Map<number, Entry>, signal: AbortSignal): Promise<void> {
    const { session } = open;
    if (session.files.some((file) => file.parts.some((part) => !part.received))) {
      const failed = [...files.values()].some((entry) => entry.state === "failed");
      if (!failed) return; // what is missing may still be chosen
      for (const entry of files.values()) if (!isOver(entry)) this.over(entry, "failed", text.uploads.interruptedFile);
      return;
    }
    const receipts = await patient(() => complete(session.id, signal), signal);
    this.open.delete(session.id);
    for (const receipt of receipts) {
      const entry = files.get(receipt.file);
      if (entry) this.received(entry, receipt);
    }
  }

  private received(entry: Entry, receipt: Receipt): void {
    entry.image = receipt.image_id;
    const known = (OVER as readonly string[]).includes(receipt.outcome);
    this.over(entry, known ? (receipt.outcome as State) : "failed", reasonFor(receipt));
  }

  private set(entry: Entry, state: State): void {
    entry.state = state;
    this.changed(entry);
  }

  private over(entry: Entry, state: State, told: string): false {
    entry.told = told;
    delete entry.unpacked;
    if (state !== "failed" && state !== "rejected") entry.sent = entry.size;
    this.set(entry, state);
    return false;
  }
}

export function fresh(name: string, size: number, open: () => Promise<Blob>): Entry {
  return { name, size, open, state: "waiting", sent: 0, told: "" };
}

async function contentOf(entry: Entry): Promise<Blob> {
  return entry.member ? (entry.unpacked ??= await entry.open()) : entry.open();
}

/** Why a file was not taken, in plain words first. */
export function reasonFor(receipt: Pick<Receipt, "outcome" | "code" | "detail">): string {
  if (receipt.outcome !== "rejected" && receipt.outcome !== "failed") return "";
  const code = receipt.code ?? "";
  const plain = text.uploads.reasons[code] ?? text.operate.reasons[code] ?? "";
  const detail = receipt.detail ? text.uploads.because(receipt.detail.replace(/\.$/, "")) : "";
  return [plain, detail].filter(Boolean).join(" ");
}

function zipWords(error: ZipError): string {
  const { zipDamaged, zipEncrypted, zipMethod, zipTooMany } = text.uploads;
  return { damaged: zipDamaged, encrypted: zipEncrypted, method: zipMethod, tooMany: zipTooMany }[error.fault];
}

/** Without what would turn a line about or break it; the server takes no such name. */
export function printable(name: string): string {
  // eslint-disable-next-line no-control-regex
  return name.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, "_");
}

async function isDicom(blob: Blob): Promise<boolean> {
  const found = new Uint8Array(await blob.slice(128, 132).arrayBuffer());
  return String.fromCharCode(...found) === "DICM";
}

/** Run over all, so many at a time; the first that throws ends it. */
async function pooled<T>(items: readonly T[], most: number, run: (item: T) => Promise<void>): Promise<void> {
  let at = 0;
  const lane = async (): Promise<void> => {
    while (at < items.length) {
      const item = items[at];
      at += 1;
      if (item !== undefined) await run(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, lane));
}

/** Again after a pause where the server is busy or the network broke. */
async function patient<T>(act: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await act();
    } catch (error) {
      const passing = error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500);
      if (!passing || attempt >= ATTEMPTS) throw error;
      const stated = (error as Problem).retryAfter;
      const seconds = stated ?? 0.5 * 2 ** attempt * (0.5 + Math.random());
      await new Promise<void>((on, off) => {
        const timer = window.setTimeout(on, Math.min(30, seconds) * 1000);
        signal.addEventListener("abort", () => (window.clearTimeout(timer), off(new DOMException("", "AbortError"))), { once: true });
      });
    }
  }
}
