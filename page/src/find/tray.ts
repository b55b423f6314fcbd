/** Series chosen to be viewed side by side, across studies and stores, for as long as the tab lives. */

import { button, h, replace } from "../dom";
import { go } from "../router";
import { keep, kept } from "../store";
import { text } from "../text";

export interface Chosen {
  store: string;
  study: string;
  series: string;
}

const MOST = 4;
let chosen: Chosen[] = read();
const listeners = new Set<() => void>();

function read(): Chosen[] {
  try {
    const found: unknown = JSON.parse(kept("sessionStorage", "compare") ?? "[]");
    return Array.isArray(found) ? (found as Chosen[]).slice(0, MOST) : [];
  } catch {
    return [];
  }
}

const same = (one: Chosen, other: Chosen): boolean => one.store === other.store && one.series === other.series;

export function isChosen(series: Chosen): boolean {
  return chosen.some((each) => same(each, series));
}

export function toggle(series: Chosen): void {
  chosen = isChosen(series) ? chosen.filter((each) => !same(each, series)) : [...chosen, series].slice(-MOST);
  changed();
}

function changed(): void {
  keep("sessionStorage", "compare", chosen.length ? JSON.stringify(chosen) : null);
  for (const listener of listeners) listener();
}

/** Where these series are viewed, each in a place of its own. */
export function viewAddress(series: Chosen[]): string {
  const query = new URLSearchParams();
  for (const each of series) query.append("series", `${each.store}/${each.study}/${each.series}`);
  return `#/view?${query}`;
}

/** The bar that tells what is chosen; empty where nothing is. */
export function tray(signal: AbortSignal, onChange: () => void): HTMLElement {
  const element = h("section", { class: "tray", aria: { label: text.study.compare } });
  const draw = (): void => {
    element.hidden = chosen.length === 0;
    if (!chosen.length) return;
    replace(
      element,
      h("span", { role: "status" }, text.study.chosen(chosen.length)),
      button(text.study.viewAll, () => go(viewAddress(chosen)), { class: "button main" }),
      button(text.study.clear, () => {
        chosen = [];
        changed();
      }),
    );
  };
  const listener = (): void => {
    draw();
    onChange();
  };
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
  draw();
  return element;
}
