/** Where the page begins: its views by name. The viewer is loaded when it is first asked for. */

import "./style/page.css";
import { imagesView } from "./find/images";
import { studiesView } from "./find/studies";
import { studyView } from "./find/study";
import { start } from "./shell/shell";
import { text } from "./text";
import { uploadView } from "./upload/view";

start({
  studies: { label: text.studies, icon: ["M4 6h16M4 12h16M4 18h10"], show: studiesView },
  images: {
    label: text.images,
    icon: ["M12 3l8 4.5v9L12 21l-8-4.5v-9z", "M4 7.5l8 4.5 8-4.5M12 12v9"],
    show: imagesView,
  },
  upload: { label: text.upload, icon: ["M12 16V4M7 9l5-5 5 5", "M4 16v4h16v-4"], show: uploadView },
  jobs: {
    label: text.operate.jobs,
    icon: ["M4 6h10M4 12h10M4 18h7", "M17 9l2 2 3-4M17 17l2 2 3-4"],
    show: async (place, signal) => (await import("./operate/jobs")).jobsView(place, signal),
  },
  deliveries: {
    label: text.deliveries.title,
    icon: ["M10 14a4 4 0 0 0 5.7 0l3-3a4 4 0 0 0-5.7-5.7l-1 1", "M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1"],
    show: async (place, signal) => (await import("./deidentify/deliveries")).deliveriesView(place, signal),
  },
  system: {
    label: text.operate.system,
    icon: ["M3 12h4l3-7 4 14 3-7h4"],
    show: async (place, signal) => (await import("./operate/system")).systemView(place, signal),
  },
  study: { show: studyView },
  job: { show: async (place, signal) => (await import("./operate/job")).jobView(place, signal) },
  run: { show: async (place, signal) => (await import("./run/view")).runView(place, signal) },
  deidentify: { show: async (place, signal) => (await import("./deidentify/view")).deidentifyView(place, signal) },
  view: { show: async (place, signal) => (await import("./view/view")).viewerView(place, signal) },
});
