/** What is said beside the views: to screen readers, in a dialog, in place of what could not be loaded. */

import { button, h, icon, newId, replace } from "../dom";
import { wordsFor } from "../api/client";
import { text } from "../text";

let live: HTMLElement | null = null;

export function liveRegion(): HTMLElement {
  live ??= h("div", { class: "unseen", role: "status", aria: { live: "polite" } });
  return live;
}

/** Say it to those who do not see the page. */
export function announce(words: string): void {
  if (live && live.textContent !== words) live.textContent = words;
}

/** A dialog over everything; it closes by its button, by Escape, and by what `fill` calls. */
export function dialog(title: string, fill: (close: () => void) => (Node | null)[], wide = false): HTMLDialogElement {
  const id = newId("dialog");
  const element = h("dialog", { class: wide ? "dialog wide" : "dialog", aria: { labelledby: id } });
  const close = (): void => element.close();
  element.append(
    h(
      "header",
      null,
      h("h2", { id }, title),
      button(text.close, close, { bare: true, class: "button bare", icon: closeIcon() }),
    ),
    ...(fill(close).filter(Boolean) as Node[]),
  );
  element.addEventListener("close", () => element.remove());
  element.addEventListener("keydown", (event) => event.stopPropagation());
  document.body.append(element);
  element.showModal();
  return element;
}

export const closeIcon = (): SVGSVGElement => icon("M6 6l12 12M18 6L6 18");

/** In place of what could not be loaded: why, and once more. */
export function failure(error: unknown, again: (() => void) | null): HTMLElement {
  return h(
    "div",
    { class: "notice bad", role: "alert" },
    h("strong", null, text.problems.title),
    h("p", null, wordsFor(error)),
    again ? button(text.retry, again) : null,
  );
}

export function busy(): HTMLElement {
  return h("div", { class: "notice busy" }, h("span", { class: "spinner" }), text.loading);
}

export function showIn(element: Element, ...children: (Node | string)[]): void {
  replace(element, ...children);
}
