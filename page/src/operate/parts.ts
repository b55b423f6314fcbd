/** What the views of work share: how a job, its state and a reason are shown. */

import { Problem } from "../api/client";
import { isOver, type Job } from "../api/jobs";
import { h } from "../dom";
import { decimal, duration } from "../format";
import { text } from "../text";

const words = text.operate;

/** A moment by this machine's clock. */
export function moment(iso: string): string {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : at.toLocaleString(text.locale, { dateStyle: "medium", timeStyle: "medium" });
}

export const nameOf = (job: Job): string => (job.pipeline === "process" ? words.process : job.pipeline);

export function stateChip(state: Job["state"]): HTMLElement {
  return h("span", { class: `chip state ${state}` }, words.states[state] ?? state);
}

export function reasonOf(code: string): string {
  return words.reasons[code] ?? words.otherReason;
}

/** A reason in words, and the code that it has everywhere. */
export function reason(code: string): HTMLElement {
  return h("span", { class: "reason" }, reasonOf(code), " ", h("code", null, code));
}

export function progressBar(job: Job): HTMLElement {
  const done = Math.min(job.finished, job.images);
  const parts = [words.finished(job.finished, job.images)];
  if (!isOver(job) && job.images_per_second) parts.push(words.rate(decimal(job.images_per_second, 1)));
  if (!isOver(job) && job.seconds_left !== null) parts.push(words.left(duration(job.seconds_left)));
  return h(
    "div",
    { class: "advance" },
    h("progress", { max: Math.max(1, job.images), value: done, aria: { label: words.progress } }),
    h("small", null, parts.join(" · ")),
  );
}

export function countsLine(job: Job): HTMLElement {
  const counts: [number, string, string][] = [
    [job.findings, words.findings, ""],
    [job.rejected, words.rejected, "rejected"],
    [job.unavailable, words.unavailable, "failed"],
  ];
  return h("span", { class: "counts-line" }, ...counts.filter(([count]) => count > 0).map(([count, label, kind]) => h("span", { class: `chip ${kind}` }, `${label} ${text.number(count)}`)));
}

export const lacksScope = (error: unknown): boolean => error instanceof Problem && error.status === 403;

export function table(heads: string[], rows: (HTMLElement | null)[], label: string): HTMLElement {
  return h(
    "div",
    { class: "scrolls", tabindex: 0, role: "region", aria: { label } },
    h("table", { class: "table" }, h("thead", null, h("tr", null, ...heads.map((each) => h("th", { scope: "col" }, each)))), h("tbody", null, ...rows)),
  );
}

export const cell = (...children: (Node | string | number | null)[]): HTMLElement => h("td", null, ...children);
