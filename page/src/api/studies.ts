/** Search by QIDO-RS: studies and series as plain rows, page by page. */

import { getJson, Problem, request } from "./client";

type Attribute = { vr: string; Value?: unknown[] };
type Model = Record<string, Attribute>;

export interface Study {
  store: string;
  uid: string;
  name: string;
  patientId: string;
  birthDate: string;
  sex: string;
  date: string;
  time: string;
  description: string;
  accession: string;
  modalities: string[];
  series: number;
  instances: number;
}

export interface Series {
  store: string;
  study: string;
  uid: string;
  number: string;
  modality: string;
  description: string;
  bodyPart: string;
  instances: number;
}

export interface Found<T> {
  items: T[];
  total: number | null;
  /** The address of the rest; null at the end. */
  next: string | null;
}

export interface Sought {
  store: string;
  /** Part of a name, id, accession number or description. */
  words: string;
  from: string;
  to: string;
  modality: string;
  order: string;
}

export function first(model: Model, tag: string): string {
  const value = model[tag]?.Value?.[0];
  if (value === null || value === undefined) return "";
  if (typeof value === "object") return nameOf(value as Record<string, unknown>);
  return String(value);
}

function all(model: Model, tag: string): string[] {
  return (model[tag]?.Value ?? []).filter((value) => value !== null).map(String);
}

function nameOf(groups: Record<string, unknown>): string {
  const shown = groups["Alphabetic"] ?? groups["Ideographic"] ?? groups["Phonetic"] ?? "";
  return personName(String(shown));
}

/** "Family^Given^Middle^Prefix^Suffix" as it is read: "Family, Given Middle". */
export function personName(raw: string): string {
  const [family = "", given = "", middle = "", prefix = "", suffix = ""] = raw.split("^").map((part) => part.trim());
  const rest = [prefix, given, middle, suffix].filter(Boolean).join(" ");
  return family && rest ? `${family}, ${rest}` : family || rest;
}

const rootOf = (store: string): string => `stores/${encodeURIComponent(store)}/dicomweb`;

/** A key that words are looked for under, one request each: QIDO knows no "or" between keys. */
export interface Key {
  name: string;
  value: string;
  /** Each word begins a word of the name, in any order. */
  fuzzy?: boolean;
}

/** What people type, as a wildcard; what is a wildcard itself stands for one letter. */
export function wildcard(words: string): string {
  return `*${words.trim().replace(/[*?\\]/g, "?")}*`;
}

/** The keys to ask for. Names are found whatever their case; the rest tells case apart, so usual writings are asked for. */
export function keysFor(words: string): Key[] {
  const plain = words.trim();
  if (!plain) return [];
  const upper = plain.toUpperCase();
  const codes = [...new Set([plain, upper])];
  const texts = [...new Set([...codes, plain.toLowerCase(), upper.slice(0, 1) + plain.slice(1).toLowerCase()])];
  const name = plain.replace(/[,;^=*?\\]/g, " ").replace(/\s+/g, " ").trim();
  return [
    { name: "PatientName", value: wildcard(plain) },
    ...(name ? [{ name: "PatientName", value: name, fuzzy: true }] : []),
    ...codes.map((each) => ({ name: "PatientID", value: wildcard(each) })),
    ...codes.map((each) => ({ name: "AccessionNumber", value: wildcard(each) })),
    ...texts.map((each) => ({ name: "StudyDescription", value: wildcard(each) })),
  ];
}

export function studiesQuery(sought: Sought, key: Key | null, limit: number): string {
  const query = new URLSearchParams({ limit: String(limit), orderby: sought.order });
  if (key !== null) query.set(key.name, key.value);
  if (key?.fuzzy) query.set("fuzzymatching", "true");
  if (sought.from || sought.to) query.set("StudyDate", `${compact(sought.from)}-${compact(sought.to)}`);
  if (sought.modality) query.set("ModalitiesInStudy", sought.modality);
  query.append("includefield", "StudyDescription");
  return `${rootOf(sought.store)}/studies?${query}`;
}

const compact = (date: string): string => date.replaceAll("-", "");

