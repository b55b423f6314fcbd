/** What measurements say: lengths in millimetres only where the spacing is known, values in the image's own units. */

import { AngleTool, EllipticalROITool, LengthTool, ProbeTool, RectangleROITool } from "@cornerstonejs/tools";
import { decimal } from "../format";
import { text } from "../text";
import type { FrameSource } from "./cornerstone";
import { pixelValue, type Values } from "./values";

type Stats = Record<string, number | number[] | string | boolean | null | undefined>;
type Data = { cachedStats?: Record<string, Stats> };
type Lines = (data: Data, target: string | string[]) => string[] | undefined; // some tools name several targets
type Find = (imageId: string) => FrameSource | undefined;
type Loaded = (imageId: string) => Values | null;

const words = text.view;

/** Each tool that measures, with what it writes beside its mark. */
export function measuring(find: Find, loaded: Loaded): [string, Lines][] {
  return [
    [LengthTool.toolName, lengthLines(find)],
    [AngleTool.toolName, angleLines],
    [EllipticalROITool.toolName, areaLines(find)],
    [RectangleROITool.toolName, areaLines(find)],
    [ProbeTool.toolName, probeLines(find, loaded)],
  ];
}

const targetOf = (target: string | string[]): string => (Array.isArray(target) ? (target[0] ?? "") : target);

const imageOf = (target: string | string[]): string => targetOf(target).replace(/^imageId:/, "");

const statsOf = (data: Data, target: string | string[]): Stats | null => data.cachedStats?.[targetOf(target)] ?? null;

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

/** The unit of a length, and where it was measured if that is not in the patient. */
export function lengthUnit(source: FrameSource | undefined, unit: unknown): string {
  if (typeof unit === "string" && unit.includes("US Region")) return unit.replace(" US Region", "");
  if (!source?.frame.spacing) return "px";
  if (source.frame.measured === "detector") return `mm ${words.atDetector}`;
  return source.frame.measured === "scanned" ? `mm ${words.scanned}` : "mm";
}

function lengthLines(find: Find): Lines {
  return (data, target) => {
    const stats = statsOf(data, target);
    if (!isNumber(stats?.["length"])) return undefined;
    return [`${decimal(stats["length"], 1)} ${lengthUnit(find(imageOf(target)), stats["unit"])}`];
  };
}

const angleLines: Lines = (data, target) => {
  const angle = statsOf(data, target)?.["angle"];
  return isNumber(angle) ? [`${decimal(angle, 1)}°`] : undefined;
};

function areaLines(find: Find): Lines {
  return (data, target) => {
    const stats = statsOf(data, target);
    const source = find(imageOf(target));
    if (!stats || !source) return undefined;
    const lines: string[] = [];
    const unit = lengthUnit(source, stats["areaUnit"]).replace(/^(mm|px|cm)/, "$1²");
    if (isNumber(stats["area"])) lines.push(`${words.area} ${decimal(stats["area"], 1)} ${unit}`);
    if (source.stack.form === "rgb8") return lines;
    const units = source.frame.units ? ` ${source.frame.units}` : "";
    const told: [string, string][] = [
      [words.mean, "mean"],
      [words.deviation, "stdDev"],
      [words.least, "min"],
      [words.most, "max"],
    ];
    for (const [label, name] of told) if (isNumber(stats[name])) lines.push(`${label} ${decimal(stats[name], 2)}${units}`);
    return lines;
  };
}

function probeLines(find: Find, loaded: Loaded): Lines {
  return (data, target) => {
    const index = statsOf(data, target)?.["index"];
    const source = find(imageOf(target));
    const values = loaded(imageOf(target));
    if (!source || !values || !Array.isArray(index)) return undefined;
    const [x, y] = [Math.round(index[0] ?? 0), Math.round(index[1] ?? 0)];
    return [words.at(x, y), valueAt(source, values, x, y)];
  };
}

/** What one pixel says: its colour, or its value with its unit. */
export function valueAt({ stack, frame }: FrameSource, values: Values, x: number, y: number): string {
  if (x < 0 || y < 0 || x >= stack.columns || y >= stack.rows) return "";
  const place = y * stack.columns + x;
  if (stack.form === "rgb8") return Array.from(values.shown.subarray(3 * place, 3 * place + 3)).join(" ");
  const { stored, value } = pixelValue(values, place, frame);
  if (frame.units) return `${decimal(value, 4)} ${frame.units}`;
  return value === stored ? `${decimal(value, 4)}` : `${decimal(value, 4)} (${words.stored} ${decimal(stored, 4)})`;
}
