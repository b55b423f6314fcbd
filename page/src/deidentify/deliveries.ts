/** The deliveries there are: what each holds, until when, its links, and an end to it. */

import "../style/work.css";
import { getJson, isAbort } from "../api/client";
import { button, h, replace } from "../dom";
import { cell, moment, table } from "../operate/parts";
import { dialog, failure } from "../shell/messages";
import type { Place } from "../router";
import type { View } from "../shell/shell";
import { text } from "../text";
import { linksOf, revokeButton, told, type Delivery, type WithLinks } from "./make";

const words = text.deliveries;

export function deliveriesView(_place: Place, signal: AbortSignal): View {
  const body = h("div", { class: "body" });
  const rest = h("div");
  const all: Delivery[] = [];
  const load = async (after: string | null): Promise<void> => {
    try {
      const query = new URLSearchParams({ limit: "50", ...(after === null ? {} : { after }) });
      const found = await getJson<{ deliveries: Delivery[]; next: string | null }>(`deliveries?${query}`, signal);
      all.push(...found.deliveries);
      const shown = all.length
        ? table([words.created, words.contents, words.store, words.expires, words.state, ""], all.map((each) => row(each, signal)), words.title)
        : h("div", { class: "notice" }, words.none);
      replace(body, shown);
      const { next } = found;
      replace(rest, next === null ? null : button(words.more, () => void load(next)));
    } catch (error) {
      if (!isAbort(error)) replace(body, failure(told(error), null));
    }
  };
  void load(null);
  return { title: words.title, element: h("div", { class: "page work" }, h("h1", null, words.title), h("p", { class: "lead" }, words.told), body, rest) };
}

function row(each: Delivery, signal: AbortSignal): HTMLElement {
  const works = each.revoked === null && new Date(each.expires).getTime() > Date.now();
  const state = h("span", { class: works ? "chip stored" : "chip" }, each.revoked ? words.revoked : works ? words.open : words.expired);
  const acts = h("span", { class: "acts" });
  const show = (): void => {
    getJson<WithLinks>(`deliveries/${each.id}`, signal).then(
      (found) => dialog(words.links, () => [linksOf(found, signal)], true),
      (error: unknown) => isAbort(error) || replace(acts, failure(told(error), null)),
    );
  };
  if (works) {
    acts.append(button(words.show, show));
    if (each.revocable) {
      acts.append(
        revokeButton(each.id, signal, (gone) => {
          replace(acts, gone);
          replace(state, words.revoked);
          state.className = "chip";
        }),
      );
    }
  }
  return h("tr", null, cell(moment(each.created)), cell(words.images(each.images), each.zip ? h("small", null, words.archive) : null), cell(each.store), cell(moment(each.expires)), cell(state), cell(acts));
}
