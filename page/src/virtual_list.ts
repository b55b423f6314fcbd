/** A list of which only what is seen is in the document; asks for more when its end comes near. */

import { h } from "./dom";

export interface Rows<T> {
  /** Pixels of one row. */
  height: () => number;
  /** One row; `signal` ends when it goes out of sight. */
  row: (item: T, index: number, signal: AbortSignal) => HTMLElement;
  more?: () => void;
  label: string;
  /** The element's own role and that of its inner body. */
  roles: { list: string; body: string };
  head?: HTMLElement;
}

const AHEAD = 6;
const MORE_WITHIN = 40; // rows

export class VirtualList<T> {
  readonly element: HTMLElement;
  private readonly body: HTMLElement;
  private readonly shown = new Map<number, { element: HTMLElement; gone: AbortController }>();
  private items: T[] = [];
  private scheduled = 0;
  private readonly watcher: ResizeObserver;

  constructor(
    private readonly rows: Rows<T>,
    signal: AbortSignal,
  ) {
    this.body = h("div", { class: "rows", role: rows.roles.body });
    this.element = h(
      "div",
      { class: "virtual", role: rows.roles.list, tabindex: 0, aria: { label: rows.label } },
      rows.head ?? null,
      this.body,
    );
    this.element.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.watcher = new ResizeObserver(() => this.redraw());
    this.watcher.observe(this.element);
    signal.addEventListener("abort", () => {
      this.watcher.disconnect();
      this.clear();
    });
  }

  /** Show these items; `keep` where they go on from those that are shown. */
  set(items: T[], keep = false): void {
    this.items = items;
    if (!keep) {
      this.clear();
      this.element.scrollTop = 0;
    }
    if (this.rows.roles.list === "table") this.element.setAttribute("aria-rowcount", String(items.length + 1));
    this.draw();
  }

  /** Draw one item anew, where it is in sight. */
  refresh(index: number): void {
    const shown = this.shown.get(index);
    const item = this.items[index];
    if (!shown || item === undefined) return;
    shown.gone.abort();
    const gone = new AbortController();
    const element = this.placed(item, index, gone.signal);
    shown.element.replaceWith(element);
    this.shown.set(index, { element, gone });
  }

  redraw(): void {
    this.clear();
    this.draw();
  }

  private clear(): void {
    for (const { element, gone } of this.shown.values()) {
      gone.abort();
      element.remove();
    }
    this.shown.clear();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = requestAnimationFrame(() => {
      this.scheduled = 0;
      this.draw();
    });
  }

  private draw(): void {
    const height = this.rows.height();
    this.body.style.height = `${height * this.items.length}px`;
    const top = Math.max(0, this.element.scrollTop - this.body.offsetTop);
    const first = Math.max(0, Math.floor(top / height) - AHEAD);
    const last = Math.min(this.items.length, Math.ceil((top + this.element.clientHeight) / height) + AHEAD);
    for (const [index, { element, gone }] of this.shown) {
      if (index < first || index >= last) {
        if (element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
        gone.abort();
        element.remove();
        this.shown.delete(index);
      }
    }
    let after: HTMLElement | null = null;
    for (let index = first; index < last; index += 1) {
      const known = this.shown.get(index);
      if (known) {
        after = known.element;
        continue;
      }
      const item = this.items[index];
      if (item === undefined) continue;
      const gone = new AbortController();
      const element = this.placed(item, index, gone.signal);
      this.shown.set(index, { element, gone });
      // In the order of the list, for those who go through it by Tab or hear it read.
      if (after === null) this.body.prepend(element);
      else after.after(element);
      after = element;
    }
    if (last > this.items.length - MORE_WITHIN) this.rows.more?.();
  }

  private placed(item: T, index: number, signal: AbortSignal): HTMLElement {
    const element = this.rows.row(item, index, signal);
    element.style.transform = `translateY(${index * this.rows.height()}px)`;
    element.dataset["index"] = String(index);
    if (this.rows.roles.list === "table") element.setAttribute("aria-rowindex", String(index + 2));
    return element;
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const row = (document.activeElement as HTMLElement | null)?.closest<HTMLElement>("[data-index]");
    const current = row && this.element.contains(row) ? Number(row.dataset["index"]) : -1;
    const index = current < 0 ? Math.ceil(this.element.scrollTop / this.rows.height()) : current + step;
    if (index < 0 || index >= this.items.length) return;
    event.preventDefault();
    const height = this.rows.height();
    const head = this.body.offsetTop;
    const top = index * height + head;
    if (top < this.element.scrollTop + head) this.element.scrollTop = top - head;
    const bottom = top + height - this.element.clientHeight;
    if (bottom > this.element.scrollTop) this.element.scrollTop = bottom;
    this.draw();
    this.shown.get(index)?.element.querySelector<HTMLElement>("a, button")?.focus({ preventScroll: true });
  }
}
