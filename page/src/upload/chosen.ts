/** Files as they are dropped or chosen, folders gone through. */

export interface Picked {
  name: string;
  file: File;
}

export function fromInput(files: FileList | null): Picked[] {
  return [...(files ?? [])].map((file) => ({ name: file.webkitRelativePath || file.name, file }));
}

/** Everything in a drop; the entries have to be taken while the event lasts. */
export async function fromDrop(transfer: DataTransfer): Promise<Picked[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (entries.every((entry) => entry === null)) return fromInput(transfer.files);
  const found: Picked[] = [];
  for (const entry of entries) if (entry) await walk(entry, found);
  return found;
}

async function walk(entry: FileSystemEntry, found: Picked[]): Promise<void> {
  const name = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    const file = await new Promise<File | null>((done) => {
      (entry as FileSystemFileEntry).file(done, () => done(null));
    });
    if (file && file.name !== ".DS_Store") found.push({ name, file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // A folder is read by at most a hundred entries at a time.
    const part = await new Promise<FileSystemEntry[]>((done) => reader.readEntries(done, () => done([])));
    if (!part.length) return;
    for (const each of part) await walk(each, found);
  }
}
