/** The list of studies: searched as one types, paged without an end that goes unsaid. */

import { stores, studyThumbnail, type Sought, type Store, type Study } from "../api/studies";
import { isAbort, Problem } from "../api/client";
import { button, h, newId, replace } from "../dom";
import { date, time } from "../format";
import { picture } from "../pictures";
import { addressOf, go, type Place } from "../router";
import type { View } from "../shell/shell";
import { announce, failure } from "../shell/messages";
import { keep, kept } from "../store";
import { text } from "../text";
import { VirtualList } from "../virtual_list";
import { StudySearch } from "./search";
import { tray } from "./tray";

const MODALITIES = ["CR", "CT", "DX", "ES", "MG", "MR", "NM", "OP", "OT", "PT", "RF", "RTDOSE", "SC", "SM", "SR", "SEG", "US", "XA"];
const ORDERS = { newest: "-StudyDate", oldest: "StudyDate", name: "PatientName", patient: "PatientID" } as const;
const TYPING = 200; // milliseconds of rest before a search
const words = text.find;

export async function studiesView(place: Place, signal: AbortSignal): Promise<View> {
  const known = await stores();
  const element = h("div", { class: "page find" });
  if (!known.length) {
    element.append(h("h1", null, words.title), failure(new Problem(403, "forbidden", text.problems.noReading), null));
    return { title: words.title, element };
  }
  const form = filters(known, place.parameters.get("store"), signal, (sought) => list.search(sought));
  const list = new StudyList(signal, form.hasWords);
  element.append(h("h1", null, words.title), form.element, list.status, list.element, tray(signal, () => undefined));
  list.search(form.sought());
  return { title: words.title, element };
}

interface Filters {
  element: HTMLElement;
  sought: () => Sought;
  hasWords: () => boolean;
}

function filters(known: Store[], asked: string | null, signal: AbortSignal, changed: (sought: Sought) => void): Filters {
  const names = known.map((store) => store.name);
  const remembered = asked ?? kept("sessionStorage", "store");
  const ids = Object.fromEntries(["words", "store", "modality", "from", "to", "order"].map((name) => [name, newId(name)]));
  const search = h("input", {
    id: ids["words"],
    type: "search",
    placeholder: words.placeholder,
    autocomplete: "off",
    spellcheck: false,
    maxLength: 64,
    title: words.searchTold,
  });
  const option = (value: string, shown: string, selected = false): HTMLElement => h("option", { value, selected }, shown);
  const store = h(
    "select",
    { id: ids["store"] },
    ...known.map((each) =>
      option(each.name, each.identified ? `${each.name} (${words.identified})` : each.name, each.name === remembered),
    ),
  );
  const modality = h("select", { id: ids["modality"] }, option("", words.anyModality), ...MODALITIES.map((m) => option(m, m)));
  const from = h("input", { id: ids["from"], type: "date", max: "9999-12-31" });
  const to = h("input", { id: ids["to"], type: "date", max: "9999-12-31" });
  const order = h(
    "select",
    { id: ids["order"] },
    ...Object.entries(ORDERS).map(([name, value]) => option(value, words.orders[name as keyof typeof ORDERS])),
  );
  const sought = (): Sought => ({
    store: names.includes(store.value) ? store.value : (names[0] ?? ""),
    words: search.value,
    from: from.value,
    to: to.value,
    modality: modality.value,
    order: order.value,
  });
  let waiting = 0;
  const soon = (): void => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(() => changed(sought()), TYPING);
  };
  signal.addEventListener("abort", () => window.clearTimeout(waiting));
  const now = (): void => {
    window.clearTimeout(waiting);
    keep("sessionStorage", "store", store.value);
    changed(sought());
  };
  search.addEventListener("input", soon);
  for (const field of [store, modality, from, to, order]) field.addEventListener("change", now);
  const field = (id: string | undefined, label: string, input: HTMLElement, kind = ""): HTMLElement =>
    h("div", { class: `field ${kind}` }, h("label", { for: id }, label), input);
  const element = h(
    "form",
    { class: "filters", role: "search", on: { submit: (event: Event) => (event.preventDefault(), now()) } },
    field(ids["words"], words.search, search, "wide"),
    field(ids["store"], words.store, store),
    field(ids["modality"], words.modality, modality),
    field(ids["from"], words.from, from),
    field(ids["to"], words.to, to),
    field(ids["order"], words.order, order),
    button(words.clear, () => {
      search.value = modality.value = from.value = to.value = "";
      now();
      search.focus();
    }),
  );
  return { element, sought, hasWords: () => Boolean(search.value || modality.value || from.value || to.value) };
}

