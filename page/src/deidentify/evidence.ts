/** The evidence of one de-identified image in plain words, with a picture of what was made black. */

import type { Result, Where } from "../api/jobs";
import { h, replace } from "../dom";
import { bytes, decimal } from "../format";
import { addressOf } from "../router";
import { markedPicture, type Mark } from "../run/marked";
import { sizeOf } from "../run/findings";
import { text } from "../text";

const words = text.deidentify;

export interface Cut {
  x: number;
  y: number;
  width: number;
  height: number;
  why: string;
  frames: string;
}

export interface Pixels {
  frames: number;
  frames_read: number;
  cuts: Cut[];
  redacted_percent: number;
  verified: boolean | null;
}

interface Evidence {
  software: string;
  profile: string;
  edition: string;
  source: { sha256: string; bytes: number };
  output: { sha256: string; bytes: number };
  actions: { rule: string; action: string; attributes: Record<string, number> }[];
  scan: { identifiers: number; bytes: number; echoes: Record<string, number>; left: number };
  pixels: Pixels | null;
  codestreams_cleaned: number;
  defaced_by: string | null;
  warnings: string[];
}

/** The first frame of a range as evidence writes it: "3-7,9" begins at 3. */
export const firstFrame = (range: string): number => Number(/\d+/.exec(range)?.[0] ?? 1);

/** Whether a frame is in such a range. */
export function inRange(frame: number, range: string): boolean {
  return range.split(",").some((part) => {
    const [from = NaN, to = from] = part.split("-").map(Number);
    return frame >= from && frame <= to;
  });
}

export function pixelLines(pixels: Pixels | null): string[] {
  if (!pixels) return [words.notRead];
  const lines = [words.read(pixels.frames_read, pixels.frames)];
  lines.push(pixels.cuts.length ? words.cuts(pixels.cuts.length, decimal(pixels.redacted_percent, 2)) : words.noCuts);
  if (pixels.verified) lines.push(words.verified);
  return lines;
}

/** The picture of an image with its cuts outlined; nothing where there are none. */
export async function cutPicture(image: string, pixels: Pixels | null, told: (count: number) => string, signal: AbortSignal): Promise<HTMLElement | null> {
  if (!pixels?.cuts.length) return null;
  const frame = firstFrame(pixels.cuts[0]!.frames);
  const size = await sizeOf(image, signal);
  if (!size) return null;
  const cuts = pixels.cuts.filter((each) => inRange(frame, each.frames));
  const marks: Mark[] = cuts.map((each) => ({ label: each.why, box: [each.x, each.y, each.width, each.height] }));
  return h("figure", null, markedPicture(image, frame, size, marks, told(cuts.length), signal), h("figcaption", null, told(cuts.length)));
}

export function evidenceSection(result: Result, where: Where, signal: AbortSignal): HTMLElement {
  const told = result.said as unknown as Evidence;
  const changed = told.actions.reduce((sum, each) => sum + Object.keys(each.attributes).length, 0);
  const echoes = Object.keys(told.scan.echoes);
  const lines = [
    words.rules(changed),
    told.scan.left ? words.left(told.scan.left) : words.scanned(told.scan.identifiers, bytes(told.output.bytes)),
    echoes.length ? words.echoes(echoes.join(", ")) : words.noEchoes,
    ...pixelLines(told.pixels),
    told.codestreams_cleaned ? words.codestreams(told.codestreams_cleaned) : "",
    told.defaced_by ? words.defaced(told.defaced_by) : "",
    ...told.warnings,
  ].filter(Boolean);
  const drawn = h("div", { class: "frame" });
  void cutPicture(where.id, told.pixels, words.pictureBlack, signal).then((shown) => shown && !signal.aborted && replace(drawn, shown));
  const rules = told.actions.map((each) =>
    h("li", null, h("strong", null, `${each.rule}: ${each.action}`), " ", h("span", { class: "quiet" }, Object.entries(each.attributes).map(([name, count]) => (count > 1 ? `${name} (${count})` : name)).join(", "))),
  );
  return h(
    "section",
    { class: "result evidence" },
    h("h3", null, words.evidence),
    h("p", { class: "quiet" }, words.profileUsed(told.profile, told.edition, told.software)),
    h("div", { class: "beside" }, drawn, h("ul", { class: "said" }, ...lines.map((line) => h("li", null, line)))),
    h("p", { class: "acts" }, h("a", { class: "button", href: addressOf("view", { image: where.id }) }, words.openImage)),
    h(
      "details",
      null,
      h("summary", null, words.details),
      h("ul", null, ...rules),
      h("p", null, words.checksums),
      h("dl", { class: "sums" }, h("dt", null, words.source), h("dd", null, h("code", null, told.source.sha256)), h("dt", null, words.output), h("dd", null, h("code", null, told.output.sha256))),
    ),
  );
}
