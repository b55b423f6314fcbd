/** One study: whose it is, and its series to look at or compare. */

import {
  isSeen,
  oneStudy,
  page,
  seriesOf,
  seriesQuery,
  seriesThumbnail,
  stores,
  type Series,
  type Store,
  type Study,
} from "../api/studies";
import { Problem } from "../api/client";
import { button, h, icon, replace, setAria } from "../dom";
import { date, time } from "../format";
import { noPicture, picture } from "../pictures";
import { onAddress } from "../run/target";
import { addressOf, type Place } from "../router";
import { failure } from "../shell/messages";
import type { View } from "../shell/shell";
import { text } from "../text";
import { downloadOf } from "./download";
import { isChosen, toggle, tray, viewAddress, type Chosen } from "./tray";

const words = text.study;

export async function studyView(place: Place, signal: AbortSignal): Promise<View> {
  const store = place.parameters.get("store") ?? "";
  const uid = place.parameters.get("study") ?? "";
  const [known, study, series] = await Promise.all([
    stores(),
    oneStudy(store, uid, signal),
    page(seriesQuery(store, uid), seriesOf(store), signal),
  ]);
  const back = h("a", { class: "back", href: addressOf("studies", { store }) }, icon("M15 5l-7 7 7 7"), words.back);
  if (study === null) {
    const gone = failure(new Problem(404, "not-found", words.gone), null);
    return { title: words.title, element: h("div", { class: "page" }, back, gone) };
  }
  const cards = h("ul", { class: "cards" });
  const drawn: (() => void)[] = [];
  let next = series.next;
  const add = (items: Series[]): void => {
    for (const each of items) {
      const made = card(each, signal);
      drawn.push(made.draw);
      cards.append(made.element);
    }
  };
  add(series.items);
  const rest = h("div", { class: "rest" });
  const more = (): void => {
    if (next === null) return replace(rest);
    const address = next;
    replace(
      rest,
      button(words.more, () => {
        page(address, seriesOf(store), signal).then(
          (found) => {
            next = found.next;
            add(found.items);
            more();
          },
          (error: unknown) => replace(rest, failure(error, null)),
        );
      }),
    );
  };
  more();
  const element = h(
    "div",
    { class: "page study" },
    back,
    head(study, known.find((each) => each.name === store)),
    h(
      "div",
      { class: "acts" },
      h("a", { class: "button", href: onAddress("run", { store, study: uid }) }, text.run.title),
      h("a", { class: "button", href: onAddress("deidentify", { store, study: uid }) }, text.run.deidentify),
      downloadOf(store, uid, signal),
    ),
    h("h2", null, words.series),
    cards,
    rest,
    tray(signal, () => drawn.forEach((draw) => draw())),
  );
  return { title: words.title, element };
}

function head(study: Study, store: Store | undefined): HTMLElement {
  const { find } = text;
  const facts = [
    study.patientId,
    study.birthDate ? find.born(date(study.birthDate)) : "",
    find.sexes[study.sex] ?? "",
    study.accession ? `${words.accession} ${study.accession}` : "",
  ].filter(Boolean);
  return h(
    "header",
    { class: "person" },
    h("h1", null, study.name || find.noName),
    h("p", null, facts.join(" · ")),
    h(
      "p",
      { class: "what" },
      [date(study.date), time(study.time), study.description || find.noDescription].filter(Boolean).join(" · "),
    ),
    h(
      "p",
      null,
      h("span", { class: store?.identified ? "chip identified" : "chip" }, store?.identified ? `${study.store} · ${find.identified}` : study.store),
      " ",
      find.counts(study.series, study.instances),
    ),
  );
}

function card(series: Series, signal: AbortSignal): { element: HTMLElement; draw: () => void } {
  const chosen: Chosen = { store: series.store, study: series.study, series: series.uid };
  const label = series.description || text.find.noDescription;
  const compare = button(words.compare, () => toggle(chosen), { class: "button toggle" });
  compare.title = words.compareTold;
  const draw = (): void => setAria(compare, { pressed: isChosen(chosen) });
  draw();
  const element = h(
    "li",
    { class: "card" },
    h(
      "a",
      { href: viewAddress([chosen]) },
      isSeen(series) ? picture(seriesThumbnail(series, 256), signal) : noPicture(),
      h(
        "span",
        { class: "about" },
        h("strong", null, label),
        h("span", null, [series.number ? words.number(series.number) : "", series.bodyPart].filter(Boolean).join(" · ")),
        h("span", null, h("span", { class: "chip" }, series.modality || text.unknown), " ", words.images(series.instances)),
      ),
    ),
    h("div", { class: "acts" }, compare, h("a", { class: "button", href: onAddress("run", chosen), aria: { label: `${text.run.title}: ${label}` } }, text.run.title)),
  );
  return { element, draw };
}
