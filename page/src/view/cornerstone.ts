/** Cornerstone set up: raw frames as its images, what it asks of them, and the tools of one group for all panes. */

import * as core from "@cornerstonejs/core";
import {
  addTool,
  AngleTool,
  annotation,
  destroy as destroyTools,
  EllipticalROITool,
  EraserTool,
  init as initTools,
  LengthTool,
  PanTool,
  ProbeTool,
  RectangleROITool,
  ToolGroupManager,
  WindowLevelTool,
  ZoomTool,
} from "@cornerstonejs/tools";
import { measuring } from "./marks";
import type { Frame, Stack } from "./manifest";
import { valuesOf, type Numbers, type Values } from "./values";

export type StackViewport = core.Types.IStackViewport;

export interface FrameSource {
  stack: Stack;
  frame: Frame;
  modality: string;
  stored: (signal: AbortSignal) => Promise<Numbers>;
}

type Loaded = core.Types.IImage & { isocenter: Values };

export const ENGINE = "isocenter";
export const TOOLS = "isocenter";
const SCHEME = "isocenter";
const CACHE_BYTES = 768 << 20;

const sources = new Map<string, FrameSource>();
let numbered = 0;
let engine: core.RenderingEngine | null = null;

/** Names frames by numbers that nothing of an image goes into. */
export function register(source: FrameSource): string {
  numbered += 1;
  const id = `${SCHEME}:${numbered}`;
  sources.set(id, source);
  return id;
}

export function forget(ids: readonly string[]): void {
  for (const id of ids) {
    sources.delete(id);
    if (core.cache.getImageLoadObject(id)) core.cache.removeImageLoadObject(id, { force: true });
  }
}

export const sourceOf = (id: string): FrameSource | undefined => sources.get(id);

/** The values of a frame that is loaded; null before that. */
export function loadedValues(id: string): Values | null {
  return ((core.cache.getImage(id) as Loaded | undefined)?.isocenter ?? null);
}

export const isLoaded = (id: string): boolean => Boolean(core.cache.getImage(id));

const loading = new Map<string, Promise<void>>();

/** Load a frame and keep it; those under way are shared. What fails is told to every caller, and may be tried again. */
export function load(id: string): Promise<void> {
  if (isLoaded(id)) return Promise.resolve();
  let under = loading.get(id);
  if (!under) {
    // Cornerstone's own way leaves a rejection behind that nobody can catch.
    under = loader(id)
      .promise.then((image) => {
        if (sources.has(id) && !isLoaded(id)) core.cache.putImageSync(id, image);
      })
      .finally(() => loading.delete(id));
    loading.set(id, under);
  }
  return under;
}

export function renderingEngine(): core.RenderingEngine {
  if (engine) return engine;
  core.init({ rendering: { webGlContextCount: 4 } } as core.Types.Cornerstone3DConfig);
  initTools();
  core.cache.setMaxCacheSize(CACHE_BYTES);
  core.imageLoader.registerImageLoader(SCHEME, loader as unknown as core.Types.ImageLoaderFn);
  core.metaData.addProvider(told, 1000);
  const handling = [WindowLevelTool, ZoomTool, PanTool, EraserTool];
  for (const tool of [...handling, LengthTool, AngleTool, EllipticalROITool, RectangleROITool, ProbeTool]) addTool(tool);
  const group = ToolGroupManager.createToolGroup(TOOLS);
  for (const tool of handling) group?.addTool(tool.toolName);
  for (const [tool, lines] of measuring(sourceOf, loadedValues)) group?.addTool(tool, { getTextLines: lines });
  engine = new core.RenderingEngine(ENGINE);
  return engine;
}

export const usesCpu = (): boolean => core.getShouldUseCPURendering();

/** Let go of everything that was shown. */
export function shutDown(): void {
  annotation.state.removeAllAnnotations();
  core.cache.purgeCache();
  sources.clear();
  if (engine) {
    ToolGroupManager.destroyToolGroup(TOOLS);
    engine.destroy();
    destroyTools();
    core.metaData.removeProvider(told);
    engine = null;
  }
}

// ---- images

function loader(id: string): { promise: Promise<core.Types.IImage>; cancelFn: () => void } {
  const source = sources.get(id);
  const ended = new AbortController();
  const promise = source ? make(id, source, ended.signal) : Promise.reject(new Error(id));
  return { promise, cancelFn: () => ended.abort() };
}

