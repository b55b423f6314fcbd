import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { bytes, date, decimal, duration, time } from "./format";
import { keysFor, personName, wildcard } from "./api/studies";
import { addressOf, placeOf } from "./router";
import { printable, reasonFor } from "./upload/engine";

test("dates and times are shown as nobody misreads them, and what is none as it is", () => {
  expect([date("20240215"), date("2024"), time("101530.5"), time("x")]).toEqual(["2024-02-15", "2024", "10:15", "x"]);
});

test("numbers, sizes and durations", () => {
  expect([bytes(0), bytes(999), bytes(1000), bytes(1_234_567), bytes(512e6)]).toEqual(["0 B", "999 B", "1.0 kB", "1.2 MB", "512 MB"]);
  expect([duration(5), duration(65), duration(3700), duration(Infinity)]).toEqual(["0:05", "1:05", "1:01:40", "—"]);
  expect([decimal(1.2345), decimal(2), decimal(-0.001), decimal(NaN)]).toEqual(["1.23", "2", "0", "—"]);
});

test("names are put in the order they are read in", () => {
  expect([personName("Doe^Jane^M^Dr"), personName("Doe"), personName("^Jane"), personName("")]).toEqual(["Doe, Dr Jane M", "Doe", "Jane", ""]);
});

test("what is typed finds itself anywhere, and cannot make a pattern of its own", () => {
  expect(wildcard(" a*b\\c ")).toBe("*a?b?c*");
});

test("words are looked for under every key, in the usual writings where the server tells case apart", () => {
  expect(keysFor("  ")).toEqual([]);
  const asked = keysFor("knee").map(({ name, value, fuzzy }) => [name, value, fuzzy === true]);
  expect(asked).toEqual([
    ["PatientName", "*knee*", false],
    ["PatientName", "knee", true],
    ["PatientID", "*knee*", false],
    ["PatientID", "*KNEE*", false],
    ["AccessionNumber", "*knee*", false],
    ["AccessionNumber", "*KNEE*", false],
    ["StudyDescription", "*knee*", false],
    ["StudyDescription", "*KNEE*", false],
    ["StudyDescription", "*Knee*", false],
  ]);
  expect(keysFor("123").length).toBe(5); // no case, so each key once
  expect(keysFor("Novotny, Petr")[1]).toEqual({ name: "PatientName", value: "Novotny Petr", fuzzy: true });
  expect(keysFor("*").some((key) => key.fuzzy)).toBe(false);
});

test("addresses lead back to where they are of", () => {
  const { view, parameters } = placeOf(addressOf("study", { store: "raw", study: "1.2", none: null }));
  expect([view, parameters.toString()]).toEqual(["study", "store=raw&study=1.2"]);
  expect(placeOf("").view).toBe("studies");
});

test("file names lose what would break or turn a line, and reasons come in plain words first", () => {
  expect(printable("a\u0000b\u202ec\n.dcm")).toBe("a_b_c_.dcm");
  expect(reasonFor({ outcome: "stored", code: null, detail: null })).toBe("");
  const told = reasonFor({ outcome: "rejected", code: "not-an-image", detail: "no kind fits." });
  expect(told).toMatch(/^It is not an image .* The server says: no kind fits\.$/);
});

test("words that people read stand in text/ alone", () => {
  const root = path.join(import.meta.dirname, ".");
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && !name.startsWith("text"),
  );
  expect(files.length).toBeGreaterThan(20);
  const sentence = /(["'`])[A-Z][a-z]+(?: [a-z]+)+[.…]?\1/g;
  for (const name of files) {
    const code = readFileSync(path.join(root, name), "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
    expect(code.match(sentence) ?? [], name).toEqual([]);
    expect(code, name).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(/);
  }
});
