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
  study: { show: studyView },
  view: { show: async (place, signal) => (await import("./view/view")).viewerView(place, signal) },
});
