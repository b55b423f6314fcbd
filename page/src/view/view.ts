/** The viewer: panes beside each other, the bar above them, the series of the study, and the keys. */

import "../style/view.css";
import {
  AngleTool,
  annotation,
  EllipticalROITool,
  Enums,
  EraserTool,
  LengthTool,
  PanTool,
  ProbeTool,
  RectangleROITool,
  ToolGroupManager,
  WindowLevelTool,
  ZoomTool,
} from "@cornerstonejs/tools";
import { isAbort, Problem } from "../api/client";
import { isSeen, page, seriesOf, seriesQuery, seriesThumbnail, type Series } from "../api/studies";
import { h, replace, setAria } from "../dom";
import { noPicture, picture } from "../pictures";
import { addressOf, go, type Place } from "../router";
import { FindingsOverlay } from "../run/overlay";
import { onAddress } from "../run/target";
import { announce, failure } from "../shell/messages";
import type { View } from "../shell/shell";
import { text } from "../text";
import { openImage, openSeries, type Opened } from "./content";
import { renderingEngine, shutDown, TOOLS, usesCpu } from "./cornerstone";
import { HeaderPanel } from "./header";
import { showHelp } from "./help";
import { seriesPlace, type SeriesPlace } from "./manifest";
import { Pane, type Content } from "./pane";
import { Toolbar, TOOL_KEYS, type Acts, type Layout, type Link, type ToolName } from "./toolbar";

const words = text.view;
const PANES: Record<Layout, number> = { "1x1": 1, "1x2": 2, "1x3": 3, "2x2": 4 };
const NAMES: Record<Exclude<ToolName, "scroll">, string> = {
  window: WindowLevelTool.toolName,
  zoom: ZoomTool.toolName,
  pan: PanTool.toolName,
  length: LengthTool.toolName,
  angle: AngleTool.toolName,
  ellipse: EllipticalROITool.toolName,
  rectangle: RectangleROITool.toolName,
  probe: ProbeTool.toolName,
  erase: EraserTool.toolName,
};
const { Primary, Secondary, Auxiliary } = Enums.MouseBindings;

export async function viewerView(place: Place, signal: AbortSignal): Promise<View> {
  const series = place.parameters.getAll("series").map(seriesPlace).filter((each): each is SeriesPlace => each !== null);
  const image = place.parameters.get("image");
  renderingEngine();
  const job = place.parameters.get("job");
  const viewer = new Viewer(signal, job ? new FindingsOverlay(job, signal) : null);
  // The panes are set up once they are in the document and have a size.
  window.setTimeout(() => void viewer.start(series.slice(0, 4), image, place.parameters.get("at")), 0);
  return { title: words.title, element: viewer.element, whole: true };
}

class Viewer {
  readonly element: HTMLElement;
  private readonly grid = h("div", { class: "grid" });
  private readonly strip = h("aside", { class: "strip", aria: { label: words.chooseSeries } });
  private readonly toolbar: Toolbar;
  private readonly header: HeaderPanel;
  private readonly links = new Set<Link>(["scroll", "zoom", "window"]);
  private panes: Pane[] = [];
  private active: Pane | null = null;
  private tool: ToolName = "window";
  private overlay = true;
  private playing = 0;
  private rate = 10;
  private readonly opened = new Map<string, Opened>();
  private readonly tries = new WeakMap<Pane, number>();
  private study: SeriesPlace | null = null;