export async function page<T>(address: string, read: (model: Model) => T, signal?: AbortSignal): Promise<Found<T>> {
  const init: RequestInit = { headers: { Accept: "application/dicom+json" } };
  if (signal) init.signal = signal;
  const answer = await request(address, init);
  const models = answer.status === 204 ? [] : ((await answer.json()) as Model[]);
  const total = Number(answer.headers.get("X-Total-Count") ?? NaN);
  return { items: models.map(read), total: Number.isFinite(total) ? total : null, next: nextOf(answer) };
}

function nextOf(answer: Response): string | null {
  const found = /<([^>]+)>;\s*rel="?next"?/.exec(answer.headers.get("Link") ?? "");
  if (!found?.[1]) return null;
  const url = new URL(found[1], answer.url);
  return `${url.pathname}${url.search}`.replace(new URL(document.baseURI).pathname, "");
}

export function studyOf(store: string): (model: Model) => Study {
  return (model) => ({
    store,
    uid: first(model, "0020000D"),
    name: first(model, "00100010"),
    patientId: first(model, "00100020"),
    birthDate: first(model, "00100030"),
    sex: first(model, "00100040"),
    date: first(model, "00080020"),
    time: first(model, "00080030"),
    description: first(model, "00081030"),
    accession: first(model, "00080050"),
    modalities: all(model, "00080061"),
    series: Number(first(model, "00201206") || 0),
    instances: Number(first(model, "00201208") || 0),
  });
}

export function seriesOf(store: string): (model: Model) => Series {
  return (model) => ({
    store,
    study: first(model, "0020000D"),
    uid: first(model, "0020000E"),
    number: first(model, "00200011"),
    modality: first(model, "00080060"),
    description: first(model, "0008103E"),
    bodyPart: first(model, "00180015"),
    instances: Number(first(model, "00201209") || 0),
  });
}

export function seriesQuery(store: string, study: string, limit = 200): string {
  return `${rootOf(store)}/studies/${study}/series?limit=${limit}&orderby=SeriesNumber&includefield=SeriesDescription`;
}

/** One study by its UID; null where it is not there. */
export async function oneStudy(store: string, uid: string, signal?: AbortSignal): Promise<Study | null> {
  const query = new URLSearchParams({ StudyInstanceUID: uid, limit: "1", includefield: "StudyDescription" });
  const found = await page(`${rootOf(store)}/studies?${query}`, studyOf(store), signal);
  return found.items[0] ?? null;
}

const WITHOUT_PICTURE = new Set(["AU", "ASMT", "DOC", "KO", "M3D", "PLAN", "PR", "REG", "RTPLAN", "RTRECORD", "RTSTRUCT", "SR"]);

/** Whether there is something to be seen: reports, marks and plans have no pixels. */
export const isSeen = (series: Series): boolean => !WITHOUT_PICTURE.has(series.modality);

export function seriesThumbnail(series: Series, side = 128): string {
  return `${rootOf(series.store)}/studies/${series.study}/series/${series.uid}/thumbnail?viewport=${side},${side}`;
}

export function studyThumbnail(study: Study, side = 128): string {
  return `${rootOf(study.store)}/studies/${study.uid}/thumbnail?viewport=${side},${side}`;
}

// ---- images that are no DICOM

export interface Image {
  id: string;
  store: string;
  kind: string;
  subject_id: string;
  image_id: string;
  media_type: string;
  size: number;
  created: string;
}

export async function images(
  query: Record<string, string>,
  signal?: AbortSignal,
): Promise<{ images: Image[]; next: string | null }> {
  return getJson(`images?${new URLSearchParams(query)}`, signal);
}

// ---- stores

export interface Store {
  name: string;
  identified: boolean;
  scopes: string[];
}

let known: Promise<Store[]> | null = null;

/** The stores the caller may read; none where reading is not allowed at all. */
export function stores(): Promise<Store[]> {
  known ??= getJson<{ stores: Store[] }>("viewing/stores").then(
    (answer) => answer.stores,
    (error: unknown) => {
      known = null;
      if (error instanceof Problem && error.status === 403) return [];
      throw error;
    },
  );
  return known;
}

export function forgetStores(): void {
  known = null;
}
