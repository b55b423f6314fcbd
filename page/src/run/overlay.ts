/** Findings of a job drawn over the images of the viewer, image by image as they are come to. */
import "../style/work.css";

import { results, type Finding } from "../api/jobs";
import { isAbort } from "../api/client";
import { findingsOf } from "./findings";
import { drawnMarks, marksOf, outline, shape } from "./marked";

export interface Under {
  element: HTMLElement;
  frame: { image: string; frame: number } | undefined;
  shown: boolean;
  /** Where a point of the image, in pixels from its upper left corner, is drawn; null before there is an image. */
  toScreen: () => ((x: number, y: number) => readonly number[]) | null;
}

export class FindingsOverlay {
  on = true;
  private readonly known = new Map<string, Promise<Finding[]>>();
  private readonly ready = new Map<string, Finding[]>();

  constructor(
    private readonly job: string,
    private readonly signal: AbortSignal,
  ) {}

  toggle(panes: readonly Under[]): boolean {
    this.on = !this.on;
    for (const pane of panes) this.draw(pane);
    return this.on;
  }

  draw(pane: Under): void {
    const svg = this.layer(pane.element);
    const { frame } = pane;
    svg.textContent = "";
    if (!this.on || !pane.shown || !frame) return;
    const found = this.ready.get(frame.image);
    if (!found) {
      this.fetch(frame.image).then(
        () => this.ready.has(frame.image) && this.draw(pane),
        () => undefined,
      );
      return;
    }
    const at = pane.toScreen();
    const marks = marksOf(found.filter((each) => each.frame === frame.frame));
    if (!at) return;
    svg.append(...drawnMarks(marks, at));
    for (const mark of marks) {
      const [first] = outline(mark, at).sort((one, other) => one[1] - other[1] || one[0] - other[0]);
      if (!first) continue;
      const label = shape("text", { x: first[0] + 3, y: Math.max(12, first[1] - 4) });
      label.textContent = mark.label;
      svg.append(label);
    }
  }

  private fetch(image: string): Promise<Finding[]> {
    let under = this.known.get(image);
    if (!under) {
      under = results(this.job, [image], this.signal).then((told) => {
        const found = told.filter((each) => each.kind === "findings").flatMap(findingsOf);
        this.ready.set(image, found);
        return found;
      });
      under.catch((error: unknown) => {
        if (!isAbort(error)) this.ready.set(image, []);
      });
      this.known.set(image, under);
    }
    return under;
  }

  private layer(element: HTMLElement): SVGElement {
    const there = element.querySelector<SVGElement>("svg.findings");
    if (there) return there;
    const made = shape("svg", { class: "findings", "aria-hidden": "true" });
    element.querySelector(".canvas")?.after(made);
    return made;
  }
}
