/** Elements from code: text goes in as text and nowhere as markup. */

type Child = Node | string | number | null | undefined | false;
type Handler = (event: never) => void;
type Properties = Record<string, unknown> & {
  class?: string | undefined;
  on?: Record<string, Handler>;
  data?: Record<string, string>;
  aria?: Record<string, string | boolean | undefined>;
};

const ALIASES: Record<string, string> = { for: "htmlFor", tabindex: "tabIndex", readonly: "readOnly" };

/** An element with its properties, listeners (`on`), `data-` and `aria-` attributes, and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties | null = null,
  ...children: (Child | Child[])[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = String(value);
    else if (name === "on") listen(element, value as Record<string, Handler>);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "aria") setAria(element, value as Record<string, string | boolean | undefined>);
    else if (name === "role" || name === "list" || name === "colspan" || name === "scope") {
      element.setAttribute(name, String(value));
    } else (element as unknown as Record<string, unknown>)[ALIASES[name] ?? name] = value;
  }
  append(element, children);
  return element;
}

export function append(parent: Node, children: (Child | Child[])[]): void {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function replace(parent: Element, ...children: (Child | Child[])[]): void {
  parent.textContent = "";
  append(parent, children);
}

export function setAria(element: Element, values: Record<string, string | boolean | undefined>): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) element.removeAttribute(`aria-${name}`);
    else element.setAttribute(`aria-${name}`, String(value));
  }
}

function listen(element: Element, handlers: Record<string, Handler>): void {
  for (const [name, handler] of Object.entries(handlers)) {
    element.addEventListener(name, handler as unknown as EventListener);
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** A line drawing of 24 by 24 from path data of our own. */
export function icon(...paths: string[]): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  for (const d of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.appendChild(path);
  }
  return svg;
}

/** A button that says what it does; with an icon alone its label is for those who cannot see it, and a tooltip. */
export function button(
  label: string,
  act: (event: Event) => void,
  options: { class?: string; icon?: SVGSVGElement; bare?: boolean; pressed?: boolean; key?: string; name?: string } = {},
): HTMLButtonElement {
  const { icon: drawing, bare, pressed, key } = options;
  return h(
    "button",
    {
      type: "button",
      class: options.class ?? (bare ? "button bare" : "button"),
      on: { click: act },
      title: key ? `${label} (${key})` : bare ? label : undefined,
      data: options.name ? { name: options.name } : undefined,
      aria: { label: bare ? label : undefined, pressed },
    } as Properties,
    drawing,
    bare ? null : label,
  );
}

let counter = 0;

/** An id that nothing else on the page has. */
export function newId(prefix: string): string {
  counter += 1;
  return `${prefix}-${counter}`;
}