  constructor(
    private readonly signal: AbortSignal,
    private readonly findings: FindingsOverlay | null,
  ) {
    const acts: Acts = {
      tool: (name) => this.use(name),
      preset: (index) => this.preset(index),
      act: (name) => this.act(name),
      rate: (rate) => this.setRate(rate),
      layout: (layout) => this.setLayout(layout),
      link: (link, on) => void (on ? this.links.add(link) : this.links.delete(link)),
    };
    this.toolbar = new Toolbar(acts, this.links);
    if (findings) this.toolbar.setFindings(true);
    this.header = new HeaderPanel(() => this.toggleHeader(false), signal);
    this.strip.hidden = true;
    this.element = h(
      "div",
      { class: "viewer" },
      h("h1", { class: "unseen" }, words.title),
      this.toolbar.element,
      h("div", { class: "below" }, this.strip, this.grid, this.header.element),
    );
    document.addEventListener("keydown", (event) => this.key(event), { signal });
    const resized = new ResizeObserver(() => this.fit());
    resized.observe(this.grid);
    signal.addEventListener("abort", () => {
      resized.disconnect();
      this.stop();
      for (const pane of this.panes) pane.disable();
      shutDown();
    });
  }

  // ---- opening

  async start(series: SeriesPlace[], image: string | null, at: string | null): Promise<void> {
    if (this.signal.aborted) return;
    this.setLayout(series.length > 2 ? "2x2" : series.length === 2 ? "1x2" : "1x1");
    this.use("window");
    if (!series.length && !image) {
      replace(this.grid, h("div", { class: "notice" }, words.nothing));
      return;
    }
    if (image) await this.openInto(this.panes[0]!, (signal) => openImage(image, signal));
    await Promise.all(series.map((place, index) => this.openInto(this.panes[index]!, (signal) => this.series(place, signal))));
    if (series[0]) {
      this.study = series[0];
      void this.listSeries(series[0]);
    }
    this.choose(this.panes[0]!);
    const frames = this.panes[0]!.content?.stack.frames ?? [];
    const wanted = at ? frames.findIndex((frame) => frame.image === at) : -1;
    if (wanted > 0) void this.panes[0]!.show(wanted);
    if (usesCpu()) announce(words.cpu);
  }

  private async series(place: SeriesPlace, signal: AbortSignal): Promise<Opened> {
    const key = `${place.store}/${place.series}`;
    const known = this.opened.get(key) ?? (await openSeries(place, signal));
    this.opened.set(key, known);
    return known;
  }

  private async openInto(pane: Pane, find: (signal: AbortSignal) => Promise<Opened>): Promise<void> {
    const attempt = (this.tries.get(pane) ?? 0) + 1;
    this.tries.set(pane, attempt);
    this.stop();
    pane.wait();
    try {
      const found = await find(this.signal);
      if (this.signal.aborted || this.tries.get(pane) !== attempt) return;
      await this.fill(pane, found);
    } catch (error) {
      if (!isAbort(error) && this.tries.get(pane) === attempt) pane.fail(error);
    }
  }

  private async fill(pane: Pane, { contents, manifest }: Opened): Promise<void> {
    if (!contents.length) {
      const [first] = manifest.leftOut;
      pane.fail(new Problem(422, first?.code ?? "no-pixel-data", first?.detail ?? words.noneShown));
      return;
    }
    if (manifest.volume && contents.length > 1) {
      this.setLayout(window.matchMedia("(max-width: 900px)").matches ? "1x1" : "1x3");
      await Promise.all(contents.slice(0, this.panes.length).map((content, index) => this.panes[index]!.open(content)));
    } else await pane.open(contents[0]!);
    this.parts(contents);
    this.header.forget();
    this.toldHeader();
  }

  /** The parts of a series that cannot be one stack, and the planes of a volume, to choose from. */
  private parts(contents: Content[]): void {
    this.strip.querySelector(".parts")?.remove();
    if (contents.length < 2) return;
    this.strip.hidden = false;
    const list = h("ul", { class: "parts", aria: { label: words.stacks } });
    contents.forEach((content, index) => {
      const { rows, columns, frames } = content.stack;
      const label = content.key.startsWith("volume") ? content.label : words.stack(index + 1, rows, columns, frames.length);
      const open = (): void => void this.active?.open(content).then(() => this.toldHeader());
      list.append(h("li", null, h("button", { type: "button", class: "button", on: { click: open } }, label)));
    });
    this.strip.prepend(list);
  }

