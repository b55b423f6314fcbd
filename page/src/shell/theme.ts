/** Light or dark: as the system has it, or as the reader chose. */

import { keep, kept } from "../store";

export type Theme = "auto" | "light" | "dark";

export function theme(): Theme {
  const found = kept("localStorage", "theme");
  return found === "light" || found === "dark" ? found : "auto";
}

export function setTheme(chosen: Theme): void {
  keep("localStorage", "theme", chosen === "auto" ? null : chosen);
  applyTheme();
}

export function applyTheme(): void {
  const chosen = theme();
  if (chosen === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = chosen;
}
