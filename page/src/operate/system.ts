/** What an operator looks at first: whether all answers, what is kept, room, and events as they happen. */

import "../style/work.css";
import { getJson, isAbort } from "../api/client";
import { listen, rest } from "../api/jobs";
import { h, replace } from "../dom";
import { bytes } from "../format";
import { addressOf, type Place } from "../router";
import { failure } from "../shell/messages";
import type { View } from "../shell/shell";
import { text } from "../text";
import { cell, lacksScope, moment, table } from "./parts";

const words = text.operate;
const MOST_EVENTS = 200;
const BEFORE = 20; // events of the past that are shown too

interface System {
  version: string;
  stores: { name: string; identified: boolean; instances: number }[];
  last_event: number;
  jobs: Record<string, number>;
  disk: { total: number; free: number } | null;
}

interface Told {
  sequence: number;
  type: string;
  store: string;
  image: string;
  at: string;
}

export async function systemView(_place: Place, signal: AbortSignal): Promise<View> {
  const health = h("p", { role: "status" });
  const facts = h("div", { class: "facts" });
  const feed = h("div", { class: "body" });
  const element = h(
    "div",
    { class: "page work" },
    h("h1", null, words.system),
    h("section", { class: "panel-box" }, h("h2", null, words.health), health, facts),
    h("section", { class: "panel-box" }, h("h2", null, words.events), h("p", { class: "quiet" }, words.eventsTold), feed),
  );
  let after: number | null = null;
  await Promise.all([
    getJson("ready", signal).then(
      () => replace(health, h("span", { class: "chip stored" }, text.operate.ready)),
      () => replace(health, h("span", { class: "chip failed" }, words.notReady)),
    ),
    getJson<System>("system", signal).then(
      (told) => {
        after = Math.max(0, told.last_event - BEFORE);
        drawFacts(facts, told);
      },
      (error: unknown) => {
        if (isAbort(error)) throw error;
        replace(facts, lacksScope(error) ? h("p", { class: "notice" }, words.noAdmin) : failure(error, null));
      },
    ),
  ]);
  const begin = after ?? Math.max(0, (await lastEvent(signal).catch(() => 0)) - BEFORE);
  void watch(feed, begin, signal);
  return { title: words.system, element };
}

function drawFacts(facts: HTMLElement, told: System): void {
  const card = (label: string, ...children: (Node | string)[]): HTMLElement => h("div", { class: "fact" }, h("h3", null, label), ...children);
  const stores = told.stores.map((store) =>
    h(
      "p",
      null,
      h("a", { href: addressOf("studies", { store: store.name }) }, store.name),
      " ",
      store.identified ? h("span", { class: "chip identified" }, text.find.identified) : null,
      h("small", null, words.instances(store.instances)),
    ),
  );
  const under = Object.entries(told.jobs).map(([state, count]) => h("p", null, `${words.states[state] ?? state}: ${text.number(count)}`));
  replace(
    facts,
    card(words.version, h("p", null, told.version)),
    card(words.stores, ...stores),
    card(words.underWay, ...under, h("p", null, h("a", { href: addressOf("jobs") }, words.jobs))),
    card(
      words.disk,
      ...(told.disk
        ? [h("p", null, words.diskFree(bytes(told.disk.free), bytes(told.disk.total))), h("progress", { max: told.disk.total, value: told.disk.total - told.disk.free, aria: { label: words.disk } })]
        : [h("p", null, words.noDisk)]),
    ),
  );
}

/** The sequence of the last event, found by halves where the system's own page may not be asked. */
async function lastEvent(signal: AbortSignal): Promise<number> {
  const isBefore = async (sequence: number): Promise<boolean> =>
    (await getJson<{ last: number }>(`events?after=${sequence}&limit=1`, signal)).last > sequence;
  let step = 1;
  while (await isBefore(step)) step *= 2;
  let [low, high] = [0, step];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (await isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function watch(feed: HTMLElement, from: number, signal: AbortSignal): Promise<void> {
  let events: Told[] = [];
  let after = from;
  let scheduled = 0;
  const draw = (): void => {
    scheduled = 0;
    if (!events.length) return replace(feed, h("p", { class: "quiet" }, words.eventsNone));
    const rows = events.map((each) =>
      h("tr", null, cell(moment(each.at)), cell(words.eventTypes[each.type] ?? each.type), cell(each.store), cell(h("a", { href: addressOf("view", { image: each.image }) }, text.run.openSource))),
    );
    replace(feed, table([words.when, words.event, words.store, words.image], rows, words.events));
  };
  draw();
  while (!signal.aborted) {
    try {
      for await (const told of listen(`events/stream?after=${after}`, signal)) {
        const event = JSON.parse(told.data) as Told;
        after = event.sequence;
        events = [event, ...events].slice(0, MOST_EVENTS);
        scheduled ||= requestAnimationFrame(draw);
      }
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      if (lacksScope(error)) return replace(feed, failure(error, null));
    }
    await rest(2000, signal).catch(() => undefined);
  }
}