  private async listSeries(place: SeriesPlace): Promise<void> {
    const list = h("ul", { class: "series" });
    try {
      let address: string | null = seriesQuery(place.store, place.study);
      while (address !== null && !this.signal.aborted) {
        const found: Awaited<ReturnType<typeof page<Series>>> = await page(address, seriesOf(place.store), this.signal);
        for (const each of found.items) list.append(this.stripItem(each));
        address = found.next;
      }
    } catch (error) {
      if (!isAbort(error)) list.append(h("li", null, failure(error, null)));
    }
    if (list.childElementCount < 2) return;
    this.strip.append(list);
    this.strip.hidden = false;
    this.markShown();
  }

  private stripItem(series: Series): HTMLElement {
    const place = { store: series.store, study: series.study, series: series.uid };
    const label = series.description || text.find.noDescription;
    const open = (): void => {
      const pane = this.active ?? this.panes[0];
      if (pane) void this.openInto(pane, (signal) => this.series(place, signal)).then(() => this.markShown());
    };
    return h(
      "li",
      { data: { key: `${series.store}/${series.uid}` } },
      h(
        "button",
        { type: "button", class: "pick", on: { click: open }, title: label },
        isSeen(series) ? picture(seriesThumbnail(series), this.signal) : noPicture(),
        h("span", null, h("strong", null, label), h("small", null, `${series.modality || text.unknown} · ${text.study.images(series.instances)}`)),
      ),
    );
  }

  private markShown(): void {
    for (const item of this.strip.querySelectorAll<HTMLElement>(".series li")) {
      const shown = this.active?.content?.key.startsWith(`${item.dataset["key"]}/`) ?? false;
      setAria(item.firstElementChild!, { current: shown ? "true" : undefined });
    }
  }

  // ---- panes

  private setLayout(layout: Layout): void {
    const wanted = PANES[layout];
    this.grid.dataset["layout"] = layout;
    this.toolbar.setLayout(layout);
    while (this.panes.length > wanted) {
      const gone = this.panes.pop()!;
      gone.disable();
      gone.element.remove();
      if (gone === this.active) this.active = null;
    }
    while (this.panes.length < wanted) {
      const pane = new Pane(this.panes.length + 1, this.events(), this.signal);
      pane.scrollsByDrag = this.tool === "scroll";
      this.panes.push(pane);
      this.grid.append(pane.element);
      pane.enable();
    }
    this.fit();
    if (!this.active && this.panes[0]) this.choose(this.panes[0]);
  }

