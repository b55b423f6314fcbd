/** What may be opened: series and images by their place, with their manifests kept while the viewer is open. */

import { stores } from "../api/studies";
import { text } from "../text";
import { imageManifest, PLANES, seriesManifest, type Manifest, type SeriesPlace } from "./manifest";
import type { Content } from "./pane";
import { arrayOf, fetchValues, VolumeValues } from "./values";

export interface Opened {
  manifest: Manifest;
  contents: Content[];
  place: SeriesPlace | null;
}

const words = text.view;

export async function openSeries(place: SeriesPlace, signal: AbortSignal): Promise<Opened> {
  return described(await seriesManifest(place, signal), place, `${place.store}/${place.series}`);
}

export async function openImage(id: string, signal: AbortSignal): Promise<Opened> {
  return described(await imageManifest(id, signal), null, `image/${id}`);
}

async function described(manifest: Manifest, place: SeriesPlace | null, key: string): Promise<Opened> {
  const known = await stores().catch(() => []);
  const identified = known.find((store) => store.name === manifest.store)?.identified ?? false;
  const base = { told: manifest.told, store: manifest.store, identified };
  const contents: Content[] = manifest.stacks.map((stack, index) => ({
    ...base,
    key: `${key}/${index}`,
    label: [manifest.told["modality"], manifest.told["seriesDescription"]].filter(Boolean).join(" ") || words.series,
    stack,
    notes: manifest.leftOut.length ? [words.leftOut(manifest.leftOut.length)] : [],
    stored: async (frame, signal) =>
      arrayOf(stack.form, await fetchValues(frame.image, frame.frame, signal), stack.rows * stack.columns * (stack.form === "rgb8" ? 3 : 1)),
  }));
  if (manifest.volume) {
    const values = new VolumeValues(manifest.volume);
    const { step, volumes, form, sides } = manifest.volume;
    const notes = [words.radiological];
    if (step > 1) notes.push(words.thinned(step));
    if (volumes > 1) notes.push(words.firstVolume(volumes));
    for (const plane of PLANES) {
      // A volume of one slice has nothing to show from the side.
      if (plane !== "axial" && sides[2] < 2) continue;
      contents.push({
        ...base,
        key: `volume/${key}/${plane}`,
        label: words.planes[plane] ?? plane,
        stack: values.stack(plane),
        notes: [words.planes[plane] ?? plane, ...notes],
        stored: (frame) => values.slice(plane, frame.frame - 1),
        ...(form === "rgb8" ? {} : { window: () => values.window() }),
      });
    }
  }
  return { manifest, contents, place };
}
