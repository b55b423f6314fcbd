/** What de-identification would change, as a table to search: each attribute before and after. */

import { button, h, newId, replace, setAria } from "../dom";
import { table } from "../operate/parts";
import { text } from "../text";
import { cutPicture, pixelLines, type Pixels } from "./evidence";

const words = text.deidentify;
const LETTERS = 200; // values are cut there by the server

export interface Change {
  path: string;
  tag: string;
  vr: string;
  action: string;
  before: string;
  after: string;
}

export interface Preview {
  profile: string;
  changes: Change[];
  kept: number;
  pixels: Pixels | null;
  warnings: string[];
}

/** How often each action is taken, the order of the words kept. */
export function countsOf(changes: readonly Change[]): [string, number][] {
  const counts = new Map<string, number>(Object.keys(words.actions).map((each) => [each, 0]));
  for (const { action } of changes) counts.set(action, (counts.get(action) ?? 0) + 1);
  return [...counts].filter(([, count]) => count > 0);
}

export function fitting(changes: readonly Change[], action: string, sought: string): Change[] {
  const wanted = sought.trim().toLowerCase();
  return changes.filter(
    (each) => (!action || each.action === action) && (!wanted || `${each.path} ${each.tag} ${each.before} ${each.after}`.toLowerCase().includes(wanted)),
  );
}

export function previewOf(preview: Preview, image: string, signal: AbortSignal): HTMLElement {
  const id = newId("sought");
  const search = h("input", { id, type: "search", placeholder: words.search, autocomplete: "off", spellcheck: false });
  const status = h("p", { class: "status", role: "status" });
  const body = h("div");
  const drawn = h("div", { class: "frame" });
  let action = "";
  const filters = [["", preview.changes.length] as [string, number], ...countsOf(preview.changes)].map(([name, count]) => {
    const chip = button(`${name ? (words.actions[name] ?? name) : words.all} ${text.number(count)}`, () => {
      action = name;
      for (const each of filters) setAria(each, { pressed: String(each === chip) });
      draw();
    }, { class: "button small toggle", pressed: name === "" });
    return chip;
  });
  const draw = (): void => {
    const found = fitting(preview.changes, action, search.value);
    status.textContent = found.length ? `${words.shown(found.length)}; ${words.kept(preview.kept)}` : words.none;
    replace(body, found.length ? table([words.attribute, words.action, words.before, words.after], found.map(row), words.trial) : null);
  };
  search.addEventListener("input", draw);
  draw();
  void cutPicture(image, preview.pixels, words.pictureBefore, signal).then((shown) => shown && !signal.aborted && replace(drawn, shown));
  return h(
    "div",
    { class: "preview" },
    h("h3", null, words.pixels),
    h("div", { class: "beside" }, drawn, h("ul", { class: "said" }, ...pixelLines(preview.pixels).map((line) => h("li", null, line)))),
    preview.warnings.length ? h("div", { class: "notice" }, h("strong", null, words.warnings), h("ul", null, ...preview.warnings.map((each) => h("li", null, each)))) : null,
    h("div", { class: "filters" }, h("div", { class: "field wide" }, h("label", { class: "unseen", for: id }, words.search), search), h("div", { class: "acts", role: "group", aria: { label: words.action } }, ...filters)),
    status,
    body,
  );
}

function row(change: Change): HTMLElement {
  const value = (shown: string): HTMLElement | string => (shown ? (shown.length >= LETTERS ? h("span", null, shown, h("small", null, words.cut)) : shown) : h("span", { class: "quiet" }, words.nothingThere));
  return h(
    "tr",
    { class: `change ${change.action}` },
    h("th", { scope: "row" }, change.path, h("small", null, `(${change.tag.slice(0, 4)},${change.tag.slice(4)}) ${change.vr}`)),
    h("td", null, h("span", { class: `chip act-${change.action}` }, words.actions[change.action] ?? change.action)),
    h("td", { class: "value before" }, value(change.before)),
    h("td", { class: "value after" }, value(change.after)),
  );
}
