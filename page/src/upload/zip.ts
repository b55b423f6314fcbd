/** ZIP archives (APPNOTE 6.3) opened in the browser: each member goes up as a file of its own. */

export type ZipFault = "damaged" | "encrypted" | "method" | "tooMany";

export class ZipError extends Error {
  constructor(readonly fault: ZipFault) {
    super(fault);
  }
}

export interface Member {
  name: string;
  size: number;
  open: () => Promise<Blob>;
}

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const MOST_COMMENT = 65_557;
const MOST_MEMBERS = 200_000;
const MOST_DIRECTORY = 256 << 20;
const STORED = 0;
const DEFLATED = 8;

/** Whether these first bytes are of an archive. */
export function isZip(head: Uint8Array): boolean {
  return head[0] === 0x50 && head[1] === 0x4b && head[2] === 3 && head[3] === 4;
}

async function view(blob: Blob, start: number, end: number): Promise<DataView> {
  return new DataView(await blob.slice(start, end).arrayBuffer());
}

/** The files in an archive, without folders and what macOS leaves in them. Throws ZipError. */
export async function members(archive: Blob): Promise<Member[]> {
  try {
    return await read(archive);
  } catch (error) {
    if (error instanceof ZipError) throw error;
    throw new ZipError("damaged"); // whatever lies outside what was read
  }
}

async function read(archive: Blob): Promise<Member[]> {
  const { start, size, count } = await directory(archive);
  if (count > MOST_MEMBERS) throw new ZipError("tooMany");
  if (size > MOST_DIRECTORY || start + size > archive.size) throw new ZipError("damaged");
  const entries = await view(archive, start, start + size);
  const found: Member[] = [];
  const names = new TextDecoder();
  for (let at = 0, number = 0; number < count; number += 1) {
    if (entries.getUint32(at, true) !== CENTRAL) throw new ZipError("damaged");
    const flags = entries.getUint16(at + 8, true);
    const method = entries.getUint16(at + 10, true);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((place) => entries.getUint16(at + place, true)) as [number, number, number];
    const sizes = {
      packed: entries.getUint32(at + 20, true),
      size: entries.getUint32(at + 24, true),
      offset: entries.getUint32(at + 42, true),
    };
    widen(entries, at + 46 + nameLength, extraLength, sizes);
    const name = names.decode(new Uint8Array(entries.buffer, at + 46, nameLength));
    at += 46 + nameLength + extraLength + commentLength;
    if (name.endsWith("/") || name.startsWith("__MACOSX/") || name.endsWith(".DS_Store")) continue;
    found.push({ name, size: sizes.size, open: () => opened(archive, flags, method, sizes) });
  }
  return found;
}

async function directory(archive: Blob): Promise<{ start: number; size: number; count: number }> {
  const from = Math.max(0, archive.size - MOST_COMMENT);
  const tail = await view(archive, from, archive.size);
  for (let at = tail.byteLength - 22; at >= 0; at -= 1) {
    if (tail.getUint32(at, true) !== END) continue;
    const found = { start: tail.getUint32(at + 16, true), size: tail.getUint32(at + 12, true), count: tail.getUint16(at + 10, true) };
    const long = found.start === 0xffffffff || found.count === 0xffff || found.size === 0xffffffff;
    if (!long || at < 20 || tail.getUint32(at - 20, true) !== LOCATOR_64) return found;
    const end = await view(archive, Number(tail.getBigUint64(at - 12, true)), archive.size);
    if (end.getUint32(0, true) !== END_64) throw new ZipError("damaged");
    return {
      count: Number(end.getBigUint64(32, true)),
      size: Number(end.getBigUint64(40, true)),
      start: Number(end.getBigUint64(48, true)),
    };
  }
  throw new ZipError("damaged");
}

/** Sizes and offset of 64 bits where those of 32 are not enough. */
function widen(entries: DataView, at: number, length: number, sizes: { packed: number; size: number; offset: number }): void {
  for (const end = at + length; at + 4 <= end; ) {
    const kind = entries.getUint16(at, true);
    const size = entries.getUint16(at + 2, true);
    if (kind === 1) {
      let place = at + 4;
      for (const name of ["size", "packed", "offset"] as const) {
        if (sizes[name] !== 0xffffffff || place + 8 > at + 4 + size) continue;
        sizes[name] = Number(entries.getBigUint64(place, true));
        place += 8;
      }
    }
    at += 4 + size;
  }
}

async function opened(
  archive: Blob,
  flags: number,
  method: number,
  { packed, size, offset }: { packed: number; size: number; offset: number },
): Promise<Blob> {
  if (flags & 1) throw new ZipError("encrypted");
  if (method !== STORED && method !== DEFLATED) throw new ZipError("method");
  const head = await view(archive, offset, offset + 30);
  if (head.byteLength < 30 || head.getUint32(0, true) !== LOCAL) throw new ZipError("damaged");
  const start = offset + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const data = archive.slice(start, start + packed);
  if (method === STORED) return data;
  return inflated(data, size);
}

/** What a member unpacks to, no further than it said it would. */
async function inflated(data: Blob, size: number): Promise<Blob> {
  const reader = data.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const pieces: BlobPart[] = [];
  let total = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      total += value.byteLength;
      if (total > size) throw new ZipError("damaged");
      pieces.push(value as BlobPart);
    }
  } catch {
    await reader.cancel().catch(() => undefined);
    throw new ZipError("damaged");
  }
  if (total !== size) throw new ZipError("damaged");
  return new Blob(pieces);
}
