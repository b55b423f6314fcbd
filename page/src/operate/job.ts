/** One job: how far it is, as it goes; what it kept out and why; what came of it. */

import "../style/work.css";
import { isAbort } from "../api/client";
import { faults, follow, isOver, job as jobOf, jobImages, results, steer, type Fault, type Job, type JobImage, type Result, type Where } from "../api/jobs";
import { evidenceSection } from "../deidentify/evidence";
import { deliveryOf } from "../deidentify/make";
import { button, h, icon, replace } from "../dom";
import { viewAddress } from "../find/tray";
import { addressOf, go, type Place } from "../router";
import { findingsSection, validationSection, viewOf } from "../run/findings";
import { announce, dialog, failure } from "../shell/messages";
import type { View } from "../shell/shell";
import { text } from "../text";
import { cell, countsLine, moment, nameOf, progressBar, reason, stateChip, table } from "./parts";

const words = text.operate;
const PAGE = 20;

export async function jobView(place: Place, signal: AbortSignal): Promise<View> {
  const id = place.parameters.get("id") ?? "";
  const first = await jobOf(id, signal);
  const top = h("section", { class: "panel-box" });
  const kept = h("section");
  const outcome = h("section", { class: "outcome" });
  const element = h(
    "div",
    { class: "page work" },
    h("a", { class: "back", href: addressOf("jobs") }, icon("M15 5l-7 7 7 7"), words.back),
    top,
    kept,
    outcome,
  );
  let over = false;
  const show = (now: Job): void => {
    if (signal.aborted) return;
    drawTop(top, now, show, signal);
    if (isOver(now) && !over) {
      over = true;
      announce(words.states[now.state] ?? now.state);
      void drawFaults(kept, now, signal);
      void drawOutcome(outcome, now, signal);
    }
  };
  show(first);
  const watch = (): void => {
    follow(id, show, signal).catch((error: unknown) => {
      if (!isAbort(error) && !signal.aborted) top.append(failure(error, watch));
    });
  };
  if (!isOver(first)) watch();
  return { title: `${words.job}: ${nameOf(first)}`, element };
}

function drawTop(top: HTMLElement, job: Job, show: (job: Job) => void, signal: AbortSignal): void {
  const focused = (document.activeElement as HTMLElement | null)?.dataset["name"];
  const told = h("div", { role: "alert" });
  const act = (name: "pause" | "resume" | "cancel" | "retry") => (): void => {
    steer(job.id, name, signal).then(
      (now) => (name === "retry" ? go(addressOf("job", { id: now.id })) : show(now)),
      (error: unknown) => isAbort(error) || replace(told, failure(error, null)),
    );
  };
  const sure = (): void => {
    dialog(words.cancel, (close) => [
      h("p", null, words.cancelTold),
      h("div", { class: "acts" }, button(words.cancel, () => (close(), act("cancel")()), { class: "button main" }), button(text.close, close)),
    ]);
  };
  const open = !isOver(job);
  replace(
    top,
    h("header", { class: "job-head" }, h("h1", null, nameOf(job)), stateChip(job.state), countsLine(job)),
    h("p", { class: "quiet" }, [moment(job.created), `${words.store} ${job.store}`, job.attempt > 1 ? words.attempt(job.attempt) : "", job.id].filter(Boolean).join(" · ")),
    job.retry_of ? h("p", null, words.retryOf, " ", h("a", { href: addressOf("job", { id: job.retry_of }) }, job.retry_of)) : null,
    job.code ? h("p", { class: "notice bad" }, reason(job.code)) : null,
    progressBar(job),
    table(
      [words.step, words.done, words.rejected, words.unavailable, words.findings],
      job.steps.map((step) => h("tr", null, h("th", { scope: "row" }, step.name), cell(text.number(step.done)), cell(text.number(step.rejected)), cell(text.number(step.unavailable)), cell(text.number(step.findings)))),
      words.steps,
    ),
    h(
      "div",
      { class: "acts" },
      open && job.state !== "paused" ? button(words.pause, act("pause"), { name: "pause" }) : null,
      job.state === "paused" ? button(words.resume, act("resume"), { class: "button main", name: "resume" }) : null,
      open ? button(words.cancel, sure, { name: "cancel" }) : null,
      !open && job.rejected + job.unavailable > 0 ? button(words.retry, act("retry"), { name: "retry" }) : null,
    ),
    told,
  );
  if (focused) top.querySelector<HTMLElement>(`[data-name="${focused}"]`)?.focus();
}

