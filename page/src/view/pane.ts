/** One place for images: a stack on the screen, what is written on it, and getting there without a blank. */

import * as core from "@cornerstonejs/core";
import { ToolGroupManager } from "@cornerstonejs/tools";
import { isAbort, wordsFor } from "../api/client";
import { h, replace, setAria } from "../dom";
import { date, decimal, time } from "../format";
import { personName } from "../api/studies";
import { text } from "../text";
import {
  ENGINE,
  forget,
  isLoaded,
  load,
  loadedValues,
  register,
  renderingEngine,
  sourceOf,
  TOOLS,
  usesCpu,
  type StackViewport,
} from "./cornerstone";
import { around, depth, letters, nearest, parallel, scaleBar } from "./geometry";
import type { Frame, Stack } from "./manifest";
import { valueAt } from "./marks";
import { centreAndWidth, presetsOf, type Preset } from "./presets";
import type { Numbers } from "./values";

/** A stack with what is told beside it, and a way to its values. */
export interface Content {
  key: string;
  label: string;
  stack: Stack;
  told: Record<string, string>;
  store: string;
  identified: boolean;
  notes: string[];
  stored: (frame: Frame, signal: AbortSignal) => Promise<Numbers>;
  /** Lower and upper end to begin with, where not the frame's own. */
  window?: () => Promise<[number, number]>;
}

export interface PaneEvents {
  chosen: (pane: Pane) => void;
  moved: (pane: Pane, by: number) => void;
  looked: (pane: Pane) => void;
  windowed: (pane: Pane) => void;
  drawn: (pane: Pane) => void;
}

const words = text.view;
const AHEAD_BYTES = 384 << 20;
const AT_ONCE = 4;
let numbered = 0;

export class Pane {
  readonly id: string;
  readonly element: HTMLElement;
  content: Content | null = null;
  index = 0;
  presets: Preset[] = [];
  /** Which tool a drag of the left button is for, where the pane itself follows it. */
  scrollsByDrag = false;
  quiet = false; // while another pane moves this one
  private ids: string[] = [];
  private readonly canvas = h("div", { class: "canvas" });
  private readonly corners = { tl: corner("tl"), tr: corner("tr"), bl: corner("bl"), br: corner("br") };
  private readonly edges = { left: edge("left"), right: edge("right"), top: edge("upper"), bottom: edge("lower") };
  private readonly scale = h("div", { class: "scale" }, h("span"));
  private readonly cover = h("div", { class: "cover" });
  private readonly busy = h("div", { class: "loading", hidden: true }, h("span", { class: "spinner" }));
  private readonly slider = h("input", { type: "range", class: "slider", min: 0, max: 0, step: 1, value: "0" });
  private readonly readout = h("span", { class: "readout" });
  private readonly position = h("strong");
  private readonly zoomed = h("span");
  private readonly windowed = h("span", { class: "window" });
  private readonly below = h("span");
  private token = 0;
  private forward = true;
  private opened = new AbortController();
  private prefetching = 0;
  private wheel = 0;
  private dragged: { y: number; rest: number } | null = null;

  constructor(
    place: number,
    private readonly events: PaneEvents,
    private readonly signal: AbortSignal,
  ) {
    numbered += 1;
    this.id = `pane-${numbered}`;
    setAria(this.slider, { label: words.slider });
    const { tl, tr, bl, br } = this.corners;
    this.element = h(
      "div",
      { class: "pane", role: "group", tabindex: 0, data: { pane: String(place) }, aria: { label: words.viewport(place) } },
      this.canvas,
      h("div", { class: "overlay" }, tl, tr, bl, br, ...Object.values(this.edges), this.scale),
      this.busy,
      this.cover,
      this.slider,
    );
    bl.append(this.readout, this.position, this.below);
    br.append(this.windowed, this.zoomed);
    this.listen();
    this.empty();
  }

  get viewport(): StackViewport {
    return renderingEngine().getViewport(this.id) as StackViewport;
  }

