/** What the browser keeps for the page: never a name, a date or a value of an image. */

export function kept(storage: "localStorage" | "sessionStorage", name: string): string | null {
  try {
    return window[storage].getItem(`isocenter.${name}`);
  } catch {
    return null; // a browser may forbid it
  }
}

export function keep(storage: "localStorage" | "sessionStorage", name: string, value: string | null): void {
  try {
    if (value === null) window[storage].removeItem(`isocenter.${name}`);
    else window[storage].setItem(`isocenter.${name}`, value);
  } catch {
    // then it lasts as long as the page does
  }
}