  /**
   * Draw at the size there is now, as large beside it as before: what filled its place fills it again. Cornerstone
   * passes a change over while a drawing is due, so that goes first.
   */
  private fit(): void {
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        if (this.signal.aborted) return;
        const looks = this.panes.filter((pane) => pane.shown).map((pane) => ({ pane, look: pane.viewport.getViewPresentation() }));
        renderingEngine().resize(true, false);
        for (const { pane, look } of looks) pane.look(look);
      }),
    );
  }

  private events() {
    return {
      chosen: (pane: Pane): void => this.choose(pane),
      moved: (pane: Pane, by: number): void => {
        if (this.links.has("scroll") && by) for (const other of this.others(pane)) other.follow(pane, by);
        if (!this.playing) this.toldHeader();
      },
      drawn: (pane: Pane): void => this.findings?.draw(pane),
      looked: (pane: Pane): void => this.together(pane, "zoom", (other) => {
        other.viewport.setZoom(pane.viewport.getZoom());
        other.viewport.setPan(pane.viewport.getPan());
      }),
      windowed: (pane: Pane): void => this.together(pane, "window", (other) => {
        const { voiRange } = pane.viewport.getProperties();
        const alike = other.content?.told["modality"] === pane.content?.told["modality"] && other.frame?.units === pane.frame?.units;
        if (voiRange && alike && other.content?.stack.form !== "rgb8") other.viewport.setProperties({ voiRange });
      }),
    };
  }

  private others(pane: Pane): Pane[] {
    // The planes of a volume are scrolled by themselves.
    const mine = pane.content?.key.startsWith("volume");
    return this.panes.filter((other) => other !== pane && other.shown && !(mine && other.content?.key.startsWith("volume")));
  }

  private together(pane: Pane, link: Link, act: (other: Pane) => void): void {
    if (!this.links.has(link)) return;
    for (const other of this.panes) {
      if (other === pane || !other.shown || !pane.shown) continue;
      other.quiet = true;
      try {
        act(other);
        other.viewport.render();
      } finally {
        other.quiet = false;
      }
    }
  }

  private choose(pane: Pane): void {
    if (this.active !== pane) {
      this.active?.element.classList.remove("active");
      this.active = pane;
      pane.element.classList.add("active");
      this.markShown();
      this.toldHeader();
    }
    this.toolbar.setPresets(pane.presets);
    if (!this.playing) {
      const time = pane.content?.stack.frameTime;
      this.rate = time ? Math.max(1, Math.min(60, Math.round(1000 / time))) : this.rate;
      this.toolbar.setPlaying(false, this.rate);
    }
  }

  // ---- tools and acts

  private use(name: ToolName): void {
    this.tool = name;
    this.toolbar.setTool(name);
    this.grid.dataset["tool"] = name;
    for (const pane of this.panes) pane.scrollsByDrag = name === "scroll";
    const group = ToolGroupManager.getToolGroup(TOOLS);
    if (!group) return;
    for (const tool of Object.values(NAMES)) group.setToolPassive(tool, { removeAllBindings: true });
    const bindings: Record<string, object[]> = {
      [NAMES.zoom]: [{ mouseButton: Secondary }, { numTouchPoints: 2 }],
      [NAMES.pan]: [{ mouseButton: Auxiliary }],
    };
    if (name !== "scroll") bindings[NAMES[name]] = [...(bindings[NAMES[name]] ?? []), { mouseButton: Primary }, { numTouchPoints: 1 }];
    for (const [tool, given] of Object.entries(bindings)) group.setToolActive(tool, { bindings: given });
  }

  private preset(index: number): void {
    const preset = this.active?.presets[index];
    if (preset && this.active?.shown) {
      this.active.applyPreset(preset);
      announce(preset.name);
    }
  }

  private act(name: Parameters<Acts["act"]>[0]): void {
    const pane = this.active;
    const shown = pane?.shown ? pane : null;
    const all: Record<typeof name, () => void> = {
      invert: () => shown?.invert(),
      rotate: () => shown?.rotate(),
      flipAcross: () => shown?.flip(true),
      flipDown: () => shown?.flip(false),
      reset: () => shown?.reset(),
      clear: () => {
        annotation.state.removeAllAnnotations();
        for (const each of this.panes) if (each.shown) each.viewport.render();
      },
      play: () => (this.playing ? this.stop() : this.play()),
      overlay: () => {
        this.overlay = !this.overlay;
        this.grid.classList.toggle("plain", !this.overlay);
        this.toolbar.setShown(this.overlay, !this.header.element.hidden);
      },
      header: () => this.toggleHeader(this.header.element.hidden === true),
      help: () => showHelp(),
      back: () => this.back(),
      run: () => this.run(),
      findings: () => {
        if (this.findings) this.toolbar.setFindings(this.findings.toggle(this.panes));
      },
    };
    all[name]();
  }

  /** Work on what is open in the chosen place. */
  private run(): void {
    const { content, frame } = this.active ?? {};
    const [store, series] = content?.key.split("/") ?? [];
    const place = [...this.opened.values()].find((each) => each.place?.store === store && each.place?.series === series)?.place;
    if (content) go(onAddress("run", { store: content.store, study: place?.study ?? null, series: place?.series ?? null, image: frame?.image ?? null }));
  }

  private back(): void {
    if (this.study) go(addressOf("study", { store: this.study.store, study: this.study.study }));
    else go(addressOf(new URLSearchParams(location.hash.split("?")[1]).has("image") ? "images" : "studies"));
  }

  private toggleHeader(on: boolean): void {
    this.header.element.hidden = !on;
    this.toolbar.setShown(this.overlay, on);
    if (on) {
      this.toldHeader();
      this.header.focus();
    } else {
      this.header.forget();
      this.active?.element.focus();
    }
  }

  private toldHeader(): void {
    const content = this.active?.content;
    void this.header.show(this.active?.frame?.image ?? null, Boolean(content && !content.told["image"]));
  }

  private removeMark(): void {
    const chosen = annotation.selection.getAnnotationsSelected();
    const all = annotation.state.getAllAnnotations();
    const gone = chosen.length ? chosen : [all.at(-1)?.annotationUID ?? ""];
    for (const uid of gone) if (uid) annotation.state.removeAnnotation(uid);
    for (const pane of this.panes) if (pane.shown) pane.viewport.render();
  }

  // ---- cine

  private setRate(rate: number): void {
    this.rate = rate;
    this.toolbar.setPlaying(Boolean(this.playing), rate);
  }

  private play(): void {
    const pane = this.active;
    if (!pane?.shown || pane.count < 2) return;
    announce(words.playing(this.rate));
    let due = performance.now();
    const step = async (): Promise<void> => {
      if (!this.playing || this.signal.aborted || !pane.shown) return this.stop();
      const next = (pane.index + 1) % pane.count;
      // Waits rather than leaves a frame out that is still on its way.
      await pane.show(next);
      if (!this.playing) return;
      due = Math.max(due + 1000 / this.rate, performance.now());
      this.playing = window.setTimeout(() => void step(), Math.max(0, due - performance.now()));
    };
    this.playing = window.setTimeout(() => void step(), 0);
    this.toolbar.setPlaying(true, this.rate);
  }

  private stop(): void {
    if (!this.playing) return;
    window.clearTimeout(this.playing);
    this.playing = 0;
    this.toolbar.setPlaying(false, this.rate);
    announce(words.stopped);
  }

  // ---- keys

  private key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = target.matches("input:not([type='range']):not([type='checkbox']), select, textarea");
    if (typing) return;
    const pressed = target.matches("button, a, summary, input");
    const { key } = event;
    if (pressed && (key === " " || key === "Enter")) return;
    if (target.matches("input[type='range']") && /^(Arrow|Page|Home|End)/.test(key)) return;
    const act = this.keyed(key);
    if (!act) return;
    event.preventDefault();
    act();
  }

  private keyed(key: string): (() => void) | null {
    const pane = this.active;
    const moves: Record<string, number> = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 };
    if (key in moves) return () => pane?.move(moves[key]!);
    if (/^[1-9]$/.test(key)) return () => this.preset(Number(key) - 1);
    const tool = (Object.entries(TOOL_KEYS) as [ToolName, string][]).find(([, each]) => each && each === key.toUpperCase());
    if (tool) return () => this.use(tool[0]);
    const others: Record<string, () => void> = {
      " ": () => this.act("play"),
      "+": () => pane?.shown && pane.zoom(1.2),
      "=": () => pane?.shown && pane.zoom(1.2),
      "-": () => pane?.shown && pane.zoom(1 / 1.2),
      i: () => this.act("invert"),
      o: () => this.act("rotate"),
      h: () => this.act("flipAcross"),
      v: () => this.act("flipDown"),
      0: () => this.act("reset"),
      t: () => this.act("overlay"),
      d: () => this.act("header"),
      f: () => this.act("findings"),
      "?": () => this.act("help"),
      Escape: () => this.act("back"),
      Delete: () => this.removeMark(),
      Backspace: () => this.removeMark(),
      F6: () => this.panes[(this.panes.indexOf(pane!) + 1) % this.panes.length]?.element.focus(),
    };
    return others[key] ?? others[key.toLowerCase()] ?? null;
  }
}