  /** Begin to draw; the element has to be in the document. */
  enable(): void {
    renderingEngine().enableElement({
      viewportId: this.id,
      type: core.Enums.ViewportType.STACK,
      element: this.canvas,
      defaultOptions: { background: [0, 0, 0] },
    });
    ToolGroupManager.getToolGroup(TOOLS)?.addViewport(this.id, ENGINE);
    const redraw = (): void => this.drawn();
    this.canvas.addEventListener(core.Enums.Events.CAMERA_MODIFIED, () => {
      this.drawn();
      if (!this.quiet) this.events.looked(this);
    });
    this.canvas.addEventListener(core.Enums.Events.VOI_MODIFIED, () => {
      this.drawn();
      if (!this.quiet) this.events.windowed(this);
    });
    this.canvas.addEventListener(core.Enums.Events.IMAGE_RENDERED, redraw);
  }

  disable(): void {
    this.opened.abort();
    ToolGroupManager.getToolGroup(TOOLS)?.removeViewports(ENGINE, this.id);
    renderingEngine().disableElement(this.id);
    forget(this.ids);
    this.ids = [];
  }

  // ---- opening

  empty(): void {
    this.hide(h("p", null, words.empty));
  }

  /** Nothing of what stood here before is left to be seen. */
  private hide(...told: (Node | string)[]): void {
    this.element.classList.remove("shown");
    replace(this.cover, ...told);
    this.cover.hidden = told.length === 0;
    replace(this.corners.tl);
    replace(this.corners.tr);
    for (const each of [this.readout, this.position, this.windowed, this.zoomed, this.below, ...Object.values(this.edges)]) each.textContent = "";
    this.scale.hidden = true;
    this.slider.hidden = true;
  }

  fail(error: unknown): void {
    this.busy.hidden = true;
    this.hide(h("strong", null, words.failed), h("p", { role: "alert" }, wordsFor(error)));
  }

  wait(): void {
    this.opened.abort();
    this.token += 1;
    this.hide();
    this.busy.hidden = false;
  }

  async open(content: Content, index?: number): Promise<void> {
    this.opened.abort();
    this.opened = new AbortController();
    const { signal } = this.opened;
    this.prepare(content);
    const start = index ?? (content.stack.frames.length > 1 && content.key.startsWith("volume") ? Math.floor(content.stack.frames.length / 2) : 0);
    this.index = Math.min(start, content.stack.frames.length - 1);
    const token = ++this.token;
    try {
      const id = this.ids[this.index]!;
      const [span] = await Promise.all([content.window?.(), load(id)]);
      if (signal.aborted || token !== this.token || this.signal.aborted) return;
      await this.viewport.setStack(this.ids, this.index);
      if (signal.aborted || token !== this.token || this.signal.aborted) return;
      this.begin(span);
    } catch (error) {
      if (!isAbort(error) && !signal.aborted && token === this.token) this.fail(error);
    }
  }

  private prepare(content: Content): void {
    const old = this.ids;
    this.hide();
    this.busy.hidden = false;
    this.content = content;
    const modality = content.told["modality"] ?? "";
    this.ids = content.stack.frames.map((frame) =>
      register({ stack: content.stack, frame, modality, stored: (signal) => content.stored(frame, signal) }),
    );
    window.setTimeout(() => forget(old), 0);
  }

  private begin(span: [number, number] | undefined): void {
    const { content } = this;
    if (!content) return;
    const values = loadedValues(this.ids[this.index]!);
    const [least, most] = span ?? [values?.least ?? 0, values?.most ?? 255];
    const whole = content.stack.form === "u8" && !content.stack.frames[0]?.windows.length;
    const ends: [number, number] =
      whole && !span ? [0, 2 ** (content.stack.bitsStored || 8) - 1] : [least, most];
    if (ends[1] <= ends[0]) ends[1] = ends[0] + 1; // all of one value
    this.presets =
      content.stack.form === "rgb8" ? [] : presetsOf(this.frame!, content.told["modality"] ?? "", ...ends);
    this.reset(true);
    this.element.classList.add("shown");
    this.busy.hidden = true;
    this.cover.hidden = true;
    this.slider.max = String(this.ids.length - 1);
    this.slider.hidden = this.ids.length < 2;
    this.tell();
    this.prefetch();
    this.events.chosen(this);
  }

  get frame(): Frame | undefined {
    return this.content?.stack.frames[this.index];
  }

  get count(): number {
    return this.content?.stack.frames.length ?? 0;
  }

  get shown(): boolean {
    return this.element.classList.contains("shown");
  }

  // ---- moving

  move(by: number): void {
    if (this.count) void this.show(this.index + by);
  }

