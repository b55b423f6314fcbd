/** Directions, distances and places in the patient; pure. */

import type { Frame, Vector } from "./manifest";

type Six = NonNullable<Frame["orientation"]>;

/** The letters of a direction in DICOM's patient coordinates, the strongest first: "L", "PH". */
export function letters(direction: readonly number[]): string {
  const [x = 0, y = 0, z = 0] = direction;
  const length = Math.hypot(x, y, z);
  if (!(length > 0)) return "";
  const parts: [number, string][] = [
    [Math.abs(x) / length, x > 0 ? "L" : "R"],
    [Math.abs(y) / length, y > 0 ? "P" : "A"],
    [Math.abs(z) / length, z > 0 ? "H" : "F"],
  ];
  return parts
    .filter(([share]) => share > 0.25)
    .sort(([one], [other]) => other - one)
    .map(([, letter]) => letter)
    .join("");
}

export function normal([a, b, c, d, e, f]: Six): Vector {
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}

export const dot = (one: readonly number[], other: readonly number[]): number =>
  one.reduce((sum, value, place) => sum + value * (other[place] ?? 0), 0);

/** How far along the normal of its plane a frame lies, in millimetres. */
export function depth(frame: Frame): number | null {
  return frame.position && frame.orientation ? dot(frame.position, normal(frame.orientation)) : null;
}

/** Whether two frames look the same way, within about ten degrees. */
export function parallel(one: Frame, other: Frame): boolean {
  if (!one.orientation || !other.orientation) return false;
  const cosine = dot(normal(one.orientation), normal(other.orientation));
  return cosine > 0.985;
}

/** The frame that lies nearest to a depth; null where depths are not known. */
export function nearest(frames: readonly Frame[], wanted: number): number | null {
  let best: number | null = null;
  let least = Infinity;
  frames.forEach((frame, place) => {
    const own = depth(frame);
    if (own !== null && Math.abs(own - wanted) < least) {
      least = Math.abs(own - wanted);
      best = place;
    }
  });
  return best;
}

/** A round number of millimetres for a scale bar of at most so many pixels. */
export function scaleBar(millimetresPerPixel: number, most: number): { millimetres: number; pixels: number } | null {
  if (!(millimetresPerPixel > 0) || !Number.isFinite(millimetresPerPixel)) return null;
  const longest = millimetresPerPixel * most;
  const power = 10 ** Math.floor(Math.log10(longest));
  const step = [5, 2, 1].find((each) => each * power <= longest) ?? 1;
  return { millimetres: step * power, pixels: (step * power) / millimetresPerPixel };
}

/** Places around a cursor, nearest first, ahead of behind. */
export function around(index: number, count: number, ahead: number, behind: number, forward: boolean): number[] {
  const found: number[] = [];
  const sign = forward ? 1 : -1;
  for (let step = 1; step <= Math.max(ahead, behind); step += 1) {
    const on = index + sign * step;
    const back = index - sign * step;
    if (step <= ahead && on >= 0 && on < count) found.push(on);
    if (step <= behind && back >= 0 && back < count) found.push(back);
  }
  return found;
}
