import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { Sha256 } from "./sha256";

const whole = (data: Uint8Array): string => new Sha256().update(data).hex();
const known = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
const bytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, (_, i) => (i * 7 + (i >> 8)) & 255);

test("the standard's own examples", () => {
  const encode = new TextEncoder();
  expect(whole(encode.encode("abc"))).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(whole(new Uint8Array())).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});

test("every length around a block, whole and in pieces of any size", () => {
  for (const count of [1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 65_537]) {
    const data = bytes(count);
    expect(whole(data)).toBe(known(data));
    for (const piece of [1, 13, 64, 100]) {
      const made = new Sha256();
      for (let at = 0; at < count; at += piece) made.update(data.subarray(at, at + piece));
      expect(made.hex()).toBe(known(data));
    }
  }
});

test("lengths beyond 512 MiB have their bits counted in 64", () => {
  const piece = bytes(1 << 20);
  const [made, other] = [new Sha256(), createHash("sha256")];
  for (let count = 0; count < 520; count += 1) {
    made.update(piece);
    other.update(piece);
  }
  expect(made.hex()).toBe(other.digest("hex"));
}, 60_000);
