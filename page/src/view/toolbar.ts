/** The viewer's bar: tools, actions, presets, cine, layout. What it does is the viewer's; it only shows and asks. */

import { button, h, icon, newId, replace, setAria } from "../dom";
import { text } from "../text";
import type { Preset } from "./presets";

export const TOOL_KEYS = {
  window: "W",
  zoom: "Z",
  pan: "P",
  scroll: "S",
  length: "L",
  angle: "A",
  ellipse: "E",
  rectangle: "R",
  probe: "B",
  erase: "",
} as const;
export type ToolName = keyof typeof TOOL_KEYS;
export type Layout = "1x1" | "1x2" | "1x3" | "2x2";
export type Link = "scroll" | "zoom" | "window";

const DRAWN: Record<string, string[]> = {
  window: ["M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18", "M12 3v18", "M14 7h4M14 12h6.5M14 17h4"],
  zoom: ["M10.5 4a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13", "M15.5 15.5L20 20M8 10.5h5M10.5 8v5"],
  pan: ["M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3M18 9l3 3-3 3"],
  scroll: ["M7 4h10v6H7zM7 14h10v6H7z"],
  length: ["M4 20L20 4M3 16l5 5M16 3l5 5"],
  angle: ["M20 19H4L15 5", "M11 19a7 7 0 0 0-2.6-5.5"],
  ellipse: ["M12 6c5 0 9 2.7 9 6s-4 6-9 6-9-2.7-9-6 4-6 9-6z"],
  rectangle: ["M4 6h16v12H4z"],
  probe: ["M12 4v5M12 15v5M4 12h5M15 12h5", "M12 12v.01"],
  erase: ["M8 20h12M5 14l8-9 6 6-8 9H8z"],
  invert: ["M4 4h16v16H4z", "M20 4L4 20", "M20 8L8 20M20 12l-8 8M20 16l-4 4"],
  rotate: ["M20 12a8 8 0 1 1-2.5-5.8", "M20 3v5h-5"],
  flipAcross: ["M12 3v18M8 7l-5 10h5zM16 7l5 10h-5z"],
  flipDown: ["M3 12h18M7 8l10-5v5zM7 16l10 5v-5z"],
  reset: ["M4 12a8 8 0 1 0 2.5-5.8", "M4 3v5h5"],
  clear: ["M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5"],
  play: ["M7 4l13 8-13 8z"],
  stop: ["M6 5h4v14H6zM14 5h4v14h-4z"],
  overlay: ["M4 5h7M4 9h5M13 19h7M15 15h5M4 19h4M16 5h4"],
  header: ["M5 3h10l4 4v14H5z", "M8 11h8M8 14h8M8 17h5"],
  help: ["M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18", "M9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.1.9-1.1 1.8M12 16.8v.01"],
  back: ["M15 5l-7 7 7 7"],
  run: ["M4 5h9M4 12h6M4 19h6", "M14 10l6 4.5-6 4.5z"],
  findings: ["M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4", "M9 9h6v6H9z"],
  link: ["M10 14a4 4 0 0 0 5.7 0l3-3a4 4 0 0 0-5.7-5.7l-1 1", "M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1"],
};

export interface Acts {
  tool: (name: ToolName) => void;
  preset: (index: number) => void;
  act: (name: "invert" | "rotate" | "flipAcross" | "flipDown" | "reset" | "clear" | "play" | "overlay" | "header" | "help" | "back" | "run" | "findings") => void;
  rate: (framesPerSecond: number) => void;
  layout: (layout: Layout) => void;
  link: (link: Link, on: boolean) => void;
}

const words = text.view;

export class Toolbar {
  readonly element: HTMLElement;
  private readonly tools = new Map<ToolName, HTMLButtonElement>();
  private readonly preset = h("select", { aria: { label: words.preset }, title: words.preset });
  private readonly play: HTMLButtonElement;
  private readonly overlay: HTMLButtonElement;
  private readonly header: HTMLButtonElement;
  private readonly findings: HTMLButtonElement;
  private readonly layout: HTMLSelectElement;
  private readonly speed: HTMLInputElement;

