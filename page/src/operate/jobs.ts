/** The jobs there are, newest first, and what recent ones kept out. */

import "../style/work.css";
import { isAbort, Problem } from "../api/client";
import { faults, isOver, jobs, rest, steer, type Fault, type Job } from "../api/jobs";
import { button, h, newId, replace } from "../dom";
import { addressOf, go, type Place } from "../router";
import { failure } from "../shell/messages";
import type { View } from "../shell/shell";
import { text } from "../text";
import { faultRow } from "./job";
import { cell, countsLine, lacksScope, moment, nameOf, progressBar, stateChip, table } from "./parts";

const words = text.operate;
const PAGE = 25;
const LOOK = 3000; // milliseconds between looks while something is under way
const RECENT = 100; // jobs that are looked through for what they kept out
const STATES = ["queued", "running", "paused", "done", "failed", "cancelled"];

export function jobsView(_place: Place, signal: AbortSignal): View {
  const id = newId("state");
  const state = h(
    "select",
    { id },
    h("option", { value: "" }, words.anyState),
    ...STATES.map((each) => h("option", { value: each }, words.states[each] ?? each)),
  );
  const status = h("p", { class: "status", role: "status" });
  const body = h("div", { class: "body" });
  const kept = h("button", { type: "button", class: "button", aria: { pressed: "false" } }, words.keptOutOnly);
  const element = h(
    "div",
    { class: "page work" },
    h("h1", null, words.jobs),
    h("p", { class: "lead" }, words.jobsTold),
    h("form", { class: "filters" }, h("div", { class: "field" }, h("label", { for: id }, words.state), state), kept),
    status,
    body,
  );
  let under = new AbortController();
  signal.addEventListener("abort", () => under.abort());
  const show = (): void => {
    under.abort();
    under = new AbortController();
    const only = kept.getAttribute("aria-pressed") === "true";
    state.disabled = only;
    void (only ? quarantine(body, status, under.signal) : new List(body, status, state.value, under.signal).run());
  };
  state.addEventListener("change", show);
  kept.addEventListener("click", () => {
    kept.setAttribute("aria-pressed", String(kept.getAttribute("aria-pressed") !== "true"));
    show();
  });
  show();
  return { title: words.jobs, element };
}

class List {
  private readonly more: Job[] = [];
  private head: Job[] = [];
  private next: string | null = null;

  constructor(
    private readonly body: HTMLElement,
    private readonly status: HTMLElement,
    private readonly state: string,
    private readonly signal: AbortSignal,
  ) {}

  /** Looks at the first page again for as long as something in it is under way. */
  async run(): Promise<void> {
    try {
      for (;;) {
        const found = await this.page(null);
        if (!this.more.length) this.next = found.next;
        this.head = found.jobs;
        this.draw();
        if (found.jobs.every(isOver)) return;
        await rest(LOOK, this.signal);
      }
    } catch (error) {
      this.failed(error);
    }
  }

  private page(after: string | null) {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (this.state) query.set("state", this.state);
    if (after !== null) query.set("after", after);
    return jobs(query, this.signal);
  }

  private async on(): Promise<void> {
    try {
      const found = await this.page(this.next);
      this.more.push(...found.jobs);
      this.next = found.next;
      this.draw();
    } catch (error) {
      this.failed(error);
    }
  }

  private failed(error: unknown): void {
    if (isAbort(error)) return;
    this.status.textContent = "";
    const shown = lacksScope(error) ? new Problem(403, "forbidden", words.noScope) : error;
    replace(this.body, failure(shown, () => void this.run()));
  }

  private draw(): void {
    if (this.signal.aborted) return;
    const seen = new Set<string>();
    const all = [...this.head, ...this.more].filter((each) => !seen.has(each.id) && seen.add(each.id));
    this.status.textContent = all.length ? words.listed(all.length, this.next !== null) : "";
    if (!all.length) return replace(this.body, h("div", { class: "notice" }, words.none));
    const focused = document.activeElement?.getAttribute("href");
    replace(
      this.body,
      table([words.pipeline, words.state, words.progress, "", words.created], all.map(row), words.jobs),
      this.next === null ? null : button(words.moreJobs, () => void this.on()),
    );
    if (focused) for (const link of this.body.querySelectorAll<HTMLElement>("a")) if (link.getAttribute("href") === focused) link.focus();
  }
}

function row(job: Job): HTMLElement {
  return h(
    "tr",
    null,
    cell(h("a", { href: addressOf("job", { id: job.id }) }, nameOf(job)), h("small", null, `${words.store} ${job.store}`)),
    cell(stateChip(job.state)),
    cell(progressBar(job)),
    cell(countsLine(job)),
    cell(moment(job.created)),
  );
}

/** What the newest jobs kept out, job by job, with a way to try it again. */
async function quarantine(body: HTMLElement, status: HTMLElement, signal: AbortSignal): Promise<void> {
  try {
    const { jobs: found } = await jobs(new URLSearchParams({ limit: String(RECENT) }), signal);
    const concerned = found.filter((each) => each.rejected + each.unavailable > 0);
    status.textContent = words.looked(found.length);
    const parts: HTMLElement[] = [];
    for (const each of concerned) {
      const told = await faults(each.id, 0, 100, signal);
      parts.push(keptOut(each, told.faults, told.next !== null, signal));
    }
    if (!signal.aborted) replace(body, h("p", { class: "lead" }, words.keptOutTold), ...(parts.length ? parts : [h("div", { class: "notice" }, words.noneKeptOut)]));
  } catch (error) {
    if (!isAbort(error)) replace(body, failure(lacksScope(error) ? new Problem(403, "forbidden", words.noScope) : error, null));
  }
}

function keptOut(job: Job, told: Fault[], more: boolean, signal: AbortSignal): HTMLElement {
  const fault = h("div", { role: "alert" });
  const again = (): void => {
    steer(job.id, "retry", signal).then(
      (now) => go(addressOf("job", { id: now.id })),
      (error: unknown) => isAbort(error) || replace(fault, failure(error, null)),
    );
  };
  return h(
    "section",
    { class: "panel-box" },
    h("header", { class: "job-head" }, h("h2", null, nameOf(job)), stateChip(job.state), h("small", null, moment(job.created))),
    table([words.image, words.step, words.reason, ""], told.map((each) => faultRow(each, job.id)), words.faults),
    more ? h("p", null, h("a", { href: addressOf("job", { id: job.id }) }, words.faultsTold(job.rejected + job.unavailable))) : null,
    isOver(job) ? h("div", { class: "acts" }, button(words.retry, again)) : null,
    fault,
  );
}
