import { describe, expect, test } from "vitest";
import { around, letters, nearest, normal, parallel, scaleBar } from "./geometry";
import { lines, narrowed } from "./header";
import { planeStack, seriesPlace, type Frame, type Shape } from "./manifest";
import { centreAndWidth, ends, presetsOf } from "./presets";
import { cut, pixelValue, range, spread, valuesOf } from "./values";

const frame = (change: Partial<Frame> = {}): Frame => ({
  image: "i", instance: null, frame: 1, number: 1, slope: 1, intercept: 0, units: null, windows: [], spacing: [1, 1],
  measured: "patient", position: [0, 0, 0], orientation: [1, 0, 0, 0, 1, 0], thickness: null, laterality: null, ...change,
});
const shape = (change: Partial<Shape> = {}): Shape => ({
  rows: 1, columns: 4, form: "i16", bitsStored: 12, inverted: false, padding: null, frameTime: null, regions: [], ...change,
});

describe("directions", () => {
  test("letters name where a direction leads to, the strongest first", () => {
    expect(letters([1, 0, 0])).toBe("L");
    expect(letters([-1, 0, 0])).toBe("R");
    expect(letters([0, 1, 0])).toBe("P");
    expect(letters([0, 0, -1])).toBe("F");
    expect(letters([0, -0.6, 0.8])).toBe("HA");
    expect(letters([0, 0, 0])).toBe("");
  });

  test("frames that look the same way are found by depth, others are not", () => {
    const frames = [0, 5, 10].map((z) => frame({ position: [0, 0, z] }));
    expect(normal([1, 0, 0, 0, 1, 0])).toEqual([0, 0, 1]);
    expect(nearest(frames, 6)).toBe(1);
    expect(nearest([frame({ position: null })], 6)).toBe(null);
    expect(parallel(frames[0]!, frame({ orientation: [0, 1, 0, 0, 0, -1] }))).toBe(false);
    expect(parallel(frames[0]!, frames[2]!)).toBe(true);
  });

  test("what lies ahead is fetched first", () => {
    expect(around(5, 10, 3, 1, true)).toEqual([6, 4, 7, 8]);
    expect(around(5, 10, 2, 2, false)).toEqual([4, 6, 3, 7]);
    expect(around(0, 1, 5, 5, true)).toEqual([]);
  });

  test("a scale bar is of a round length that fits", () => {
    expect(scaleBar(0.5, 150)).toEqual({ millimetres: 50, pixels: 100 });
    expect(scaleBar(0, 150)).toBe(null);
  });
});

describe("values", () => {
  test("slope and intercept lead to whole numbers that the probe reads back exactly", () => {
    const stored = new Uint16Array([0, 1024, 3000, 4095]);
    const own = frame({ slope: 1, intercept: -1024 });
    const made = valuesOf(stored, shape({ form: "u16" }), own);
    expect([...made.shown]).toEqual([-1024, 0, 1976, 3071]);
    expect([made.least, made.most, made.stored]).toEqual([-1024, 3071, null]);
    expect(pixelValue(made, 2, own)).toEqual({ stored: 3000, value: 1976 });
  });

  test("where they lead to fractions the stored values are kept, so that nothing is rounded twice", () => {
    const own = frame({ slope: 0.1, intercept: 0.3 });
    const made = valuesOf(new Int16Array([1, 2, 3, 4]), shape(), own);
    expect(made.shown).toBeInstanceOf(Float32Array);
    expect(pixelValue(made, 2, own)).toEqual({ stored: 3, value: 3 * 0.1 + 0.3 });
  });

  test("what 16 bits do not hold becomes floating point", () => {
    const made = valuesOf(new Uint16Array([0, 40_000, 1, 2]), shape({ form: "u16" }), frame({ intercept: 1 }));
    expect(made.shown).toBeInstanceOf(Float32Array);
    expect(made.most).toBe(40_001);
  });

  test("padding, infinities and NaN do not count for the range", () => {
    expect(range(new Int16Array([-2000, 5, 9]), [-2000, -2000])).toEqual([5, 9]);
    expect(range(new Float32Array([NaN, Infinity, 2]), null)).toEqual([2, 2]);
    expect(range(new Int16Array([7]), [7, 7])).toEqual([0, 0]);
    expect(spread(new Float32Array([NaN]), 1, 0)).toEqual([0, 1]);
  });

  test("a volume is cut into planes as radiologists look at them", () => {
    // Voxels x + 10 y + 100 z of a volume of 3 by 2 by 2.
    const voxels = new Int16Array([0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112]);
    const volume = { image: "i", form: "i16", sides: [3, 2, 2], spacing: [1, 2, 3], step: 1, slope: 1, intercept: 0, volumes: 1 } as const;
    const given = { ...volume, sides: [3, 2, 2] as [number, number, number], spacing: [1, 2, 3] as [number, number, number] };
    expect([...cut(voxels, given, "axial", 1)]).toEqual([100, 101, 102, 110, 111, 112]);
    expect([...cut(voxels, given, "coronal", 1)]).toEqual([10, 11, 12, 110, 111, 112]);
    expect([...cut(voxels, given, "sagittal", 2)]).toEqual([2, 12, 102, 112]);
    const sagittal = planeStack(given, "sagittal");
    expect([sagittal.rows, sagittal.columns, sagittal.frames.length]).toEqual([2, 2, 3]);
    expect(sagittal.frames[0]?.spacing).toEqual([3, 2]);
    expect(letters(sagittal.frames[0]!.orientation!.slice(0, 3))).toBe("P");
  });
});

describe("windows", () => {
  test("ends are those of the standard's functions, and lead back", () => {
    expect(ends({ center: 40, width: 400, function: "LINEAR" })).toEqual([-160, 239]);
    expect(ends({ center: 40, width: 400, function: "LINEAR_EXACT" })).toEqual([-160, 240]);
    expect(centreAndWidth(-160, 239)).toEqual({ centre: 40, width: 400 });
  });

  test("the header's windows go first; a CT without HU has no windows of HU", () => {
    const own = frame({ units: "HU", windows: [{ center: 1, width: 2, function: "LINEAR", told: "MINE" }] });
    const found = presetsOf(own, "CT", -1000, 1000);
    expect(found[0]).toMatchObject({ name: "MINE", group: "header" });
    expect(found.some((preset) => preset.name === "Lung")).toBe(true);
    expect(presetsOf(frame(), "CT", 0, 10).some((preset) => preset.name === "Lung")).toBe(false);
  });
});

describe("places and headers", () => {
  test("a series is named by identifiers alone", () => {
    expect(seriesPlace("raw/1.2/3.4")).toEqual({ store: "raw", study: "1.2", series: "3.4" });
    for (const wrong of ["", "raw/1.2", "raw/1.2/3.4/5", "raw/x/1", "a/../1.2/3"]) expect(seriesPlace(wrong)).toBe(null);
  });

  test("what holds a line that is sought is kept with it", () => {
    const all = lines([
      { tag: "(0008,0060)", keyword: "Modality", vr: "CS", value: "CT" },
      { tag: "(0040,0275)", keyword: "RequestAttributesSequence", vr: "SQ", items: [[{ tag: "(0040,0007)", keyword: "StepDescription", vr: "LO", value: "Chest" }]] },
    ]);
    expect(all.map((line) => line.depth)).toEqual([0, 0, 1, 2]);
    expect(narrowed(all, "chest").map((line) => line.keyword)).toEqual(["RequestAttributesSequence", "Item 1", "StepDescription"]);
    expect(narrowed(all, "00080060")).toHaveLength(1);
    expect(narrowed(all, "nothing")).toEqual([]);
  });
});
