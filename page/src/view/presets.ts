/** Windows to choose from: those of the header first, then the usual ones of the modality. */

import { decimal } from "../format";
import { text } from "../text";
import type { Frame, Window } from "./manifest";

export interface Preset {
  name: string;
  group: "header" | "modality";
  lower: number;
  upper: number;
  sigmoid: boolean;
}

const names = text.view.presets;
const CT: [string, number, number][] = [
  ["soft", 40, 400],
  ["lung", -600, 1500],
  ["bone", 300, 1500],
  ["brain", 40, 80],
  ["liver", 60, 160],
  ["mediastinum", 50, 350],
  ["angio", 300, 600],
  ["stroke", 35, 35],
];

/** The ends of a window (PS3.3 C.11.2.1.2): the first value above black, and the first that is white. */
export function ends({ center, width, function: kind }: Pick<Window, "center" | "width" | "function">): [number, number] {
  if (kind === "LINEAR" && width >= 1) return [center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2];
  return [center - width / 2, center + width / 2];
}

/** Centre and width as a header would have them, linear. */
export function centreAndWidth(lower: number, upper: number): { centre: number; width: number } {
  return { width: upper - lower + 1, centre: (lower + upper) / 2 + 0.5 };
}

export function presetsOf(frame: Frame, modality: string, least: number, most: number): Preset[] {
  const found: Preset[] = frame.windows.map((window) => {
    const [lower, upper] = ends(window);
    const name = window.told || text.view.window(decimal(window.center), decimal(window.width));
    return { name, group: "header", lower, upper, sigmoid: window.function === "SIGMOID" };
  });
  const usual = (key: string, lower: number, upper: number): void => {
    if (upper > lower) found.push({ name: names[key] ?? key, group: "modality", lower, upper, sigmoid: false });
  };
  if (modality === "CT" && frame.units === "HU") {
    for (const [key, center, width] of CT) usual(key, ...ends({ center, width, function: "LINEAR" }));
  } else if (modality === "PT" && frame.units?.includes("SUV")) usual("suv", 0, 10);
  usual("auto", least, most);
  if (modality !== "CT") {
    usual("bright", least, least + (most - least) * 0.6);
    usual("dark", least + (most - least) * 0.2, most + (most - least) * 0.4);
  }
  return found;
}
