/** A form made from a JSON Schema: each property a field with its bounds, what is wrong said beside it. */

import type { Schema } from "../api/jobs";
import { h, newId, setAria } from "../dom";
import { text } from "../text";

const words = text.run;

/** What kind of field a property is; `optional` where it may be left to null. */
export interface Kind {
  type: "number" | "integer" | "boolean" | "choice" | "text" | "json";
  optional: boolean;
  schema: Schema;
  choices: unknown[];
}

export function kindOf(schema: Schema): Kind {
  const branches = schema.anyOf?.filter((each) => each.type !== "null") ?? [];
  const optional = Boolean(schema.anyOf?.some((each) => each.type === "null"));
  const real: Schema = branches.length === 1 ? { ...schema, ...branches[0] } : schema;
  if (branches.length > 1 && branches.every((each) => each.const !== undefined || each.enum)) {
    return { type: "choice", optional, schema: real, choices: branches.flatMap((each) => each.enum ?? [each.const]) };
  }
  if (real.enum || real.const !== undefined) return { type: "choice", optional, schema: real, choices: real.enum ?? [real.const] };
  const plain: Record<string, Kind["type"]> = { number: "number", integer: "integer", boolean: "boolean", string: "text" };
  return { type: (real.type !== undefined && plain[real.type]) || "json", optional, schema: real, choices: [] };
}

/** What a text means for a property, or what is wrong with it. `undefined` leaves it to its default. */
export function read(kind: Kind, typed: string, required = false): { value?: unknown; wrong?: string } {
  const { schema, type } = kind;
  const { faults } = words;
  if (typed.trim() === "") {
    if (required) return { wrong: faults.required };
    return kind.optional ? { value: null } : {};
  }
  if (type === "choice") return { value: kind.choices.find((choice) => JSON.stringify(choice) === typed) };
  if (type === "text") {
    if (schema.maxLength !== undefined && typed.length > schema.maxLength) return { wrong: faults.length(schema.maxLength) };
    return { value: typed };
  }
  if (type === "json") {
    try {
      return { value: JSON.parse(typed) as unknown };
    } catch {
      return { wrong: faults.json };
    }
  }
  const value = Number(typed);
  if (!Number.isFinite(value)) return { wrong: faults.number };
  if (type === "integer" && !Number.isInteger(value)) return { wrong: faults.whole };
  if (schema.minimum !== undefined && value < schema.minimum) return { wrong: faults.least(schema.minimum) };
  if (schema.exclusiveMinimum !== undefined && value <= schema.exclusiveMinimum) return { wrong: faults.more(schema.exclusiveMinimum) };
  if (schema.maximum !== undefined && value > schema.maximum) return { wrong: faults.most(schema.maximum) };
  if (schema.exclusiveMaximum !== undefined && value >= schema.exclusiveMaximum) return { wrong: faults.less(schema.exclusiveMaximum) };
  return { value };
}

export interface SchemaForm {
  element: HTMLElement;
  /** The parameters as they are set; null where something is wrong, which is said beside its field. */
  values: () => Record<string, unknown> | null;
}

export function schemaForm(schema: Schema): SchemaForm {
  const fields = Object.entries(schema.properties ?? {}).map(([name, each]) => field(name, each, schema.required?.includes(name) ?? false));
  const element = h(
    "div",
    { class: "fields", role: "group", aria: { label: words.parameters } },
    ...(fields.length ? fields.map((each) => each.element) : [h("p", { class: "quiet" }, words.noParameters)]),
  );
  const values = (): Record<string, unknown> | null => {
    const found: Record<string, unknown> = {};
    let wrong: HTMLElement | null = null;
    for (const each of fields) {
      const read_ = each.read();
      if (read_.wrong) wrong ??= each.input;
      else if (read_.value !== undefined) found[each.name] = read_.value;
    }
    wrong?.focus();
    return wrong ? null : found;
  };
  return { element, values };
}

interface Field {
  name: string;
  element: HTMLElement;
  input: HTMLElement;
  read: () => { value?: unknown; wrong?: string };
}

function field(name: string, schema: Schema, required: boolean): Field {
  const kind = kindOf(schema);
  const id = newId("parameter");
  const label = schema.title ?? name;
  const told = h("small", { id: `${id}-told` }, schema.description ?? "");
  const fault = h("span", { class: "bad", id: `${id}-fault`, role: "alert" });
  const aria = { describedby: `${id}-told ${id}-fault` };
  if (kind.type === "boolean") {
    const box = h("input", { type: "checkbox", id, checked: schema.default === true, aria });
    const element = h("div", { class: "field check" }, h("label", { for: id }, box, label), told);
    return { name, element, input: box, read: () => ({ value: box.checked }) };
  }
  const input = kind.type === "choice" ? choice(kind, id, schema.default, aria) : entry(kind, id, schema.default, aria);
  const check = (): { value?: unknown; wrong?: string } => {
    const found = read(kind, input.value, required);
    fault.textContent = found.wrong ?? "";
    setAria(input, { invalid: found.wrong ? "true" : undefined });
    return found;
  };
  input.addEventListener("change", check);
  return { name, input, read: check, element: h("div", { class: "field" }, h("label", { for: id }, label), input, told, fault) };
}

function entry(kind: Kind, id: string, given: unknown, aria: Record<string, string>): HTMLInputElement {
  const isNumber = kind.type === "number" || kind.type === "integer";
  const shown = given === null || given === undefined ? "" : kind.type === "json" ? JSON.stringify(given) : String(given);
  return h("input", {
    id,
    type: "text",
    inputMode: isNumber ? "decimal" : "text",
    autocomplete: "off",
    spellcheck: false,
    value: shown,
    placeholder: kind.optional ? words.empty : undefined,
    aria,
  });
}

function choice(kind: Kind, id: string, given: unknown, aria: Record<string, string>): HTMLSelectElement {
  const options = kind.choices.map((each) => h("option", { value: JSON.stringify(each), selected: each === given }, String(each)));
  return h("select", { id, aria }, kind.optional ? h("option", { value: "" }, words.empty) : null, ...options);
}
