/** Making a delivery, and its links to copy. */

import { getJson, isAbort, Problem, sendJson } from "../api/client";
import { button, h, newId, replace } from "../dom";
import { bytes } from "../format";
import { lacksScope, moment } from "../operate/parts";
import { announce, dialog, failure } from "../shell/messages";
import { text } from "../text";

const words = text.deliveries;

export interface Delivery {
  id: string;
  store: string;
  images: number;
  zip: boolean;
  created: string;
  expires: string;
  revoked: string | null;
  revocable: boolean;
}

export interface Link {
  image_id: string | null;
  url: string;
  file_name: string;
  media_type: string;
  size: number;
}

export interface WithLinks extends Delivery {
  links: Link[];
  missing?: string[];
  next: number | null;
}

export const told = (error: unknown): unknown => (lacksScope(error) ? new Problem(403, "forbidden", words.noScope) : error);

/** A form that makes a delivery of this, and then its links. */
export function deliveryOf(of: Record<string, unknown>, signal: AbortSignal): HTMLElement {
  const ids = { life: newId("life"), zip: newId("zip") };
  const life = h("select", { id: ids.life }, ...Object.entries(words.lives).map(([seconds, label]) => h("option", { value: seconds }, label)));
  const zip = h("input", { type: "checkbox", id: ids.zip });
  const made = h("div", { aria: { live: "polite" } });
  const make = async (): Promise<void> => {
    try {
      const delivery = await sendJson<WithLinks>("POST", "deliveries", { ...of, seconds: Number(life.value), zip: zip.checked }, signal);
      replace(made, linksOf(delivery, signal));
    } catch (error) {
      if (!isAbort(error)) replace(made, failure(told(error), null));
    }
  };
  return h(
    "section",
    { class: "panel-box delivery" },
    h("h2", null, words.make),
    h("p", { class: "quiet" }, words.told),
    h(
      "form",
      { class: "filters", on: { submit: (event: Event) => (event.preventDefault(), void make()) } },
      h("div", { class: "field" }, h("label", { for: ids.life }, words.life), life),
      h("label", { class: "inline", for: ids.zip }, zip, words.zip),
      h("button", { type: "submit", class: "button main" }, words.create),
    ),
    made,
  );
}

/** The links of a delivery, each to be copied; those that follow are loaded when they are wanted. */
export function linksOf(delivery: WithLinks, signal: AbortSignal): HTMLElement {
  const list = h("ol", { class: "links-list" });
  const all: string[] = [];
  const status = h("p", { class: "status", role: "status" });
  const add = (links: Link[]): void => {
    for (const link of links) {
      all.push(link.url);
      const shown = h("input", { type: "text", readonly: true, value: link.url, aria: { label: words.link(all.length) } });
      shown.addEventListener("focus", () => shown.select());
      list.append(
        h(
          "li",
          null,
          h("span", { class: "about" }, h("strong", null, link.image_id === null ? words.archive : words.link(all.length)), " ", bytes(link.size)),
          shown,
          button(words.copy, () => void copy([link.url], status), { name: "copy" }),
        ),
      );
    }
  };
  add(delivery.links);
  const rest = h("div");
  let { next } = delivery;
  const more = (): void => {
    if (next === null) return replace(rest);
    const after = next;
    const load = (): void => {
      getJson<WithLinks>(`deliveries/${delivery.id}?after=${after}`, signal).then(
        (found) => {
          next = found.next;
          add(found.links);
          more();
        },
        (error: unknown) => isAbort(error) || replace(rest, failure(told(error), null)),
      );
    };
    replace(rest, button(words.more, load));
  };
  more();
  return h(
    "div",
    { class: "made-links" },
    h("p", null, `${words.images(delivery.images)}, ${words.until(moment(delivery.expires))}`),
    delivery.missing?.length ? h("p", { class: "notice bad" }, words.missing(delivery.missing.length)) : null,
    delivery.revocable ? null : h("p", { class: "notice bad" }, words.irrevocable),
    h("div", { class: "acts" }, delivery.links.length > 1 ? button(words.copyAll, () => void copy(all, status)) : null, delivery.revocable ? revokeButton(delivery.id, signal, (gone) => replace(list, gone)) : null),
    status,
    list,
    rest,
  );
}

export function revokeButton(id: string, signal: AbortSignal, gone: (told: HTMLElement) => void): HTMLButtonElement {
  const revoke = (): void => {
    sendJson("DELETE", `deliveries/${id}`, undefined, signal).then(
      () => {
        announce(words.revoked);
        gone(h("span", { class: "chip failed" }, words.revoked));
      },
      (error: unknown) => isAbort(error) || gone(failure(told(error), null)),
    );
  };
  return button(words.revoke, () => {
    dialog(words.revoke, (close) => [
      h("p", null, words.revokeTold),
      h("div", { class: "acts" }, button(words.revoke, () => (close(), revoke()), { class: "button main", name: "revoke-now" }), button(text.close, close)),
    ]);
  });
}

async function copy(links: string[], status: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(links.join("\n"));
    status.textContent = words.copied;
  } catch {
    status.textContent = words.notCopied; // only in secure contexts, and where it is allowed
  }
}
