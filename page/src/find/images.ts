/** Volumes and pictures by subject: what has no study to be found by. */

import { images, stores, type Image } from "../api/studies";
import { isAbort, Problem } from "../api/client";
import { button, h, newId, replace } from "../dom";
import { bytes } from "../format";
import { picture } from "../pictures";
import { onAddress } from "../run/target";
import { addressOf, type Place } from "../router";
import { failure } from "../shell/messages";
import type { View } from "../shell/shell";
import { text } from "../text";

const KINDS = ["nifti", "jpeg", "png", "gif"];
const PAGE = 60;
const words = text.pictures;

export async function imagesView(_place: Place, signal: AbortSignal): Promise<View> {
  const known = await stores();
  const element = h("div", { class: "page find" }, h("h1", null, words.title));
  if (!known.length) {
    element.append(failure(new Problem(403, "forbidden", text.problems.noReading), null));
    return { title: words.title, element };
  }
  const ids = { subject: newId("subject"), kind: newId("kind"), store: newId("store") };
  const subject = h("input", { id: ids.subject, type: "search", placeholder: words.subjectPlaceholder, maxLength: 200, spellcheck: false, autocomplete: "off" });
  const kind = h(
    "select",
    { id: ids.kind },
    h("option", { value: "" }, words.anyKind),
    ...KINDS.map((name) => h("option", { value: name }, words.kinds[name] ?? name)),
  );
  const store = h("select", { id: ids.store }, ...known.map((each) => h("option", { value: each.name }, each.name)));
  const status = h("p", { class: "status", role: "status" });
  const cards = h("ul", { class: "cards" });
  const rest = h("div", { class: "rest" });
  let under = new AbortController();
  let shown = 0;

  // One kind after the other: the server filters by one at a time.
  const load = async (kinds: string[], after: string | null, here: AbortSignal): Promise<void> => {
    let left = PAGE;
    while (left > 0 && kinds.length) {
      const query: Record<string, string> = { kind: kinds[0] ?? "", store: store.value, limit: String(left) };
      if (subject.value.trim()) query["subject_id"] = subject.value.trim();
      if (after !== null) query["after"] = after;
      const found = await images(query, here);
      cards.append(...found.images.map((image) => card(image, signal)));
      shown += found.images.length;
      left -= found.images.length;
      after = found.next;
      if (after === null) kinds = kinds.slice(1);
    }
    const more = kinds.length > 0;
    status.textContent = shown ? words.shown(shown, more) : words.none;
    replace(rest, more ? button(words.more, () => void go(kinds, after, here)) : "");
  };
  const go = async (kinds: string[], after: string | null, here: AbortSignal): Promise<void> => {
    try {
      await load(kinds, after, here);
    } catch (error) {
      if (!isAbort(error)) replace(rest, failure(error, () => void go(kinds, after, here)));
    }
  };
  const search = (): void => {
    under.abort();
    under = new AbortController();
    replace(cards);
    shown = 0;
    void go(kind.value ? [kind.value] : KINDS, null, under.signal);
  };
  let waiting = 0;
  subject.addEventListener("input", () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(search, 250);
  });
  kind.addEventListener("change", search);
  store.addEventListener("change", search);
  signal.addEventListener("abort", () => {
    window.clearTimeout(waiting);
    under.abort();
  });
  const field = (id: string, label: string, input: HTMLElement, wide = ""): HTMLElement =>
    h("div", { class: `field ${wide}` }, h("label", { for: id }, label), input);
  element.append(
    h("p", { class: "lead" }, words.told),
    h(
      "form",
      { class: "filters", role: "search", on: { submit: (event: Event) => (event.preventDefault(), search()) } },
      field(ids.subject, words.subject, subject, "wide"),
      field(ids.kind, words.kind, kind),
      field(ids.store, text.find.store, store),
    ),
    status,
    cards,
    rest,
  );
  search();
  return { title: words.title, element };
}

function card(image: Image, signal: AbortSignal): HTMLElement {
  return h(
    "li",
    { class: "card" },
    h(
      "a",
      { href: addressOf("view", { image: image.id }) },
      picture(`dicom-image/${image.id}/png?viewport=256,256`, signal),
      h(
        "span",
        { class: "about" },
        h("strong", null, image.subject_id || words.noSubject),
        h("span", null, image.image_id),
        h("span", null, h("span", { class: "chip" }, words.kinds[image.kind] ?? image.kind), " ", bytes(image.size)),
      ),
    ),
    h("div", { class: "acts" }, h("a", { class: "button", href: onAddress("run", { store: image.store, image: image.id }) }, text.run.title)),
  );
}
