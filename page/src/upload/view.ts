/** The upload view: files in, their progress, and what became of each. */

import { stores, type Store } from "../api/studies";
import { button, h, icon, newId, replace, setAria } from "../dom";
import { bytes, duration } from "../format";
import { addressOf, type Place } from "../router";
import { announce, failure } from "../shell/messages";
import type { View } from "../shell/shell";
import { text } from "../text";
import { VirtualList } from "../virtual_list";
import { fromDrop, fromInput, type Picked } from "./chosen";
import { fresh, isOver, Uploads, type Entry } from "./engine";
import { prepareHashing } from "./hashing";
import { giveUp } from "./session";

const PER_FILE = 50_000; // bytes that could be sent in the time a file takes beside them
const words = text.uploads;

let uploads: Uploads | null = null;
let listener: (entry: Entry | null) => void = () => undefined;

/** One for as long as the page is open: it goes on while other views are looked at. */
function engine(): Uploads {
  uploads ??= new Uploads((entry) => listener(entry));
  return uploads;
}

window.addEventListener("beforeunload", (event) => {
  if (uploads?.running) event.preventDefault();
});

export async function uploadView(_place: Place, signal: AbortSignal): Promise<View> {
  const known: Store[] = await stores();
  prepareHashing();
  const made = new UploadPage(engine(), known, signal);
  return { title: words.title, element: made.element };
}

class UploadPage {
  readonly element: HTMLElement;
  private readonly notices = h("div");
  private readonly bar = h("progress", { max: 1, value: 0, aria: { label: words.overall } });
  private readonly figures = h("p", { class: "figures" });
  private readonly summary = h("p", { class: "summary" });
  private readonly acts = h("div", { class: "acts" });
  private readonly overall = h("section", { class: "overall", aria: { label: words.overall } });
  private readonly tabs = h("div", { class: "tabs", role: "group", aria: { label: words.listed } });
  private readonly list: VirtualList<Entry>;
  private filter: "all" | "open" | "bad" = "all";
  private shown: Entry[] = [];
  private scheduled = false;
  private whole = true;
  private readonly touched = new Set<Entry>();
  private rate = 0; // bytes a second
  private pace = 0; // of the work, a second
  private before = { at: performance.now(), sent: 0, done: 0 };
  private saidDone = false;

  constructor(
    private readonly engine: Uploads,
    known: Store[],
    signal: AbortSignal,
  ) {
    this.list = new VirtualList<Entry>(
      { height: () => 56, row: (entry) => row(entry), label: words.listed, roles: { list: "list", body: "presentation" } },
      signal,
    );
    this.list.element.classList.add("files");
    this.overall.append(this.bar, this.figures, this.summary, this.acts);
    this.element = h(
      "div",
      { class: "page upload" },
      h("h1", null, words.title),
      this.notices,
      this.dropZone(),
      this.options(known),
      this.overall,
      this.tabs,
      this.list.element,
    );
    listener = (entry) => this.schedule(entry);
    signal.addEventListener("abort", () => {
      listener = () => undefined;
    });
    this.acting();
    this.draw();
    void this.interrupted();
  }

  // ---- what goes in

