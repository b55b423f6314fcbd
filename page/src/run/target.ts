/** What work is to be done on: a study, a series or one image, as addresses have it. */

import { getJson } from "../api/client";
import { oneStudy, page, seriesOf, seriesQuery } from "../api/studies";
import { h } from "../dom";
import { addressOf, type Place } from "../router";
import { text } from "../text";

export interface Chosen {
  store: string;
  study: string | null;
  series: string | null;
  image: string | null;
}

const words = text.run;

/** "store/study" or "store/study/series" of `on`, and the image where one is meant; null where nothing is. */
export function chosenOf(place: Place): Chosen | null {
  const found = /^([^/]{1,64})(?:\/([0-9.]{1,64}))?(?:\/([0-9.]{1,64}))?$/.exec(place.parameters.get("on") ?? "");
  const image = place.parameters.get("image");
  if (!found || !(found[2] || image)) return null;
  return { store: found[1]!, study: found[2] ?? null, series: found[3] ?? null, image };
}

export function onAddress(view: "run" | "deidentify", chosen: Partial<Chosen> & { store: string }): string {
  const on = [chosen.store, chosen.study, chosen.series].filter(Boolean).join("/");
  return addressOf(view, { on, image: chosen.image });
}

interface Frames {
  stacks: { frames: { image: string }[] }[];
  leftOut: { image: string }[];
}

/** Internal ids of the images that are meant; of a study those of its first series. */
export async function imagesOf(chosen: Chosen, signal: AbortSignal): Promise<string[]> {
  if (!chosen.study) return chosen.image ? [chosen.image] : [];
  const series = chosen.series ?? (await page(seriesQuery(chosen.store, chosen.study), seriesOf(chosen.store), signal)).items[0]?.uid;
  if (!series) return [];
  return imagesOfSeries(chosen.store, chosen.study, series, signal);
}

export async function imagesOfSeries(store: string, study: string, series: string, signal: AbortSignal): Promise<string[]> {
  const told = await getJson<Frames>(`viewing/series/${encodeURIComponent(store)}/${study}/${series}`, signal);
  return [...new Set([...told.stacks.flatMap((stack) => stack.frames.map((frame) => frame.image)), ...told.leftOut.map((each) => each.image)])];
}

/** One line that says what is worked on, with the way to it. */
export function placeLine(chosen: Chosen, signal: AbortSignal): HTMLElement {
  const kind = chosen.series ? words.series : chosen.study ? words.study : words.image;
  const name = h("span");
  const address = chosen.study ? addressOf("study", { store: chosen.store, study: chosen.study }) : addressOf("view", { image: chosen.image });
  const element = h("p", { class: "target" }, `${words.on}: `, h("strong", null, kind), " ", h("a", { href: address }, name), " ", h("span", { class: "chip" }, chosen.store));
  name.textContent = chosen.study ? text.find.noName : words.openSource;
  if (chosen.study) {
    oneStudy(chosen.store, chosen.study, signal).then(
      (study) => {
        if (study) name.textContent = [study.name || text.find.noName, study.description].filter(Boolean).join(" · ");
      },
      () => undefined,
    );
  }
  return element;
}
