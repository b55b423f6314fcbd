/** The frame of the page: navigation, colours, and the place where views stand. */

import { button, h, icon, replace, setAria } from "../dom";
import { hasKey, onKeyWanted, setKey } from "../api/client";
import { forgetStores } from "../api/studies";
import { forgetPictures } from "../pictures";
import { addressOf, placeOf, type Place } from "../router";
import { text } from "../text";
import { askForKey } from "./key";
import { announce, busy, failure, liveRegion } from "./messages";
import { applyTheme, setTheme, theme, type Theme } from "./theme";

/** A view fills `main` and lasts until `signal` ends. It says its title. */
export interface View {
  title: string;
  element: HTMLElement;
  /** It takes the whole window. */
  whole?: boolean;
}
export type Show = (place: Place, signal: AbortSignal) => View | Promise<View>;

export interface Entry {
  /** In the navigation, with this label and drawing; without them it is reached from other views. */
  label?: string;
  icon?: string[];
  show: Show;
}

const KEY = ["M15 7a4 4 0 1 1-3.5 5.9L10 14.5V17H7.5v2.5H4V16l6.2-6.2A4 4 0 0 1 15 7z", "M16 8.5v.01"];

/** Put the page together over these views, the first of them shown where none is named. */
export function start(views: Record<string, Entry>): void {
  applyTheme();
  document.documentElement.lang = text.language;
  const main = h("main", { id: "content", tabindex: -1 });
  const links = new Map<string, HTMLAnchorElement>();
  for (const [name, entry] of Object.entries(views)) {
    if (!entry.label) continue;
    const link = h("a", { href: addressOf(name) }, icon(...(entry.icon ?? [])), h("span", null, entry.label));
    links.set(name, link);
  }
  const forget = button(
    text.key.forget,
    () => {
      setKey(null);
      forgetStores();
      forgetPictures();
      location.reload();
    },
    { bare: true, class: "button bare", icon: icon(...KEY) },
  );
  forget.hidden = !hasKey();
  let tried = hasKey();
  onKeyWanted(async () => {
    const given = await askForKey(tried);
    tried = true;
    forget.hidden = false;
    forgetStores();
    forgetPictures();
    return given;
  });
  document.body.append(
    h("a", { class: "skip", href: "#content", on: { click: skip } }, text.skip),
    h(
      "header",
      { class: "top" },
      h("a", { class: "brand", href: addressOf(Object.keys(views)[0] ?? "") }, mark(), h("span", null, text.brand)),
      h("nav", { aria: { label: text.navigation } }, ...links.values()),
      h("div", { class: "end" }, themeSwitch(), forget, h("a", { class: "quiet", href: "docs" }, text.documentation)),
    ),
    main,
    h("footer", { class: "foot" }, h("a", { href: "licences.txt" }, text.licences)),
    liveRegion(),
  );

  function skip(event: Event): void {
    event.preventDefault();
    main.focus();
  }

  let shown: AbortController | null = null;
  let before: string | null = null;

  async function navigate(): Promise<void> {
    const place = placeOf(location.hash);
    shown?.abort();
    const here = new AbortController();
    shown = here;
    for (const [name, link] of links) setAria(link, { current: name === place.view ? "page" : undefined });
    const entry = Object.hasOwn(views, place.view) ? views[place.view] : undefined;
    replace(main, busy());
    document.body.classList.remove("whole");
    try {
      const view = entry ? await entry.show(place, here.signal) : nowhere();
      if (here.signal.aborted) return;
      document.body.classList.toggle("whole", view.whole === true);
      document.title = `${view.title} · ${text.brand}`;
      replace(main, view.element);
      if (before !== null && before !== place.view) {
        main.focus({ preventScroll: true });
        announce(view.title);
      }
      before = place.view;
    } catch (error) {
      if (!here.signal.aborted) replace(main, h("div", { class: "page" }, failure(error, () => void navigate())));
    }
  }

  window.addEventListener("hashchange", () => void navigate());
  void navigate();
}

function nowhere(): View {
  const element = h(
    "div",
    { class: "page" },
    h("h1", null, text.notFound.title),
    h("p", null, h("a", { href: addressOf("studies") }, text.notFound.back)),
  );
  return { title: text.notFound.title, element };
}

function mark(): SVGSVGElement {
  const drawn = icon("M12 2v6M12 16v6M2 12h6M16 12h6", "M18.5 12a6.5 6.5 0 1 1-13 0a6.5 6.5 0 0 1 13 0z");
  drawn.classList.add("mark");
  return drawn;
}

function themeSwitch(): HTMLElement {
  const choices: Theme[] = ["auto", "light", "dark"];
  const select = h(
    "select",
    {
      class: "small",
      aria: { label: text.themes.label },
      title: text.themes.label,
      on: { change: () => setTheme(select.value as Theme) },
    },
    ...choices.map((name) => h("option", { value: name, selected: name === theme() }, text.themes[name])),
  );
  return select;
}
