/** Searches that go on page by page; words are looked for under several keys at once and put together. */

import {
  keysFor,
  page,
  studiesQuery,
  studyOf,
  type Found,
  type Sought,
  type Study,
} from "../api/studies";

const PAGE = 100;

/** One search under way: its studies so far, and what is left of each key's answer. */
export class StudySearch {
  items: Study[] = [];
  /** How many there are in all; null where only the end will tell. */
  total: number | null = null;
  private readonly seen = new Set<string>();
  private open: string[];
  private busy = false;

  constructor(
    private readonly sought: Sought,
    private readonly signal: AbortSignal,
  ) {
    const keys = sought.words.trim() ? keysFor(sought.words) : [null];
    this.open = keys.map((key) => studiesQuery(sought, key, PAGE));
  }

  get more(): boolean {
    return this.open.length > 0;
  }

  /** Fetch what follows; false where that is under way already or there is nothing. */
  async next(): Promise<boolean> {
    if (this.busy || !this.open.length) return false;
    this.busy = true;
    try {
      const read = studyOf(this.sought.store);
      const single = !this.sought.words.trim();
      const found: Found<Study>[] = await Promise.all(this.open.map((address) => page(address, read, this.signal)));
      const fresh = found.flatMap((each) => each.items).filter((study) => this.isNew(study));
      this.open = found.map((each) => each.next).filter((address): address is string => address !== null);
      this.items = this.items.concat(single ? fresh : fresh.sort(compare(this.sought.order)));
      if (single) this.total = found[0]?.total ?? null;
      else if (!this.open.length) this.total = this.items.length;
      return true;
    } finally {
      this.busy = false;
    }
  }

  private isNew(study: Study): boolean {
    if (this.seen.has(study.uid)) return false;
    this.seen.add(study.uid);
    return true;
  }
}

function compare(order: string): (one: Study, other: Study) => number {
  const falling = order.startsWith("-");
  const key = order.includes("PatientName") ? "name" : order.includes("PatientID") ? "patientId" : "date";
  return (one, other) => one[key].localeCompare(other[key]) * (falling ? -1 : 1);
}
