/** Where one is, in the part of the address after #: a view and internal identifiers, never what an image says. */

export interface Place {
  view: string;
  parameters: URLSearchParams;
}

export function placeOf(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  return { view: path || "studies", parameters: new URLSearchParams(query) };
}

export function addressOf(view: string, parameters: Record<string, string | null | undefined> = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value) query.set(name, value);
  const text = query.toString();
  return text ? `#/${view}?${text}` : `#/${view}`;
}

export function go(address: string): void {
  location.hash = address;
}