async function make(id: string, source: FrameSource, signal: AbortSignal): Promise<core.Types.IImage> {
  const { stack, frame } = source;
  const values = valuesOf(await source.stored(signal), stack, frame);
  const colour = stack.form === "rgb8";
  const [rowSpacing, columnSpacing] = frame.spacing ?? [1, 1];
  const window = colour ? { center: 127.5, width: 255 } : { center: (values.least + values.most) / 2, width: Math.max(1, values.most - values.least) };
  const channels = colour ? 3 : 1;
  const voxelManager = core.utilities.VoxelManager.createImageVoxelManager({
    scalarData: values.shown,
    width: stack.columns,
    height: stack.rows,
    numberOfComponents: channels,
  });
  const image = {
    imageId: id,
    minPixelValue: values.least,
    maxPixelValue: values.most,
    slope: 1,
    intercept: 0,
    windowCenter: window.center,
    windowWidth: window.width,
    voiLUTFunction: "LINEAR",
    getPixelData: () => values.shown,
    voxelManager,
    rows: stack.rows,
    columns: stack.columns,
    height: stack.rows,
    width: stack.columns,
    color: colour,
    rgba: false,
    numberOfComponents: channels,
    columnPixelSpacing: columnSpacing,
    rowPixelSpacing: rowSpacing,
    invert: false,
    photometricInterpretation: colour ? "RGB" : "MONOCHROME2",
    dataType: values.shown.constructor.name,
    sizeInBytes: values.shown.byteLength + (values.stored?.byteLength ?? 0),
    preScale: { enabled: true, scaled: true, scalingParameters: { rescaleSlope: 1, rescaleIntercept: 0, modality: "OT" } },
    imageFrame: {},
    isocenter: values,
  };
  return image as unknown as Loaded;
}

// ---- what Cornerstone asks about an image

function told(kind: string, id: unknown): unknown {
  const source = typeof id === "string" ? sources.get(id) : undefined;
  return source ? modules[kind]?.(source) : undefined;
}

const modules: Record<string, (source: FrameSource) => unknown> = {
  imagePixelModule: ({ stack }) => {
    const colour = stack.form === "rgb8";
    const bits = { u8: 8, i16: 16, u16: 16, f32: 32, rgb8: 8 }[stack.form];
    return {
      pixelRepresentation: stack.form === "i16" ? 1 : 0,
      bitsAllocated: bits,
      bitsStored: bits,
      highBit: bits - 1,
      photometricInterpretation: colour ? "RGB" : "MONOCHROME2",
      samplesPerPixel: colour ? 3 : 1,
    };
  },
  imagePlaneModule: ({ stack, frame }) => {
    const cosines = frame.orientation ?? [1, 0, 0, 0, 1, 0];
    const [rowPixelSpacing, columnPixelSpacing] = frame.spacing ?? [1, 1];
    return {
      rows: stack.rows,
      columns: stack.columns,
      imageOrientationPatient: cosines,
      rowCosines: cosines.slice(0, 3),
      columnCosines: cosines.slice(3),
      imagePositionPatient: frame.position ?? [0, 0, frame.frame],
      rowPixelSpacing,
      columnPixelSpacing,
      pixelSpacing: [rowPixelSpacing, columnPixelSpacing],
      frameOfReferenceUID: "isocenter",
      usingDefaultValues: false,
    };
  },
  // Units are told by our own lines; a modality of its own would have Cornerstone guess at them.
  generalSeriesModule: () => ({ modality: "OT", seriesInstanceUID: "isocenter" }),
  voiLutModule: () => ({}),
  modalityLutModule: () => ({ rescaleSlope: 1, rescaleIntercept: 0 }),
  calibratedPixelSpacing: ({ stack }) => (stack.regions.length ? regions(stack) : undefined),
};

/** Ultrasound regions by Cornerstone's names; one object for each stack, since it compares them by identity. */
const calibrations = new WeakMap<Stack, object>();

function regions(stack: Stack): object {
  const known = calibrations.get(stack);
  if (known) return known;
  const made = {
    sequenceOfUltrasoundRegions: stack.regions.map((region) => ({
      regionDataType: 1,
      regionLocationMinX0: region.x0,
      regionLocationMinY0: region.y0,
      regionLocationMaxX1: region.x1,
      regionLocationMaxY1: region.y1,
      physicalUnitsXDirection: region.unitsX,
      physicalUnitsYDirection: region.unitsY,
      physicalDeltaX: region.deltaX,
      physicalDeltaY: region.deltaY,
    })),
  };
  calibrations.set(stack, made);
  return made;
}