  private dropZone(): HTMLElement {
    const files = h("input", { type: "file", multiple: true, class: "unseen", tabindex: -1, aria: { hidden: "true" }, data: { name: "files" } });
    const folder = h("input", { type: "file", multiple: true, class: "unseen", tabindex: -1, aria: { hidden: "true" }, data: { name: "folder" } });
    folder.webkitdirectory = true;
    for (const input of [files, folder]) {
      input.addEventListener("change", () => {
        this.add(fromInput(input.files));
        input.value = "";
      });
    }
    const zone = h(
      "div",
      { class: "drop" },
      icon("M12 16V4M7 9l5-5 5 5", "M4 16v4h16v-4"),
      h("p", { class: "large" }, words.drop),
      h("p", null, words.or),
      h(
        "div",
        { class: "acts" },
        button(words.files, () => files.click(), { class: "button main" }),
        button(words.folder, () => folder.click()),
      ),
      h("p", { class: "quiet" }, words.kinds),
      files,
      folder,
    );
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      if (event.dataTransfer) void fromDrop(event.dataTransfer).then((found) => this.add(found));
    });
    return zone;
  }

  private options(known: Store[]): HTMLElement {
    const ids = { store: newId("store"), subject: newId("subject") };
    const writable = known.filter((store) => store.scopes.includes("images:write"));
    const store = h("select", { id: ids.store }, ...writable.map((each) => h("option", { value: each.name }, each.name)));
    const subject = h("input", { id: ids.subject, type: "text", maxLength: 200, value: this.engine.subject, autocomplete: "off", aria: { describedby: `${ids.subject}-told` } });
    store.addEventListener("change", () => (this.engine.store = store.value));
    subject.addEventListener("input", () => (this.engine.subject = subject.value.trim()));
    if (writable.length) {
      if (this.engine.store) store.value = this.engine.store;
      this.engine.store = store.value;
    }
    return h(
      "div",
      { class: "filters" },
      writable.length ? h("div", { class: "field" }, h("label", { for: ids.store }, words.store), store) : null,
      h(
        "div",
        { class: "field wide" },
        h("label", { for: ids.subject }, words.subject),
        subject,
        h("small", { id: `${ids.subject}-told`, class: "quiet" }, words.subjectTold),
      ),
    );
  }

  private add(picked: Picked[]): void {
    if (!picked.length) return;
    this.saidDone = false;
    this.engine.add(picked.map(({ name, file }) => fresh(name, file.size, () => Promise.resolve(file))));
    void this.engine.start();
  }

  private async interrupted(): Promise<void> {
    if (this.engine.running || this.engine.entries.length) return;
    const found = await this.engine.interrupted();
    if (!found.ids.length) return;
    if (!found.missing) {
      replace(this.notices, h("div", { class: "notice", role: "status" }, words.finishing));
      try {
        await this.engine.finish(found.ids);
        replace(this.notices, h("div", { class: "notice", role: "status" }, words.finished));
      } catch (error) {
        replace(this.notices, failure(error, () => void this.interrupted()));
      }
      return;
    }
    const abandon = button(words.giveUp, () => {
      replace(this.notices);
      this.engine.forgetOpen();
      void Promise.all(found.ids.map(giveUp));
    });
    replace(this.notices, h("div", { class: "notice", role: "status" }, h("p", null, words.interrupted(found.files, found.missing)), abandon));
  }

  // ---- what is shown

  private schedule(entry: Entry | null): void {
    if (entry) this.touched.add(entry);
    else this.whole = true;
    if (this.scheduled) return;
    this.scheduled = true;
    window.setTimeout(() => {
      this.scheduled = false;
      this.draw();
    }, 100);
  }

  private draw(): void {
    const { entries } = this.engine;
    const over = entries.filter(isOver).length;
    this.overall.hidden = this.tabs.hidden = this.list.element.hidden = entries.length === 0;
    const sent = entries.reduce((sum, entry) => sum + entry.sent, 0);
    const left = entries.reduce((sum, entry) => sum + (isOver(entry) ? 0 : entry.size - entry.sent), 0);
    const work = { done: sent + over * PER_FILE, left: left + (entries.length - over) * PER_FILE };
    this.bar.value = entries.length ? work.done / (work.done + work.left) : 0;
    replace(this.figures, ...this.figureTexts(over, sent, sent + left, work));
    const counts = new Map<string, number>();
    for (const { state } of entries) counts.set(state, (counts.get(state) ?? 0) + 1);
    counts.set("stored", (counts.get("stored") ?? 0) + (counts.get("replaced") ?? 0));
    const chips = (["stored", "duplicate", "rejected", "failed"] as const).filter((state) => counts.get(state));
    replace(
      this.summary,
      ...chips.map((state) => h("span", { class: `chip ${state}`, data: { state } }, words.summary[state](counts.get(state) ?? 0))),
    );
    this.acting();
    this.drawList();
    if (entries.length && over === entries.length && !this.saidDone) {
      this.saidDone = true;
      replace(this.notices);
      announce(`${words.finished} ${words.progress(over, entries.length)}`);
    }
  }

  private figureTexts(over: number, sent: number, total: number, work: { done: number; left: number }): (Node | string)[] {
    const { entries } = this.engine;
    const at = performance.now();
    const seconds = (at - this.before.at) / 1000;
    if (seconds >= 0.5) {
      const smooth = (rate: number, now: number): number => (rate ? 0.8 * rate + 0.2 * now : now);
      this.rate = smooth(this.rate, Math.max(0, sent - this.before.sent) / seconds);
      this.pace = smooth(this.pace, Math.max(0, work.done - this.before.done) / seconds);
      this.before = { at, sent, done: work.done };
    }
    const found = [words.progress(over, entries.length), words.bytes(bytes(sent), bytes(total))];
    if (this.engine.running && this.pace > 0) found.push(words.rate(bytes(this.rate), duration(work.left / this.pace)));
    return found.map((told) => h("span", null, told));
  }

  private acting(): void {
    const { entries, running } = this.engine;
    const open = entries.some((entry) => !isOver(entry));
    const done = entries.some((entry) => entry.state === "stored" || entry.state === "duplicate");
    const wanted: [string, () => void, string][] = [];
    if (running) wanted.push([words.pause, () => this.engine.pause(), "button"]);
    else if (open) wanted.push([words.resume, () => void this.engine.start(), "button main"]);
    if (!running && entries.some((entry) => entry.state === "failed")) wanted.push([words.retry, () => this.engine.retry(), "button"]);
    if (!running && entries.some(isOver)) wanted.push([words.clear, () => this.engine.clear(), "button"]);
    const now = wanted.map(([label]) => label).join() + done;
    if (this.acts.dataset["now"] === now) return; // a button that has the focus is not taken away
    this.acts.dataset["now"] = now;
    replace(
      this.acts,
      ...wanted.map(([label, act, kind]) => button(label, act, { class: kind })),
      done ? h("a", { class: "button", href: addressOf("studies", { store: this.engine.store }) }, words.view) : null,
    );
    if (this.tabs.childElementCount) return;
    for (const name of ["all", "open", "bad"] as const) {
      const tab = button(words.filters[name], () => {
        this.filter = name;
        this.whole = true;
        this.drawList();
      });
      tab.className = "button toggle";
      tab.dataset["filter"] = name;
      this.tabs.append(tab);
    }
  }

  private drawList(): void {
    for (const tab of this.tabs.children) setAria(tab, { pressed: (tab as HTMLElement).dataset["filter"] === this.filter });
    if (this.whole || this.filter !== "all") {
      this.whole = false;
      const fits = { all: () => true, open: (e: Entry) => !isOver(e), bad: (e: Entry) => e.state === "rejected" || e.state === "failed" };
      this.shown = this.engine.entries.filter(fits[this.filter]);
      this.list.set(this.shown, true);
      this.list.redraw();
    } else {
      const places = new Map(this.shown.map((entry, place) => [entry, place]));
      for (const entry of this.touched) this.list.refresh(places.get(entry) ?? -1);
    }
    this.touched.clear();
  }
}

function row(entry: Entry): HTMLElement {
  const share = entry.size ? Math.min(1, entry.sent / entry.size) : 0;
  const busy = entry.state === "sending";
  return h(
    "div",
    { class: `file ${entry.state}`, role: "listitem" },
    h("span", { class: "name", title: entry.name }, entry.name),
    h("span", { class: "size" }, bytes(entry.size)),
    busy
      ? h("progress", { max: 1, value: share, aria: { label: entry.name } })
      : h("span", { class: `chip ${entry.state}` }, words.states[entry.state] ?? entry.state),
    entry.told ? h("span", { class: "told", title: entry.told }, entry.told) : null,
  );
}
