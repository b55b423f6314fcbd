/** What the server tells of a series or image before its first frame, put into stacks to scroll through. */

import { getJson } from "../api/client";

export interface Window {
  center: number;
  width: number;
  function: "LINEAR" | "LINEAR_EXACT" | "SIGMOID";
  told: string;
}

export type Vector = [number, number, number];

export interface Frame {
  image: string;
  instance: string | null;
  frame: number;
  number: number | null;
  slope: number;
  intercept: number;
  units: string | null;
  windows: Window[];
  /** Millimetres from row to row, and from column to column. */
  spacing: [number, number] | null;
  measured: "patient" | "detector" | "scanned" | null;
  position: Vector | null;
  orientation: [number, number, number, number, number, number] | null;
  thickness: number | null;
  laterality: string | null;
}

export type Form = "u8" | "i16" | "u16" | "f32" | "rgb8";

export interface Region {
  x0: number | null;
  y0: number | null;
  x1: number | null;
  y1: number | null;
  unitsX: number | null;
  unitsY: number | null;
  deltaX: number | null;
  deltaY: number | null;
}

export interface Shape {
  rows: number;
  columns: number;
  form: Form;
  bitsStored: number;
  inverted: boolean;
  padding: [number, number] | null;
  frameTime: number | null;
  regions: Region[];
}

export interface Stack extends Shape {
  frames: Frame[];
}

export interface Volume {
  image: string;
  form: Form;
  /** Voxels to the patient's left, to posterior, to inferior. */
  sides: Vector;
  spacing: Vector;
  step: number;
  slope: number;
  intercept: number;
  volumes: number;
}

export interface Manifest {
  kind: string;
  store: string;
  told: Record<string, string>;
  stacks: Stack[];
  volume?: Volume;
  leftOut: { image: string; code: string; detail: string }[];
}

export interface SeriesPlace {
  store: string;
  study: string;
  series: string;
}

export function seriesManifest({ store, study, series }: SeriesPlace, signal: AbortSignal): Promise<Manifest> {
  return getJson(`viewing/series/${encodeURIComponent(store)}/${study}/${series}`, signal);
}

export function imageManifest(id: string, signal: AbortSignal): Promise<Manifest> {
  return getJson(`viewing/images/${encodeURIComponent(id)}`, signal);
}

/** "store/study/series" as addresses have it; null for anything else. */
export function seriesPlace(text: string): SeriesPlace | null {
  const found = /^([^/]{1,64})\/([0-9.]{1,64})\/([0-9.]{1,64})$/.exec(text);
  return found ? { store: found[1]!, study: found[2]!, series: found[3]! } : null;
}

export type Plane = "axial" | "coronal" | "sagittal";
export const PLANES: readonly Plane[] = ["axial", "coronal", "sagittal"];

/** One plane of a volume as a stack, in radiological convention; frames count from 1 in the direction of scrolling. */
export function planeStack(volume: Volume, plane: Plane): Stack {
  const [x, y, z] = volume.sides;
  const [dx, dy, dz] = volume.spacing;
  const [columns, rows, count] = { axial: [x, y, z], coronal: [x, z, y], sagittal: [y, z, x] }[plane] as Vector;
  const spacing = { axial: [dy, dx], coronal: [dz, dx], sagittal: [dz, dy] }[plane] as [number, number];
  const orientation = { axial: [1, 0, 0, 0, 1, 0], coronal: [1, 0, 0, 0, 0, -1], sagittal: [0, 1, 0, 0, 0, -1] }[plane];
  const position = (index: number): Vector =>
    ({ axial: [0, 0, -index * dz], coronal: [0, index * dy, 0], sagittal: [index * dx, 0, 0] })[plane] as Vector;
  const frames = Array.from({ length: count }, (_, index): Frame => ({
    image: volume.image,
    instance: null,
    frame: index + 1,
    number: index + 1,
    slope: volume.slope,
    intercept: volume.intercept,
    units: null,
    windows: [],
    spacing,
    measured: "patient",
    position: position(index),
    orientation: orientation as Frame["orientation"],
    thickness: null,
    laterality: null,
  }));
  const shape = { rows, columns, form: volume.form, bitsStored: 0, inverted: false, padding: null, frameTime: null };
  return { ...shape, regions: [], frames };
}
