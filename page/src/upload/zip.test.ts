import { deflateRawSync, crc32 } from "node:zlib";
import { expect, test } from "vitest";
import { isZip, members, ZipError } from "./zip";

interface Made {
  name: string;
  data: Uint8Array;
  stored?: boolean;
  flags?: number;
  method?: number;
  claims?: number;
}

function zip(files: Made[], comment = 0): Blob {
  const parts: Uint8Array[] = [];
  const entries: Uint8Array[] = [];
  let at = 0;
  for (const { name, data, stored, flags = 0, method, claims } of files) {
    const packed = stored ? data : new Uint8Array(deflateRawSync(data));
    const label = new TextEncoder().encode(name);
    const head = new DataView(new ArrayBuffer(30));
    head.setUint32(0, 0x04034b50, true);
    head.setUint16(26, label.length, true);
    const entry = new DataView(new ArrayBuffer(46));
    entry.setUint32(0, 0x02014b50, true);
    entry.setUint16(8, flags, true);
    entry.setUint16(10, method ?? (stored ? 0 : 8), true);
    entry.setUint32(16, crc32(data), true);
    entry.setUint32(20, packed.length, true);
    entry.setUint32(24, claims ?? data.length, true);
    entry.setUint16(28, label.length, true);
    entry.setUint32(42, at, true);
    parts.push(new Uint8Array(head.buffer), label, packed);
    entries.push(new Uint8Array(entry.buffer), label);
    at += 30 + label.length + packed.length;
  }
  const size = entries.reduce((sum, each) => sum + each.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, at, true);
  end.setUint16(20, comment, true);
  return new Blob([...parts, ...entries, new Uint8Array(end.buffer), new Uint8Array(comment)] as BlobPart[]);
}

const data = Uint8Array.from({ length: 5000 }, (_, i) => i % 250);

test("members come out as they went in, folders and macOS's leavings do not", async () => {
  const archive = zip([{ name: "a/", data: new Uint8Array(), stored: true }, { name: "a/one.dcm", data }, { name: "two", data: data.slice(9), stored: true }, { name: "__MACOSX/x", data }], 300);
  expect(isZip(new Uint8Array(await archive.slice(0, 4).arrayBuffer()))).toBe(true);
  const found = await members(archive);
  expect(found.map((each) => [each.name, each.size])).toEqual([["a/one.dcm", 5000], ["two", 4991]]);
  expect(new Uint8Array(await (await found[0]!.open()).arrayBuffer())).toEqual(data);
  expect(new Uint8Array(await (await found[1]!.open()).arrayBuffer())).toEqual(data.slice(9));
});

test.each([
  ["encrypted", { flags: 1 }],
  ["method", { method: 14 }],
  ["damaged", { claims: 10 }],
  ["damaged", { claims: 50_000 }],
])("a member that is %s is not unpacked", async (fault, change) => {
  const [only] = await members(zip([{ name: "x", data, ...change }]));
  await expect(only!.open()).rejects.toMatchObject({ fault });
});

test("what is cut short or no archive at all is said to be damaged", async () => {
  const archive = zip([{ name: "x", data }]);
  for (const broken of [archive.slice(0, 40), archive.slice(10), new Blob([data])]) {
    await expect(members(broken)).rejects.toBeInstanceOf(ZipError);
  }
});
