/** The sheet of keys and gestures. */

import { h } from "../dom";
import { dialog } from "../shell/messages";
import { text } from "../text";

export function showHelp(): void {
  const table = (rows: [string, string][], label: string): HTMLElement =>
    h(
      "table",
      { class: "keys" },
      h("caption", { class: "unseen" }, label),
      h("tbody", null, ...rows.map(([keys, does]) => h("tr", null, h("th", { scope: "row" }, h("kbd", null, keys)), h("td", null, does)))),
    );
  dialog(
    text.help.title,
    () => [table(text.help.keys, text.help.title), h("h3", null, text.help.gesturesTitle), table(text.help.gestures, text.help.gesturesTitle)],
    true,
  );
}
