/** De-identify a study: choose a profile, see what it would change, and have it done. */

import "../style/work.css";
import { getJson, isAbort, Problem, sendJson, wordsFor } from "../api/client";
import { pipelines, startPipeline, type Pipeline } from "../api/jobs";
import { page, seriesOf, seriesQuery, type Series } from "../api/studies";
import { button, h, newId, replace } from "../dom";
import { reason } from "../operate/parts";
import { addressOf, go, type Place } from "../router";
import { chosenOf, imagesOfSeries, placeLine, type Chosen } from "../run/target";
import { failure } from "../shell/messages";
import type { View } from "../shell/shell";
import { text } from "../text";
import { previewOf, type Preview } from "./preview";

const words = text.deidentify;

interface Profile {
  name: string;
  title: string;
  description: string;
  options: string[];
  reads_text: boolean;
}

export async function deidentifyView(place: Place, signal: AbortSignal): Promise<View> {
  const chosen = chosenOf(place);
  const element = h("div", { class: "page work" }, h("h1", null, words.title));
  if (!chosen?.study) {
    element.append(h("div", { class: "notice" }, h("p", null, words.nothing), h("a", { class: "button", href: addressOf("studies") }, text.studies)));
    return { title: words.title, element };
  }
  const [known, plans, series] = await Promise.all([
    getJson<{ edition: string; profiles: Profile[] }>("deidentification/profiles", signal),
    pipelines(signal),
    page(seriesQuery(chosen.store, chosen.study), seriesOf(chosen.store), signal),
  ]);
  const doing = plans.filter((each) => each.store === chosen.store && stepOf(each));
  const id = newId("profile");
  const profile = h("select", { id }, ...known.profiles.map((each) => h("option", { value: each.name }, each.name)));
  const about = h("div", { class: "about-what" });
  const tryOut = trial(chosen, series.items, () => profile.value, signal);
  const run = h("section", { class: "panel-box" });
  const choose = (): void => {
    const now = known.profiles.find((each) => each.name === profile.value);
    if (now) replace(about, told(now, known.edition));
    tryOut.forget();
    drawRun(run, chosen, profile.value, doing, signal);
  };
  profile.addEventListener("change", choose);
  element.append(
    placeLine(chosen, signal),
    h("div", { class: "filters" }, h("div", { class: "field" }, h("label", { for: id }, words.profile), profile)),
    about,
    tryOut.element,
    run,
  );
  choose();
  return { title: words.title, element };
}

function told(profile: Profile, edition: string): HTMLElement {
  return h(
    "div",
    { class: "panel-box" },
    h("strong", null, profile.title),
    h("p", null, profile.description),
    h("p", { class: "quiet" }, profile.reads_text ? words.readsText : words.readsNoText),
    h("p", { class: "quiet" }, `${words.edition(edition)}. ${profile.options.length ? `${words.option}: ${profile.options.join(", ")}` : words.noOptions}`),
  );
}

/** The step of a pipeline that de-identifies: by which profile, and into which store. */
export function stepOf(plan: Pipeline): { profile: string; into: string } | null {
  const step = plan.steps.find((each) => each.use === "deidentify");
  return step ? { profile: String(step.with["profile"] ?? ""), into: String(step.with["into"] ?? "") } : null;
}

function drawRun(run: HTMLElement, chosen: Chosen, profile: string, doing: Pipeline[], signal: AbortSignal): void {
  const fitting = doing.filter((each) => stepOf(each)?.profile === profile);
  if (!fitting.length) {
    const there = doing.map((each) => `${each.name} (${stepOf(each)?.profile})`).join(", ");
    replace(run, h("h2", null, words.run), h("p", { role: "status" }, words.noPipeline(profile, there)));
    return;
  }
  const id = newId("pipeline");
  // The one that does nothing else first: what also delivers is to be chosen on purpose.
  const inOrder = [...fitting].sort((one, other) => one.steps.length - other.steps.length);
  const label = (each: Pipeline): string => words.by(each.name, profile, stepOf(each)?.into ?? "");
  const which = h("select", { id }, ...inOrder.map((each) => h("option", { value: each.name }, label(each))));
  const fault = h("div", { role: "alert" });
  const start = async (): Promise<void> => {
    const over = { study_uid: chosen.study, ...(chosen.series ? { series_uid: chosen.series } : {}) };
    try {
      const job = await startPipeline(which.value, over, signal);
      if (!signal.aborted) go(addressOf("job", { id: job.id }));
    } catch (error) {
      if (!isAbort(error)) replace(fault, failure(error, null));
    }
  };
  replace(
    run,
    h("h2", null, words.run),
    h("div", { class: "filters" }, h("div", { class: "field wide" }, h("label", { for: id }, words.pipeline), which), button(words.start, () => void start(), { class: "button main" })),
    fault,
  );
}

interface Trial {
  element: HTMLElement;
  /** What is shown is of another profile. */
  forget: () => void;
}

function trial(chosen: Chosen, series: Series[], profile: () => string, signal: AbortSignal): Trial {
  const id = newId("series");
  const which = h(
    "select",
    { id },
    ...series.map((each) => h("option", { value: each.uid, selected: each.uid === chosen.series }, [each.modality, each.description || text.find.noDescription, text.study.images(each.instances)].filter(Boolean).join(" · "))),
  );
  const shown = h("div", { class: "preview", aria: { live: "polite" } });
  let under = new AbortController();
  signal.addEventListener("abort", () => under.abort());
  const forget = (): void => {
    under.abort();
    replace(shown);
  };
  const look = async (): Promise<void> => {
    forget();
    const mine = (under = new AbortController());
    replace(shown, h("p", { class: "notice busy" }, h("span", { class: "spinner" }), text.loading));
    try {
      const [image] = chosen.image ? [chosen.image] : await imagesOfSeries(chosen.store, chosen.study ?? "", which.value, mine.signal);
      const found = await sendJson<Preview>("POST", "deidentification/previews", { image, profile: profile() }, mine.signal);
      if (!mine.signal.aborted) replace(shown, previewOf(found, image ?? "", mine.signal));
    } catch (error) {
      if (isAbort(error) || mine.signal.aborted) return;
      if (error instanceof Problem && error.status === 422) {
        replace(shown, h("div", { class: "notice bad", role: "alert" }, h("strong", null, words.refused), reason(error.code), h("p", null, wordsFor(error))));
      } else replace(shown, failure(error, () => void look()));
    }
  };
  which.addEventListener("change", forget);
  const element = h(
    "section",
    { class: "panel-box" },
    h("h2", null, words.tryOn),
    h("p", { class: "quiet" }, words.trialTold),
    h("div", { class: "filters" }, h("div", { class: "field wide" }, h("label", { for: id }, text.study.series), which), button(words.trial, () => void look(), { name: "preview" })),
    shown,
  );
  return { element, forget };
}
