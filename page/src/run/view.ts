/** Run an algorithm or a pipeline on a study, a series or an image. */

import "../style/work.css";
import { algorithms, pipelines, startAlgorithm, startPipeline, type Algorithm, type Pipeline } from "../api/jobs";
import { Problem } from "../api/client";
import { button, h, newId, replace } from "../dom";
import { addressOf, go, type Place } from "../router";
import { announce, failure } from "../shell/messages";
import type { View } from "../shell/shell";
import { text } from "../text";
import { schemaForm, type SchemaForm } from "./form";
import { chosenOf, imagesOf, placeLine, type Chosen } from "./target";

const words = text.run;

interface Ready {
  element: HTMLElement;
  start: (() => Promise<string>) | null;
}

export async function runView(place: Place, signal: AbortSignal): Promise<View> {
  const chosen = chosenOf(place);
  const element = h("div", { class: "page work" }, h("h1", null, words.title));
  if (!chosen) {
    element.append(h("div", { class: "notice" }, h("p", null, words.nothing), h("a", { class: "button", href: addressOf("studies") }, text.studies)));
    return { title: words.title, element };
  }
  const [known, plans, images] = await Promise.all([algorithms(signal), pipelines(signal), imagesOf(chosen, signal)]);
  const ids = { what: newId("what"), image: newId("image") };
  const what = h(
    "select",
    { id: ids.what },
    h("option", { value: "" }, words.choose),
    h("optgroup", { label: words.algorithms }, ...known.map((each) => h("option", { value: `algorithm/${each.name}` }, each.name))),
    h("optgroup", { label: words.pipelines }, ...plans.map((each) => h("option", { value: `pipeline/${each.name}` }, each.name))),
  );
  const wanted = images.indexOf(chosen.image ?? "");
  const which = h("select", { id: ids.image }, ...images.map((id, index) => h("option", { value: id, selected: index === Math.max(0, wanted) }, words.imageNumber(index + 1, images.length))));
  const imageField = h("div", { class: "field", hidden: true }, h("label", { for: ids.image }, words.which), which);
  const about = h("div", { class: "about-what" });
  const told = h("div", { class: "told", aria: { live: "polite" } });
  let ready: Ready = { element: h("div"), start: null };
  const start = button(words.start, () => void begin(), { class: "button main" });
  const choose = (): void => {
    const [kind, name] = what.value.split("/");
    const algorithm = kind === "algorithm" ? known.find((each) => each.name === name) : undefined;
    const plan = kind === "pipeline" ? plans.find((each) => each.name === name) : undefined;
    imageField.hidden = !algorithm || images.length < 2;
    ready = algorithm ? ofAlgorithm(algorithm, () => which.value || images[0] || "", signal) : plan ? ofPipeline(plan, chosen, images, signal) : { element: h("div"), start: null };
    replace(about, ready.element);
    replace(told);
    start.disabled = ready.start === null;
  };
  const begin = async (): Promise<void> => {
    if (!ready.start) return;
    start.disabled = true;
    replace(told, h("p", { class: "notice busy" }, h("span", { class: "spinner" }), words.running));
    try {
      const id = await ready.start();
      announce(words.started);
      if (!signal.aborted && id) go(addressOf("job", { id }));
      else replace(told);
    } catch (error) {
      if (signal.aborted) return;
      // What the image itself was refused for stands in the job's own page too.
      replace(told, failure(error, null), error instanceof Problem ? h("p", { class: "quiet" }, error.code) : null);
    } finally {
      start.disabled = false;
    }
  };
  what.addEventListener("change", choose);
  element.append(
    placeLine(chosen, signal),
    h("form", { class: "filters", on: { submit: (event: Event) => (event.preventDefault(), void begin()) } }, h("div", { class: "field" }, h("label", { for: ids.what }, words.what), what), imageField),
    about,
    h("div", { class: "acts" }, start),
    told,
  );
  choose();
  return { title: words.title, element };
}

function ofAlgorithm(algorithm: Algorithm, image: () => string, signal: AbortSignal): Ready {
  const form: SchemaForm = schemaForm(algorithm.parameters);
  const element = h("div", { class: "panel-box" }, h("p", null, algorithm.description, " ", h("small", null, words.version(algorithm.version))), h("h2", null, words.parameters), form.element);
  const start = async (): Promise<string> => {
    const values = form.values();
    if (values === null) return "";
    return (await startAlgorithm(image(), algorithm.name, values, signal)).job;
  };
  return { element, start };
}

function ofPipeline(plan: Pipeline, chosen: Chosen, images: string[], signal: AbortSignal): Ready {
  const steps = plan.steps.map((step) =>
    h("li", null, h("strong", null, step.name), " ", h("span", { class: "quiet" }, [step.use, ...Object.entries(step.with).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)].join(" · "))),
  );
  const element = h("div", { class: "panel-box" }, h("p", null, plan.description), h("h2", null, words.steps), h("ol", { class: "steps" }, ...steps));
  if (plan.store !== chosen.store) {
    element.append(h("p", { class: "notice bad" }, words.otherStore(plan.store)));
    return { element, start: null };
  }
  const over = chosen.study ? { study_uid: chosen.study, ...(chosen.series ? { series_uid: chosen.series } : {}) } : { images };
  return { element, start: async () => (await startPipeline(plan.name, over, signal)).id };
}