  /** Go to an image; what is shown stays until the new one is there, and goes when it cannot be had. */
  async show(wanted: number, follow = true): Promise<boolean> {
    if (!this.content || !this.element.classList.contains("shown") && this.cover.hidden) return false;
    const index = Math.max(0, Math.min(this.count - 1, wanted));
    const by = index - this.index;
    if (by === 0 && this.shown) return false;
    this.forward = by >= 0;
    this.index = index;
    const token = ++this.token;
    if (follow) this.events.moved(this, by);
    const id = this.ids[index]!;
    try {
      if (!isLoaded(id)) {
        const waiting = window.setTimeout(() => (this.busy.hidden = false), 150);
        try {
          await load(id);
        } finally {
          window.clearTimeout(waiting);
        }
      }
      if (token !== this.token || this.signal.aborted) return false;
      await this.viewport.setImageIdIndex(index);
      if (token !== this.token || this.signal.aborted) return false;
      this.busy.hidden = true;
      this.cover.hidden = true;
      this.element.classList.add("shown");
      this.slider.hidden = this.ids.length < 2;
      this.tell();
    } catch (error) {
      if (token === this.token && !isAbort(error)) {
        this.fail(error);
        this.slider.hidden = this.ids.length < 2;
      }
    }
    this.prefetch();
    return true;
  }

  /** Show the frame that lies where another's does, or as many further on. */
  follow(other: Pane, by: number): void {
    const [mine, theirs] = [this.frame, other.frame];
    if (!mine || !theirs || !this.content) return;
    const wanted = depth(theirs);
    const place = wanted !== null && parallel(mine, theirs) ? nearest(this.content.stack.frames, wanted) : null;
    void this.show(place ?? this.index + by, false);
  }

  /** Fetch what lies around, ahead first, as far as memory goes. */
  private prefetch(): void {
    const { content } = this;
    if (!content || content.key.startsWith("volume")) return;
    const one = content.stack.rows * content.stack.columns * { u8: 1, i16: 2, u16: 4, f32: 8, rgb8: 3 }[content.stack.form];
    const room = Math.max(2, Math.floor(AHEAD_BYTES / one));
    const wanted = around(this.index, this.count, Math.ceil(room * 0.7), Math.floor(room * 0.3), this.forward);
    const rest = wanted.map((place) => this.ids[place]!).filter((id) => !isLoaded(id));
    const turn = ++this.prefetching;
    const lane = async (): Promise<void> => {
      while (rest.length && turn === this.prefetching && !this.opened.signal.aborted && !this.signal.aborted) {
        const id = rest.shift()!;
        await load(id).catch(() => undefined); // told when one comes to it
      }
    };
    for (let lanes = 0; lanes < AT_ONCE; lanes += 1) void lane();
  }

  // ---- looking

  applyPreset(preset: Preset): void {
    const { LINEAR, SAMPLED_SIGMOID } = core.Enums.VOILUTFunctionType;
    this.viewport.setProperties({
      voiRange: { lower: preset.lower, upper: preset.upper },
      // Without WebGL all windows are linear.
      ...(usesCpu() ? {} : { VOILUTFunction: preset.sigmoid ? SAMPLED_SIGMOID : LINEAR }),
    });
    this.viewport.render();
    if (!this.quiet) this.events.windowed(this);
  }

  reset(opening = false): void {
    const { viewport } = this;
    const colour = this.content?.stack.form === "rgb8";
    viewport.setCamera({ flipHorizontal: false, flipVertical: false });
    viewport.setViewPresentation({ rotation: 0 });
    viewport.resetCamera();
    viewport.setProperties({
      invert: !colour && (this.content?.stack.inverted ?? false),
      interpolationType: core.Enums.InterpolationType.LINEAR,
      ...(colour ? { voiRange: { lower: 0, upper: 255 } } : {}),
    });
    const first = this.presets.find((preset) => preset.group === "header") ?? this.autoPreset() ?? this.presets[0];
    if (first) this.applyPreset(first);
    viewport.render();
    if (!opening) this.tell();
  }

  private autoPreset(): Preset | undefined {
    return this.presets.find((preset) => preset.name === words.presets["auto"]);
  }

  invert(): void {
    const { invert } = this.viewport.getProperties();
    this.viewport.setProperties({ invert: !invert });
    this.viewport.render();
  }

  rotate(): void {
    const rotation = ((this.viewport.getViewPresentation().rotation ?? 0) + 90) % 360;
    this.viewport.setViewPresentation({ rotation });
    this.viewport.render();
  }

