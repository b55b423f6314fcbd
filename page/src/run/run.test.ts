import { expect, test } from "vitest";
import { EventParser } from "../api/jobs";
import { firstFrame, inRange } from "../deidentify/evidence";
import { countsOf, fitting, type Change } from "../deidentify/preview";
import { kindOf, read } from "./form";
import { maskPath, outline } from "./marked";
import { chosenOf } from "./target";

test("fields follow the schema, and what is wrong is said", () => {
  const width = kindOf({ anyOf: [{ type: "number", exclusiveMinimum: 0, maximum: 9 }, { type: "null" }] });
  expect([width.type, width.optional]).toEqual(["number", true]);
  expect(["", "5", "0", "10", "x"].map((typed) => read(width, typed))).toEqual([
    { value: null },
    { value: 5 },
    { wrong: "It has to be more than 0." },
    { wrong: "It can be at most 9." },
    { wrong: "It has to be a number." },
  ]);
  const count = kindOf({ type: "integer", minimum: 1, exclusiveMaximum: 5 });
  expect(["2.5", "0", "5", "4", ""].map((typed) => read(count, typed, true))).toEqual([
    { wrong: "It has to be a whole number." },
    { wrong: "It has to be at least 1." },
    { wrong: "It has to be less than 5." },
    { value: 4 },
    { wrong: "It is needed." },
  ]);
  const choice = kindOf({ enum: ["a", 2] });
  expect([choice.type, read(choice, "2"), read(choice, '"a"')]).toEqual(["choice", { value: 2 }, { value: "a" }]);
  expect(read(kindOf({ type: "array" }), "[1")).toEqual({ wrong: "It is not written as JSON." });
  expect(read(kindOf({ type: "array" }), "[1]")).toEqual({ value: [1] });
});

test("events are whole however they are cut", () => {
  const sent = 'event: progress\ndata: {"a":1}\n\n: still there\n\nid: 7\r\nevent: end\r\ndata: x\r\ndata: y\r\n\r\n';
  for (const size of [1, 3, 1000]) {
    const parser = new EventParser();
    const found = [];
    for (let at = 0; at < sent.length; at += size) found.push(...parser.push(sent.slice(at, at + size)));
    expect(found).toEqual([
      { event: "progress", data: '{"a":1}', id: "" },
      { event: "end", data: "x\ny", id: "7" },
    ]);
  }
});

test("frames of a region, as evidence writes them", () => {
  expect([firstFrame("3-7,9"), firstFrame("1")]).toEqual([3, 1]);
  expect([1, 3, 7, 8, 9].map((frame) => inRange(frame, "3-7,9"))).toEqual([false, true, true, false, true]);
});

test("changes are counted and found", () => {
  const change = (path: string, action: string, before: string): Change => ({ path, tag: "00100010", vr: "PN", action, before, after: "" });
  const all = [change("PatientName", "removed", "Doe"), change("PatientID", "replaced", "7"), change("StudyID", "removed", "8")];
  expect(countsOf(all)).toEqual([["removed", 2], ["replaced", 1]]);
  expect(fitting(all, "removed", "").length).toBe(2);
  expect(fitting(all, "", "DOE").map((each) => each.path)).toEqual(["PatientName"]);
});

test("places are drawn by their corners", () => {
  expect(outline({ label: "", box: [1, 2, 3, 4] }, (x, y) => [10 * x, y])).toEqual([[10, 2], [40, 2], [40, 6], [10, 6]]);
  expect(outline({ label: "", polygon: [[0, 0], [1, 0], [0, 1]] }, (x, y) => [x, y]).length).toBe(3);
});

test("what work is on is an address of ours or nothing", () => {
  const at = (query: string) => chosenOf({ view: "run", parameters: new URLSearchParams(query) });
  expect(at("on=raw/1.2/3.4&image=a")).toEqual({ store: "raw", study: "1.2", series: "3.4", image: "a" });
  expect([at("on=raw"), at("on=raw/x"), at("")]).toEqual([null, null, null]);
});

test("a mask is drawn run by run, and a run that goes on below in each of its rows", () => {
  expect(maskPath([10, 20, 3, 2], [2, 3, 1])).toBe("M12 20h1v1h-1zM10 21h2v1h-2z");
  expect(maskPath([0, 0, 2, 2], [0, 4])).toBe("M0 0h2v1h-2zM0 1h2v1h-2z");
  expect(maskPath([0, 0, 2, 2], [4])).toBe("");
});
