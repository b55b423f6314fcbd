/** Frames as arrays of numbers: fetched raw, turned to modality values where that is exact, never decoded here. */

import { Problem, request } from "../api/client";
import { text } from "../text";
import { planeStack, type Form, type Frame, type Plane, type Shape, type Stack, type Volume } from "./manifest";

export type Numbers = Uint8Array | Int16Array | Uint16Array | Float32Array;

export interface Values {
  /** What is windowed: values after slope and intercept, or RGB. */
  shown: Numbers;
  /** What is stored, where that does not follow from `shown` exactly. */
  stored: Numbers | null;
  least: number;
  most: number;
}

const MAKERS = { u8: Uint8Array, i16: Int16Array, u16: Uint16Array, f32: Float32Array, rgb8: Uint8Array } as const;

export async function fetchValues(image: string, frame: number, signal: AbortSignal): Promise<ArrayBuffer> {
  const path = `viewing/images/${encodeURIComponent(image)}/frames/${frame}`;
  const answer = await request(path, { signal, headers: { Accept: "application/octet-stream" } });
  return answer.arrayBuffer();
}

export function arrayOf(form: Form, buffer: ArrayBuffer, count: number): Numbers {
  const Maker = MAKERS[form];
  if (buffer.byteLength !== count * Maker.BYTES_PER_ELEMENT) throw new Problem(0, "short", text.problems.unexpected);
  return new Maker(buffer);
}

/** Values of one frame, ready to be windowed. */
export function valuesOf(stored: Numbers, shape: Shape, frame: Frame): Values {
  if (shape.form === "rgb8") return { shown: stored, stored: null, least: 0, most: 255 };
  const { slope, intercept } = frame;
  const [least, most] = range(stored, shape.padding);
  const ends: [number, number] = [least * slope + intercept, most * slope + intercept];
  const between = { least: Math.min(...ends), most: Math.max(...ends) };
  if (slope === 1 && intercept === 0) return { shown: stored, stored: null, ...between };
  const shown = fits(stored, slope, intercept) ? new Int16Array(stored.length) : new Float32Array(stored.length);
  for (let i = 0; i < stored.length; i += 1) shown[i] = stored[i]! * slope + intercept;
  return { shown, stored: shown instanceof Int16Array ? null : stored, ...between };
}

/** Whether all values become whole numbers that 16 bits hold, padding included. */
function fits(stored: Numbers, slope: number, intercept: number): boolean {
  if (stored instanceof Float32Array || !Number.isInteger(slope) || !Number.isInteger(intercept)) return false;
  const [least, most] = range(stored, null);
  const ends = [least * slope + intercept, most * slope + intercept];
  return Math.min(...ends) >= -32768 && Math.max(...ends) <= 32767;
}

/** The least and greatest value that are neither padding nor infinite. */
export function range(values: Numbers, padding: [number, number] | null): [number, number] {
  let least = Infinity;
  let most = -Infinity;
  const [from, to] = padding ?? [NaN, NaN];
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i]!;
    if ((value >= from && value <= to) || value - value !== 0) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return least > most ? [0, 0] : [least, most];
}

/** What a pixel says: the stored value, and the one that slope and intercept lead to, in doubles. */
export function pixelValue(values: Pick<Values, "shown" | "stored">, place: number, frame: Frame): { stored: number; value: number } {
  const shown = values.shown[place] ?? NaN;
  if (values.stored) {
    const stored = values.stored[place] ?? NaN;
    return { stored, value: stored * frame.slope + frame.intercept };
  }
  return { stored: (shown - frame.intercept) / frame.slope, value: shown };
}

/** A volume is fetched once and cut into slices here. */
export class VolumeValues {
  private fetched: Promise<Numbers> | null = null;
  private readonly ended = new AbortController();
  private span: Promise<[number, number]> | null = null;

  constructor(readonly volume: Volume) {}

  voxels(): Promise<Numbers> {
    const [x, y, z] = this.volume.sides;
    const samples = x * y * z * (this.volume.form === "rgb8" ? 3 : 1);
    this.fetched ??= fetchValues(this.volume.image, 1, this.ended.signal).then((buffer) => arrayOf(this.volume.form, buffer, samples));
    this.fetched.catch(() => {
      this.fetched = null; // it may be tried again
    });
    return this.fetched;
  }

  /** Nearly all values of the whole volume, so that its planes look alike. */
  window(): Promise<[number, number]> {
    this.span ??= this.voxels().then((voxels) => spread(voxels, this.volume.slope, this.volume.intercept));
    return this.span;
  }

  async slice(plane: Plane, index: number): Promise<Numbers> {
    return cut(await this.voxels(), this.volume, plane, index);
  }

  stack(plane: Plane): Stack {
    return planeStack(this.volume, plane);
  }

  close(): void {
    this.ended.abort();
  }
}

/** One slice out of voxels that lie x fastest, then y, then z. */
export function cut(voxels: Numbers, volume: Pick<Volume, "sides" | "form">, plane: Plane, index: number): Numbers {
  const [x, y, z] = volume.sides;
  const channels = volume.form === "rgb8" ? 3 : 1;
  const Maker = MAKERS[volume.form];
  if (plane === "axial") return voxels.slice(index * x * y * channels, (index + 1) * x * y * channels);
  const columns = plane === "coronal" ? x : y;
  const found = new Maker(columns * z * channels);
  const [start, step] = plane === "coronal" ? [index * x, 1] : [index, x];
  for (let row = 0, at = 0; row < z; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const from = (row * x * y + start + column * step) * channels;
      for (let channel = 0; channel < channels; channel += 1, at += 1) found[at] = voxels[from + channel]!;
    }
  }
  return found;
}

/** From the first to the last but half a percent of a sample of the values. */
export function spread(values: Numbers, slope: number, intercept: number): [number, number] {
  const step = Math.max(1, Math.floor(values.length / 200_000));
  const sample: number[] = [];
  for (let i = 0; i < values.length; i += step) {
    const value = values[i]! * slope + intercept;
    if (Number.isFinite(value)) sample.push(value);
  }
  if (!sample.length) return [0, 1];
  sample.sort((a, b) => a - b);
  const at = (share: number): number => sample[Math.min(sample.length - 1, Math.floor(share * sample.length))]!;
  const [low, high] = [at(0.01), at(0.995)];
  return high > low ? [low, high] : [sample[0]!, Math.max(sample.at(-1)!, sample[0]! + 1)];
}