export function faultRow(fault: Fault, job: string | null): HTMLElement {
  return h(
    "tr",
    null,
    cell(h("a", { href: addressOf("view", { image: fault.image }) }, text.run.openSource)),
    job ? cell(h("a", { href: addressOf("job", { id: job }) }, fault.step)) : cell(fault.step),
    cell(reason(fault.code)),
    cell(fault.retriable ? words.again : words.own),
  );
}

async function drawFaults(kept: HTMLElement, job: Job, signal: AbortSignal): Promise<void> {
  if (job.rejected + job.unavailable === 0) return;
  const rows: Fault[] = [];
  const load = async (after: number): Promise<void> => {
    try {
      const found = await faults(job.id, after, 100, signal);
      rows.push(...found.faults);
      const next = found.next;
      replace(
        kept,
        h("h2", null, words.faults),
        table([words.image, words.step, words.reason, ""], rows.map((each) => faultRow(each, null)), words.faults),
        next === null ? null : button(words.moreFaults, () => void load(next)),
      );
    } catch (error) {
      if (!isAbort(error)) replace(kept, failure(error, () => void load(after)));
    }
  };
  await load(0);
}

async function drawOutcome(outcome: HTMLElement, job: Job, signal: AbortSignal): Promise<void> {
  const compared = h("div", { class: "acts" });
  const list = h("div", { class: "results-list" });
  const rest = h("div", { class: "rest" });
  const pairs = new Map<string, string>();
  replace(outcome, compared, list, rest);
  const load = async (after: number): Promise<void> => {
    try {
      const page = await jobImages(job.id, after, PAGE, signal);
      const ids = page.images.flatMap((each) => [each.image.id, ...each.made.map((made) => made.id)]);
      const told: Result[] = [];
      for (let start = 0; start < ids.length; start += 50) told.push(...(await results(job.id, ids.slice(start, start + 50), signal)));
      if (signal.aborted) return;
      for (const each of page.images) {
        comparable(each, pairs, compared);
        const sections = sectionsOf(each, told, job, signal);
        if (sections.length) list.append(...sections);
      }
      if (!list.childElementCount && page.next === null) list.append(h("p", { class: "quiet" }, text.run.noResults));
      const next = page.next;
      replace(rest, next === null ? null : button(text.run.more, () => void load(next)));
    } catch (error) {
      if (!isAbort(error)) replace(rest, failure(error, () => void load(after)));
    }
  };
  await load(0);
  if (job.state === "done" && !signal.aborted) compared.after(deliveryOf({ job: job.id }, signal));
}

/** A way to look at what was made beside what it was made of, once for each pair of series. */
function comparable(each: JobImage, pairs: Map<string, string>, compared: HTMLElement): void {
  for (const made of each.made) {
    const [one, other] = [seriesOf(each.image), seriesOf(made)];
    if (!one || !other || pairs.has(`${one.series} ${other.series}`)) continue;
    pairs.set(`${one.series} ${other.series}`, "");
    const label = pairs.size === 1 ? text.deidentify.compare : text.deidentify.compareSeries(pairs.size);
    compared.append(h("a", { class: pairs.size === 1 ? "button main" : "button", href: viewAddress([one, other]) }, label));
  }
}

function seriesOf(where: Where): { store: string; study: string; series: string } | null {
  return where.store && where.study_uid && where.series_uid ? { store: where.store, study: where.study_uid, series: where.series_uid } : null;
}

function sectionsOf(each: JobImage, told: Result[], job: Job, signal: AbortSignal): HTMLElement[] {
  const places = [each.image, ...each.made];
  const found: HTMLElement[] = [];
  for (const result of told) {
    const where = places.find((place) => place.id === result.image);
    if (!where) continue;
    if (result.kind === "findings") found.push(findingsSection(result, where, job.id, signal));
    else if (result.kind === "evidence") found.push(evidenceSection(result, where, signal));
    else if (result.kind === "validation") found.push(validationSection(result));
  }
  if (!found.length && each.made.length) {
    found.push(h("p", { class: "acts" }, ...each.made.map((made, index) => h("a", { class: "button", href: viewOf(made, null) }, text.run.openMade(index + 1)))));
  }
  return found;
}
