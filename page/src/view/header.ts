/** The header browser: every attribute by keyword, sequences nested, searched as one types. */

import { getJson, isAbort } from "../api/client";
import { button, h, newId, replace } from "../dom";
import { closeIcon, failure } from "../shell/messages";
import { text } from "../text";
import { VirtualList } from "../virtual_list";

interface Element_ {
  tag: string;
  keyword: string;
  vr: string;
  value?: string;
  bytes?: number;
  items?: Element_[][];
}

interface Line {
  depth: number;
  tag: string;
  keyword: string;
  vr: string;
  value: string;
}

const words = text.header;

/** A nested header as lines, each below what holds it. */
export function lines(elements: Element_[], depth = 0): Line[] {
  return elements.flatMap((element): Line[] => {
    const { tag, keyword, vr } = element;
    const value = element.items ? words.items(element.items.length) : element.bytes !== undefined ? words.bytes(element.bytes) : (element.value ?? "");
    const inner = (element.items ?? []).flatMap((item, place): Line[] => [
      { depth: depth + 1, tag: "", keyword: words.item(place + 1), vr: "", value: "" },
      ...lines(item, depth + 2),
    ]);
    return [{ depth, tag, keyword, vr, value }, ...inner];
  });
}

/** Lines that hold the words, with those that hold them in turn. */
export function narrowed(all: Line[], sought: string): Line[] {
  const wanted = sought.trim().toLowerCase();
  if (!wanted) return all;
  const kept = new Set<number>();
  const above: number[] = [];
  all.forEach((line, place) => {
    above.length = line.depth;
    above[line.depth] = place;
    if (`${line.tag} ${line.tag.replace(/[(),]/g, "")} ${line.keyword} ${line.value}`.toLowerCase().includes(wanted)) {
      for (const each of above) if (each !== undefined) kept.add(each);
    }
  });
  return all.filter((_, place) => kept.has(place));
}

export class HeaderPanel {
  readonly element: HTMLElement;
  private all: Line[] = [];
  private image: string | null = null;
  private under = new AbortController();
  private readonly search = h("input", { type: "search", id: newId("header"), placeholder: words.search, spellcheck: false, autocomplete: "off" });
  private readonly status = h("p", { class: "status", role: "status" });
  private readonly body = h("div", { class: "body" });
  private readonly list: VirtualList<Line>;
  private leftOut = 0;

  constructor(close: () => void, signal: AbortSignal) {
    this.list = new VirtualList<Line>(
      { height: () => 44, row: lineRow, label: words.title, roles: { list: "table", body: "rowgroup" }, head: heads() },
      signal,
    );
    this.element = h(
      "aside",
      { class: "panel", hidden: true, aria: { label: words.title } },
      h("header", null, h("h2", null, words.title), button(text.close, close, { bare: true, icon: closeIcon() })),
      h("label", { class: "unseen", for: this.search.id }, words.search),
      this.search,
      this.status,
      this.body,
    );
    this.search.addEventListener("input", () => this.draw());
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      event.stopPropagation();
    });
    signal.addEventListener("abort", () => this.under.abort());
  }

  focus(): void {
    this.search.focus();
  }

  /** Show the header of an image; nothing happens where it is shown already. */
  async show(image: string | null, dicom: boolean): Promise<void> {
    if (image === this.image || this.element.hidden) return;
    this.image = image;
    this.under.abort();
    this.under = new AbortController();
    this.all = [];
    this.status.textContent = "";
    replace(this.body, ...(dicom || image === null ? [] : [words.notDicom]));
    if (image === null || !dicom) return;
    try {
      const found = await getJson<{ elements: Element_[]; leftOut: number }>(`viewing/images/${image}/header`, this.under.signal);
      this.all = lines(found.elements);
      this.leftOut = found.leftOut;
      this.draw();
    } catch (error) {
      if (isAbort(error)) return;
      this.image = null;
      replace(this.body, failure(error, () => void this.show(image, dicom)));
    }
  }

  forget(): void {
    this.image = null;
  }

  private draw(): void {
    if (!this.all.length) return;
    const shown = narrowed(this.all, this.search.value);
    const rest = this.leftOut ? ` ${words.leftOut(this.leftOut)}` : "";
    this.status.textContent = (shown.length ? words.shown(shown.filter((line) => line.tag).length) : words.none) + rest;
    replace(this.body, this.list.element);
    this.list.set(shown);
  }
}

function heads(): HTMLElement {
  const cell = (label: string): HTMLElement => h("span", { role: "columnheader" }, label);
  return h("div", { class: "line heads", role: "row" }, cell(words.keyword), cell(words.value));
}

function lineRow(line: Line): HTMLElement {
  const row = h(
    "div",
    { class: line.tag ? "line" : "line item", role: "row" },
    h("span", { role: "cell", class: "name" }, h("span", null, line.keyword), h("small", null, [line.tag, line.vr].filter(Boolean).join(" "))),
    h("span", { role: "cell", class: "value", title: line.value.length > 60 ? line.value : undefined }, line.value),
  );
  row.style.paddingLeft = `${10 + line.depth * 12}px`;
  return row;
}
