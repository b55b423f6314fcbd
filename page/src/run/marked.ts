/** A picture of one frame with places drawn over it: findings, or regions that were made black. */

import { h } from "../dom";
import type { Finding } from "../api/jobs";
import { picture } from "../pictures";

const SVG = "http://www.w3.org/2000/svg";

export interface Mark {
  label: string;
  box?: readonly number[] | undefined;
  polygon?: readonly (readonly number[])[] | undefined;
  mask?: readonly number[] | undefined;
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

/** The pixels of a mask as a path in pixels of the image, a rectangle for each run of a row. */
export function maskPath([x = 0, y = 0, width = 0]: readonly number[], runs: readonly number[]): string {
  const parts: string[] = [];
  let at = 0;
  runs.forEach((run, place) => {
    const end = at + run;
    while (place % 2 === 1 && at < end) {
      const row = Math.floor(at / width);
      const next = Math.min(end, (row + 1) * width);
      parts.push(`M${x + at - row * width} ${y + row}h${next - at}v1h${at - next}z`);
      at = next;
    }
    at = end;
  });
  return parts.join("");
}

/** Outlines of boxes and polygons, and masks filled in their place. */
export function drawnMarks(marks: readonly Mark[], at: (x: number, y: number) => readonly number[]): SVGElement[] {
  return marks.map((mark) => {
    const colour = `colour-${colourOf(mark.label)}`;
    if (!mark.mask || !mark.box) {
      return shape("polygon", { points: outline(mark, at).map((point) => point.join(",")).join(" "), class: `found ${colour}` });
    }
    // However the image is turned and enlarged, pixels go to the screen by one affine transform.
    const [[ox = 0, oy = 0], [ax = 0, ay = 0], [bx = 0, by = 0]] = [at(0, 0), at(1, 0), at(0, 1)];
    const transform = `matrix(${[ax - ox, ay - oy, bx - ox, by - oy, ox, oy].join(" ")})`;
    return shape("path", { d: maskPath(mark.box, mark.mask), transform, class: `found mask ${colour}` });
  });
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
