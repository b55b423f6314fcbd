/** A picture of one frame with places drawn over it: findings, or regions that were made black. */

import { h } from "../dom";
import type { Finding } from "../api/jobs";
import { picture } from "../pictures";

const SVG = "http://www.w3.org/2000/svg";

export interface Mark {
  label: string;
  box?: readonly number[] | undefined;
  polygon?: readonly (readonly number[])[] | undefined;
}

export const marksOf = (findings: readonly Finding[]): Mark[] => findings.filter((each) => each.box || each.polygon);

export function shape(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

/** The outline of a mark through `at`, which says where a point of the image is drawn. */
export function outline(mark: Mark, at: (x: number, y: number) => readonly number[]): [number, number][] {
  const [x = 0, y = 0, width = 0, height = 0] = mark.box ?? [];
  const corners = mark.polygon ?? [[x, y], [x + width, y], [x + width, y + height], [x, y + height]];
  return corners.map(([px = 0, py = 0]) => {
    const [cx = 0, cy = 0] = at(px, py);
    return [cx, cy];
  });
}

/** Colours by what is found: the same label has the same one everywhere. */
export function colourOf(label: string): number {
  let sum = 0;
  for (const letter of label) sum = (sum * 31 + letter.charCodeAt(0)) % 997;
  return sum % 6;
}

export function drawnMarks(marks: readonly Mark[], at: (x: number, y: number) => readonly number[]): SVGElement[] {
  return marks.map((mark) =>
    shape("polygon", { points: outline(mark, at).map((point) => point.join(",")).join(" "), class: `found colour-${colourOf(mark.label)}` }),
  );
}

/** The picture of a frame, `columns` by `rows` pixels, with the marks over it. */
export function markedPicture(
  image: string,
  frame: number,
  [columns, rows]: [number, number],
  marks: readonly Mark[],
  label: string,
  signal: AbortSignal,
): HTMLElement {
  const shown = picture(`dicom-image/${encodeURIComponent(image)}/png?frame=${frame}`, signal);
  const svg = shape("svg", { viewBox: `0 0 ${columns} ${rows}`, preserveAspectRatio: "none" });
  svg.append(...drawnMarks(marks, (x, y) => [x, y]));
  const element = h("div", { class: "marked", role: "img", aria: { label } }, shown, svg);
  element.style.aspectRatio = `${columns} / ${rows}`;
  return element;
}