  constructor(acts: Acts, links: Set<Link>) {
    const drawn = (name: string): SVGSVGElement => icon(...(DRAWN[name] ?? []));
    const plain = (name: Parameters<Acts["act"]>[0], label: string, key = "", shape: string = name): HTMLButtonElement =>
      button(label, () => acts.act(name), { bare: true, icon: drawn(shape), key, name });
    const group = (label: string, ...children: (Node | null)[]): HTMLElement =>
      h("div", { class: "group", role: "group", aria: { label } }, ...children);
    for (const [name, key] of Object.entries(TOOL_KEYS) as [ToolName, string][]) {
      this.tools.set(name, button(words.toolNames[name] ?? name, () => acts.tool(name), { bare: true, icon: drawn(name), key, name: `tool-${name}`, pressed: false }));
    }
    this.play = plain("play", words.cine, "Space");
    this.overlay = plain("overlay", words.overlay, "T");
    this.header = plain("header", words.header, "D");
    this.findings = plain("findings", text.run.overlay, "F");
    this.findings.hidden = true;
    setAria(this.overlay, { pressed: "true" });
    setAria(this.header, { pressed: "false" });
    this.speed = h("input", { type: "number", min: "1", max: "60", value: "10", class: "rate", aria: { label: words.rate }, title: words.rate });
    this.speed.addEventListener("change", () => acts.rate(Math.min(60, Math.max(1, Number(this.speed.value) || 10))));
    this.layout = h(
      "select",
      { aria: { label: words.layout }, title: words.layout },
      ...Object.entries(words.layouts).map(([value, label]) => h("option", { value }, label)),
    );
    this.layout.addEventListener("change", () => acts.layout(this.layout.value as Layout));
    this.preset.addEventListener("change", () => {
      if (this.preset.value) acts.preset(Number(this.preset.value));
      this.preset.value = "";
    });
    this.element = h(
      "div",
      { class: "bar", role: "toolbar", aria: { label: words.tools } },
      plain("back", words.back, "Escape"),
      group(words.tools, ...this.tools.values()),
      this.preset,
      group(words.actions, plain("invert", words.invert, "I"), plain("rotate", words.rotate, "O"), plain("flipAcross", words.flipAcross, "H"), plain("flipDown", words.flipDown, "V"), plain("reset", words.reset, "0"), plain("clear", words.clearMarks)),
      group(words.cine, this.play, this.speed),
      this.layout,
      linking(acts, links),
      group(words.header, this.overlay, this.findings, this.header, plain("run", text.run.title), plain("help", text.help.title, "?")),
    );
  }

  setTool(name: ToolName): void {
    for (const [each, element] of this.tools) setAria(element, { pressed: String(each === name) });
  }

  setPresets(presets: Preset[]): void {
    const options = (group: Preset["group"]): HTMLElement[] =>
      presets.flatMap((preset, index) => (preset.group === group ? [h("option", { value: String(index) }, index < 9 ? `${index + 1}  ${preset.name}` : preset.name)] : []));
    const parts: [Preset["group"], string][] = [
      ["header", words.fromHeader],
      ["modality", words.forModality],
    ];
    replace(
      this.preset,
      h("option", { value: "" }, words.presetDefault),
      ...parts.filter(([group]) => presets.some((preset) => preset.group === group)).map(([group, label]) => h("optgroup", { label }, ...options(group))),
    );
    this.preset.disabled = presets.length === 0;
  }

  setLayout(layout: Layout): void {
    this.layout.value = layout;
  }

  setPlaying(on: boolean, rate: number): void {
    const label = on ? words.stop : words.cine;
    // Only when it changes: a rate is told as the mouse goes down on this button, and a picture that is replaced under
    // it is not clicked.
    if (String(on) !== this.play.getAttribute("aria-pressed")) replace(this.play, icon(...(DRAWN[on ? "stop" : "play"] ?? [])));
    setAria(this.play, { label, pressed: String(on) });
    this.play.title = `${label} (Space)`;
    this.speed.value = String(rate);
  }

  /** Whether findings are drawn; without a job there is nothing to draw. */
  setFindings(on: boolean): void {
    this.findings.hidden = false;
    setAria(this.findings, { pressed: String(on) });
  }

  setShown(overlay: boolean, header: boolean): void {
    setAria(this.overlay, { pressed: String(overlay) });
    setAria(this.header, { pressed: String(header) });
  }
}

function linking(acts: Acts, links: Set<Link>): HTMLElement {
  const boxes = (Object.keys(words.links) as Link[]).map((name) => {
    const id = newId("link");
    const box = h("input", { type: "checkbox", id, checked: links.has(name) });
    box.addEventListener("change", () => acts.link(name, box.checked));
    return h("label", { for: id }, box, words.links[name]);
  });
  return h("details", { class: "links" }, h("summary", { class: "button bare" }, icon(...(DRAWN["link"] ?? [])), words.link), h("div", { class: "menu" }, ...boxes));
}
