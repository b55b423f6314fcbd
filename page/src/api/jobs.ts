/** Algorithms, pipelines and jobs: asked for, started, followed as they go. */

import { getJson, isAbort, Problem, request, sendJson } from "./client";

export interface Step {
  name: string;
  use: string;
  with: Record<string, unknown>;
}

export interface Pipeline {
  name: string;
  description: string;
  store: string;
  steps: Step[];
}

export interface Schema {
  type?: string;
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  maxLength?: number;
}

export interface Algorithm {
  name: string;
  version: string;
  description: string;
  takes: string[];
  gives: string[];
  parameters: Schema;
}

export interface StepCounts {
  name: string;
  done: number;
  rejected: number;
  unavailable: number;
  findings: number;
}

export interface Job {
  id: string;
  pipeline: string;
  state: "queued" | "running" | "paused" | "done" | "failed" | "cancelled";
  store: string;
  images: number;
  finished: number;
  rejected: number;
  unavailable: number;
  findings: number;
  images_per_second: number;
  seconds_left: number | null;
  created: string;
  changed: string | null;
  attempt: number;
  retry_of: string | null;
  code: string | null;
  steps: StepCounts[];
}

export interface Fault {
  image: string;
  step: string;
  code: string;
  retriable: boolean;
}

export interface Where {
  id: string;
  store: string | null;
  study_uid: string | null;
  series_uid: string | null;
}

export interface JobImage {
  image: Where;
  made: Where[];
}

export interface Finding {
  label: string;
  confidence: number;
  frame: number;
  box?: [number, number, number, number];
  polygon?: [number, number][];
  values?: Record<string, number>;
  /** Runs of the pixels of the box, row by row: so many that are not meant, so many that are, and so on. */
  mask?: number[];
}

export interface Made {
  image_id?: string | null;
  url?: string | null;
  media_type: string;
}

export interface Result {
  image: string;
  step: string;
  kind: string;
  said: Record<string, unknown>;
}

export interface Processed {
  job: string;
  state: string;
}

export const isOver = (job: Job): boolean => job.state === "done" || job.state === "failed" || job.state === "cancelled";

const at = (id: string): string => `jobs/${encodeURIComponent(id)}`;

export async function algorithms(signal?: AbortSignal): Promise<Algorithm[]> {
  return (await getJson<{ algorithms: Algorithm[] }>("algorithms", signal)).algorithms;
}

export async function pipelines(signal?: AbortSignal): Promise<Pipeline[]> {
  return (await getJson<{ pipelines: Pipeline[] }>("pipelines", signal)).pipelines;
}

export function startPipeline(name: string, over: Record<string, unknown>, signal?: AbortSignal): Promise<Job> {
  return sendJson("POST", `pipelines/${encodeURIComponent(name)}/runs`, over, signal);
}

/** Run an algorithm on one image; what comes back names the job, which may be under way still. */
export async function startAlgorithm(
  image: string,
  algorithm: string,
  parameters: Record<string, unknown>,
  signal?: AbortSignal,
): Promise<Processed> {
  return sendJson("POST", "process", { url: `isocenter:${image}`, algorithm, parameters }, signal);
}

export const job = (id: string, signal?: AbortSignal): Promise<Job> => getJson(at(id), signal);

export function jobs(query: URLSearchParams, signal?: AbortSignal): Promise<{ jobs: Job[]; next: string | null }> {
  return getJson(`jobs?${query}`, signal);
}

export function faults(id: string, after: number, limit: number, signal?: AbortSignal): Promise<{ faults: Fault[]; next: number | null }> {
  return getJson(`${at(id)}/faults?after=${after}&limit=${limit}`, signal);
}

export function jobImages(id: string, after: number, limit: number, signal?: AbortSignal): Promise<{ images: JobImage[]; next: number | null }> {
  return getJson(`${at(id)}/images?after=${after}&limit=${limit}`, signal);
}

export async function results(id: string, images: string[], signal?: AbortSignal): Promise<Result[]> {
  if (!images.length) return [];
  const query = new URLSearchParams(images.map((image) => ["image", image]));
  return (await getJson<{ results: Result[] }>(`${at(id)}/results?${query}`, signal)).results;
}

export function steer(id: string, act: "pause" | "resume" | "cancel" | "retry", signal?: AbortSignal): Promise<Job> {
  return sendJson("POST", `${at(id)}/${act}`, undefined, signal);
}

// ---- followed as they go

export interface Told {
  event: string;
  data: string;
  id: string;
}

/** Takes text as it comes and gives each server-sent event once it is whole. */
export class EventParser {
  private rest = "";

  push(chunk: string): Told[] {
    const all = this.rest + chunk;
    const end = all.endsWith("\r") ? all.length - 1 : all.length; // a line feed may follow
    const parts = all.slice(0, end).replace(/\r\n?/g, "\n").split("\n\n");
    this.rest = (parts.pop() ?? "") + all.slice(end);
    return parts.map(eventOf).filter((told) => told.data !== "");
  }
}

function eventOf(block: string): Told {
  const told: Told = { event: "message", data: "", id: "" };
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [, name = "", value = ""] = /^([a-z]+):? ?(.*)$/.exec(line) ?? [];
    if (name === "event") told.event = value;
    else if (name === "id") told.id = value;
    else if (name === "data") data.push(value);
  }
  told.data = data.join("\n");
  return told;
}

/** Server-sent events by fetch, since the key goes in a header. */
export async function* listen(path: string, signal: AbortSignal): AsyncGenerator<Told> {
  const answer = await request(path, { signal, headers: { Accept: "text/event-stream" } });
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  const parser = new EventParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield* parser.push(value);
  }
}

export function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((done, stop) => {
    const timer = window.setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => {
      window.clearTimeout(timer);
      stop(new DOMException("", "AbortError"));
    });
  });
}

const WAIT = 2000; // milliseconds between looks where the stream does not hold

/** Tell of each change of a job until it is over; looks now and then where no stream comes through. */
export async function follow(id: string, changed: (job: Job) => void, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      for await (const told of listen(`${at(id)}/events`, signal)) {
        const now = JSON.parse(told.data) as Job;
        changed(now);
        if (told.event === "end" || isOver(now)) return;
      }
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    try {
      const now = await job(id, signal);
      changed(now);
      if (isOver(now)) return;
      await rest(WAIT, signal);
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      if (!(error instanceof Problem) || (error.status !== 0 && error.status < 500)) throw error;
      await rest(WAIT, signal).catch(() => undefined);
    }
  }
}
