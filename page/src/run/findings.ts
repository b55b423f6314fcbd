/** What a job said of images, as people read it: findings with their picture, validation reports, what was made. */

import type { Finding, Made, Result, Where } from "../api/jobs";
import { getJson } from "../api/client";
import { h, replace } from "../dom";
import { decimal } from "../format";
import { addressOf } from "../router";
import { text } from "../text";
import { markedPicture, marksOf } from "./marked";

const words = text.run;
const MOST_ROWS = 200;

/** Where an image is looked at, with what a job found drawn on it. */
export function viewOf(where: Where, job: string | null): string {
  if (where.store && where.study_uid && where.series_uid) {
    return addressOf("view", { series: `${where.store}/${where.study_uid}/${where.series_uid}`, at: where.id, job });
  }
  return addressOf("view", { image: where.id, job });
}

export function findingsOf(result: Result): Finding[] {
  const told = result.said["findings"];
  return Array.isArray(told) ? (told as Finding[]) : [];
}

export function madeOf(result: Result): Made[] {
  const told = result.said["made"];
  return Array.isArray(told) ? (told as Made[]) : [];
}

interface Shapes {
  stacks: { rows: number; columns: number; frames: { image: string; frame: number }[] }[];
}

/** Rows and columns of an image's frames; null where it has none to show. */
export async function sizeOf(image: string, signal: AbortSignal): Promise<[number, number] | null> {
  const told = await getJson<Shapes>(`viewing/images/${encodeURIComponent(image)}`, signal).catch(() => null);
  const [stack] = told?.stacks ?? [];
  return stack ? [stack.columns, stack.rows] : null;
}

export function findingsSection(result: Result, where: Where, job: string, signal: AbortSignal): HTMLElement {
  const findings = findingsOf(result);
  const { algorithm, version } = result.said as { algorithm?: string; version?: string };
  const element = h(
    "section",
    { class: "result" },
    h("h3", null, [algorithm ?? result.step, version ? words.version(version) : ""].filter(Boolean).join(", ")),
    h("p", { class: "acts" }, findings.length ? words.found(findings.length) : words.foundNone, h("a", { class: "button", href: viewOf(where, job) }, words.onImage)),
  );
  const made = madeOf(result);
  const open = made.flatMap((each, index) =>
    each.image_id ? [h("a", { class: "button", href: addressOf("view", { image: each.image_id }) }, `${words.openMade(index + 1)} (${words.mediaTypes[each.media_type] ?? each.media_type})`)] : [],
  );
  if (open.length) element.append(h("h4", null, words.made), h("p", { class: "acts" }, ...open));
  if (findings.length) {
    const holder = h("div", { class: "beside" });
    const pictureOf = h("div", { class: "frame" });
    holder.append(pictureOf, table(findings, (frame) => void draw(frame)));
    let size: [number, number] | null | undefined;
    const draw = async (frame: number): Promise<void> => {
      size ??= await sizeOf(where.id, signal);
      if (!size || signal.aborted) return;
      const marks = marksOf(findings.filter((each) => each.frame === frame));
      const label = `${words.frameShown(frame)}: ${words.marked(marks.length)}`;
      replace(pictureOf, markedPicture(where.id, frame, size, marks, label, signal), h("small", null, label));
    };
    void draw(findings[0]?.frame ?? 1);
    element.append(holder);
  }
  return element;
}

function table(findings: Finding[], show: (frame: number) => void): HTMLElement {
  const row = (each: Finding): HTMLElement => {
    const place = each.mask && each.box ? words.mask(Number(decimal(each.box[2], 0)), Number(decimal(each.box[3], 0)), ...(each.box.slice(0, 2) as [number, number])) : each.box ? words.box(...(each.box.map((value) => Number(decimal(value, 1))) as [number, number, number, number])) : each.polygon ? words.polygon(each.polygon.length) : words.whole;
    const values = Object.entries(each.values ?? {}).map(([name, value]) => `${name} ${decimal(value, 4)}`);
    return h(
      "tr",
      null,
      h("td", null, h("strong", null, each.label)),
      h("td", null, `${decimal(each.confidence * 100, 0)} %`),
      h("td", null, h("button", { type: "button", class: "button small", on: { click: () => show(each.frame) }, aria: { label: words.frameShown(each.frame) } }, each.frame)),
      h("td", null, place),
      h("td", null, values.join(", ")),
    );
  };
  const heads = [words.finding, words.confidence, words.frame, words.place, words.values];
  const more = findings.length > MOST_ROWS ? h("p", { class: "quiet" }, words.found(findings.length)) : null;
  return h(
    "div",
    { class: "scrolls", tabindex: 0, role: "region", aria: { label: words.findings } },
    h("table", { class: "table" }, h("thead", null, h("tr", null, ...heads.map((each) => h("th", { scope: "col" }, each)))), h("tbody", null, ...findings.slice(0, MOST_ROWS).map(row))),
    more,
  );
}

/** A validation report: each finding's rule, severity and place. */
export function validationSection(result: Result): HTMLElement {
  const told = result.said["findings"];
  const found = Array.isArray(told) ? (told as Record<string, unknown>[]) : [];
  const line = (each: Record<string, unknown>): HTMLElement =>
    h("li", null, Object.entries(each).filter(([, value]) => typeof value === "string" || typeof value === "number").map(([name, value]) => `${name}: ${value}`).join(" · "));
  return h("section", { class: "result" }, h("h3", null, words.valid), found.length ? h("ul", null, ...found.slice(0, MOST_ROWS).map(line)) : h("p", null, words.validNone));
}