  flip(across: boolean): void {
    const camera = this.viewport.getCamera();
    this.viewport.setCamera(across ? { flipHorizontal: !camera.flipHorizontal } : { flipVertical: !camera.flipVertical });
    this.viewport.render();
  }

  /** Zoom, pan, rotation and flips as they were, after the place has another size; nothing else moves by it. */
  look(presentation: core.Types.ViewPresentation): void {
    this.quiet = true;
    try {
      // Without WebGL Cornerstone tells and takes pan by different measures: there the image fills its place anew.
      const { flipHorizontal = false, flipVertical = false } = presentation;
      if (usesCpu()) this.viewport.setCamera({ flipHorizontal, flipVertical });
      else this.viewport.setViewPresentation(presentation);
      this.viewport.render();
    } finally {
      this.quiet = false;
    }
  }

  zoom(factor: number): void {
    this.viewport.setZoom(this.viewport.getZoom() * factor);
    this.viewport.render();
  }

  // ---- telling

  /** What is written in the corners; done anew for each image. */
  private tell(): void {
    const { content, frame } = this;
    if (!content || !frame) return;
    const { told, stack } = content;
    const lines = (corner_: HTMLElement, ...parts: (string | null | false | undefined)[]): void =>
      replace(corner_, ...parts.filter((part): part is string => Boolean(part)).map((part) => h("span", null, part)));
    const person = told["patientName"] ? personName(told["patientName"].split("=")[0] ?? "") : told["subject"];
    const born = told["patientBirthDate"] ? `${words.born} ${date(told["patientBirthDate"])}` : "";
    lines(this.corners.tl, person, told["patientId"] ?? told["image"], [born, told["patientSex"]].filter(Boolean).join(" "));
    if (content.store) {
      const store = content.identified ? words.identifiedStore(content.store) : words.plainStore(content.store);
      this.corners.tl.append(h("span", { class: content.identified ? "mark identified" : "mark" }, store));
    }
    const when = [date(told["studyDate"] ?? ""), time(told["studyTime"] ?? "")].filter(Boolean).join(" ");
    lines(this.corners.tr, told["institutionName"], when, told["studyDescription"], told["seriesDescription"], ...content.notes);
    this.position.textContent = words.image(this.index + 1, this.count);
    setAria(this.element, { label: `${words.viewport(Number(this.element.dataset["pane"]))}: ${content.label}, ${words.image(this.index + 1, this.count)}` });
    const place = depth(frame);
    this.below.textContent = [
      stack.frames.length > 1 && frame.frame > 1 && !content.key.startsWith("volume") ? words.frame(frame.frame) : "",
      frame.laterality ? `${words.laterality} ${frame.laterality}` : "",
      frame.thickness ? words.thickness(decimal(frame.thickness)) : "",
      place !== null && !content.key.startsWith("volume") ? words.place(decimal(place, 1)) : "",
    ]
      .filter(Boolean)
      .join("  ");
    this.slider.value = String(this.index);
    setAria(this.slider, { valuetext: words.image(this.index + 1, this.count) });
    this.drawn();
  }

  /** What depends on how it is looked at. */
  private drawn(): void {
    this.events.drawn(this);
    if (!this.shown || !this.content) return;
    const { viewport } = this;
    const colour = this.content.stack.form === "rgb8";
    const { voiRange } = viewport.getProperties();
    if (voiRange && !colour) {
      const { centre, width } = centreAndWidth(voiRange.lower, voiRange.upper);
      const digits = width < 20 ? 3 : 0;
      this.windowed.textContent = words.window(decimal(centre, digits), decimal(width, digits));
    } else this.windowed.textContent = "";
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const middle: core.Types.Point2 = [width / 2, height / 2];
    const at = (x: number, y: number): core.Types.Point3 => viewport.canvasToWorld([x, y]);
    const centre = at(...middle);
    const across = difference(at(middle[0] + 100, middle[1]), centre);
    const down = difference(at(middle[0], middle[1] + 100), centre);
    const known = this.frame?.orientation != null;
    this.edges.left.textContent = known ? letters(across.map((each) => -each)) : "";
    this.edges.right.textContent = known ? letters(across) : "";
    this.edges.top.textContent = known ? letters(down.map((each) => -each)) : "";
    this.edges.bottom.textContent = known ? letters(down) : "";
    const perPixel = Math.hypot(...across) / 100;
    const bar = this.frame?.spacing ? scaleBar(perPixel, Math.min(180, width / 3)) : null;
    this.scale.hidden = bar === null;
    if (bar) {
      this.scale.style.width = `${bar.pixels}px`;
      this.scale.firstElementChild!.textContent = words.scale(bar.millimetres) + (this.frame?.measured === "detector" ? ` ${words.atDetector}` : "");
    }
    const spacing = this.frame?.spacing?.[1] ?? 1;
    this.zoomed.textContent = words.zoomed(`${decimal((spacing / perPixel) * 100, 0)} %`);
  }

