/** Values as people read them. */

import { text } from "./text";

/** A DICOM date (YYYYMMDD) as YYYY-MM-DD, which nobody misreads; as it is where it is none. */
export function date(raw: string): string {
  const found = /^(\d{4})(\d{2})(\d{2})$/.exec(raw);
  return found ? `${found[1]}-${found[2]}-${found[3]}` : raw;
}

/** A DICOM time as HH:MM. */
export function time(raw: string): string {
  const found = /^(\d{2})(\d{2})/.exec(raw);
  return found ? `${found[1]}:${found[2]}` : raw;
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return text.unknown;
  const whole = Math.max(0, Math.round(seconds));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const [hours = 0, minutes = 0, rest = 0] = parts;
  const padded = (value: number): string => String(value).padStart(2, "0");
  return hours ? `${hours}:${padded(minutes)}:${padded(rest)}` : `${minutes}:${padded(rest)}`;
}

/** A number with at most so many decimals and no trailing noughts. */
export function decimal(value: number, digits = 2): string {
  if (!Number.isFinite(value)) return text.unknown;
  const shown = Number(value.toFixed(digits));
  return String(Object.is(shown, -0) ? 0 : shown);
}