class StudyList {
  readonly status = h("p", { class: "status", role: "status" });
  readonly element = h("div", { class: "results" });
  private readonly list: VirtualList<Study>;
  private under: AbortController | null = null;
  private search_: StudySearch | null = null;

  constructor(
    private readonly signal: AbortSignal,
    private readonly narrowed: () => boolean,
  ) {
    const narrow = window.matchMedia("(max-width: 760px)");
    this.list = new VirtualList<Study>(
      {
        height: () => (narrow.matches ? 92 : 64),
        row: studyRow,
        more: () => void this.more(),
        label: words.list,
        roles: { list: "table", body: "rowgroup" },
        head: heads(),
      },
      signal,
    );
  }

  search(sought: Sought): void {
    this.under?.abort();
    const under = new AbortController();
    this.under = under;
    this.signal.addEventListener("abort", () => under.abort());
    this.search_ = new StudySearch(sought, under.signal);
    this.element.classList.add("stale");
    void this.more(true);
  }

  private async more(anew = false): Promise<void> {
    const search = this.search_;
    if (!search) return;
    try {
      if (!(await search.next()) || search !== this.search_) return;
    } catch (error) {
      if (!isAbort(error) && search === this.search_) this.failed(error);
      return;
    }
    this.element.classList.remove("stale");
    if (!search.items.length) {
      this.status.textContent = "";
      replace(this.element, this.nothing());
      announce(words.none);
      return;
    }
    if (!this.list.element.isConnected) replace(this.element, this.list.element);
    this.list.set(search.items, !anew);
    this.status.textContent = words.shown(search.items.length, search.total, search.more);
  }

  private failed(error: unknown): void {
    this.element.classList.remove("stale");
    this.status.textContent = "";
    replace(this.element, failure(error, () => void this.more(true)));
  }

  private nothing(): HTMLElement {
    if (this.narrowed()) return h("div", { class: "notice" }, words.none);
    return h("div", { class: "notice" }, h("p", null, words.empty), h("a", { class: "button main", href: addressOf("upload") }, words.toUpload));
  }
}

function heads(): HTMLElement {
  const { columns } = words;
  const cell = (label: string, unseen = false): HTMLElement =>
    h("span", { role: "columnheader" }, unseen ? h("span", { class: "unseen" }, label) : label);
  return h(
    "div",
    { class: "row heads", role: "row" },
    cell(columns.picture, true),
    cell(columns.patient),
    cell(columns.date),
    cell(columns.study),
    cell(columns.modality),
    cell(columns.counts),
  );
}

function studyRow(study: Study, _index: number, signal: AbortSignal): HTMLElement {
  const address = addressOf("study", { store: study.store, study: study.uid });
  const cell = (kind: string, ...children: (Node | string | null)[]): HTMLElement =>
    h("span", { role: "cell", class: `cell ${kind}` }, ...children);
  return h(
    "div",
    {
      class: "row",
      role: "row",
      on: { click: (event: MouseEvent) => (event.target as Element).closest("a") ?? go(address) },
    },
    cell("thumb", picture(studyThumbnail(study, 96), signal)),
    cell("who", h("a", { href: address }, study.name || words.noName), h("small", null, study.patientId || text.unknown)),
    cell("when", date(study.date) || text.unknown, h("small", null, time(study.time))),
    cell("what", study.description || words.noDescription, h("small", null, study.accession)),
    cell("kinds", ...study.modalities.slice(0, 4).map((name) => h("span", { class: "chip" }, name))),
    cell("counts", words.counts(study.series, study.instances)),
  );
}