  /** Where a point of the image, in pixels from its upper left corner, is drawn. */
  toScreen(): ((x: number, y: number) => readonly number[]) | null {
    const data = this.viewport.getImageData() as { imageData?: unknown } | undefined;
    if (!this.shown || !data?.imageData) return null;
    const { imageData } = data;
    return (x, y) => this.viewport.worldToCanvas(core.utilities.transformIndexToWorld(imageData as never, [x - 0.5, y - 0.5, 0]));
  }

  private point(event: PointerEvent): void {
    if (!this.shown || !this.content) return;
    const box = this.canvas.getBoundingClientRect();
    const world = this.viewport.canvasToWorld([event.clientX - box.left, event.clientY - box.top]);
    const data = this.viewport.getImageData() as { imageData?: unknown } | undefined;
    const id = this.ids[this.index]!;
    const source = sourceOf(id);
    const values = loadedValues(id);
    if (!data?.imageData || !source || !values) return;
    const [x, y] = core.utilities.transformWorldToIndex(data.imageData as never, world).map(Math.round) as [number, number];
    const told = valueAt(source, values, x, y);
    this.readout.textContent = told ? `${words.at(x, y)}  ${told}` : "";
  }

  // ---- hands

  private listen(): void {
    const { element } = this;
    element.addEventListener("pointerdown", (event) => {
      this.events.chosen(this);
      if (this.scrollsByDrag && event.button === 0 && event.target !== this.slider) this.dragged = { y: event.clientY, rest: 0 };
    });
    element.addEventListener("focusin", () => this.events.chosen(this));
    element.addEventListener("pointermove", (event) => {
      this.point(event);
      if (!this.dragged) return;
      this.dragged.rest += event.clientY - this.dragged.y;
      this.dragged.y = event.clientY;
      const step = Math.max(3, this.element.clientHeight / Math.max(1, this.count));
      const by = Math.trunc(this.dragged.rest / step);
      if (by) {
        this.dragged.rest -= by * step;
        this.move(by);
      }
    });
    window.addEventListener("pointerup", () => (this.dragged = null), { signal: this.signal });
    element.addEventListener("pointerleave", () => (this.readout.textContent = ""));
    element.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        // A touch pad sends many small steps, a wheel a few large ones.
        this.wheel += event.deltaMode === 0 ? event.deltaY / 40 : event.deltaY;
        const by = Math.abs(event.deltaY) >= 60 ? Math.sign(event.deltaY) : Math.trunc(this.wheel);
        if (!by) return;
        this.wheel = 0;
        this.move(by);
      },
      { passive: false },
    );
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    this.slider.addEventListener("input", () => void this.show(Number(this.slider.value)));
    this.touches();
  }

  /** Three fingers scroll; Cornerstone's tools have one and two. */
  private touches(): void {
    let last: number | null = null;
    const { element } = this;
    element.addEventListener("touchmove", (event) => {
      if (event.touches.length !== 3 && !(event.touches.length === 1 && this.scrollsByDrag)) return (last = null), undefined;
      const y = [...event.touches].reduce((sum, touch) => sum + touch.clientY, 0) / event.touches.length;
      if (last !== null && Math.abs(y - last) > 8) {
        this.move(Math.sign(y - last));
        last = y;
      } else last ??= y;
    }, { passive: true });
    element.addEventListener("touchend", () => (last = null));
  }
}

const corner = (place: string): HTMLElement => h("div", { class: `corner ${place}` });
const edge = (place: string): HTMLElement => h("span", { class: `edge ${place}` });
const difference = (one: readonly number[], other: readonly number[]): number[] => one.map((value, place) => value - (other[place] ?? 0));
