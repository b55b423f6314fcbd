/** Asks for an API key where the server wants one. */

import { h, newId } from "../dom";
import { text } from "../text";

/** Asks until something is given; what was given before, if anything, was not taken. */
export function askForKey(tried: boolean): Promise<string> {
  return new Promise((given) => {
    const id = newId("key");
    const input = h("input", {
      id,
      type: "password",
      required: true,
      autocomplete: "off",
      spellcheck: false,
      aria: { describedby: `${id}-told` },
    });
    const element = h(
      "dialog",
      { class: "dialog", aria: { labelledby: `${id}-title` } },
      h("h2", { id: `${id}-title` }, text.key.title),
      h("p", { id: `${id}-told` }, text.key.told),
      tried ? h("p", { class: "bad", role: "alert" }, text.key.wrong) : null,
      h(
        "form",
        {
          on: {
            submit: (event: Event) => {
              event.preventDefault();
              element.close();
              element.remove();
              given(input.value.trim());
            },
          },
        },
        h("label", { for: id }, text.key.label),
        input,
        h("button", { class: "button main", type: "submit" }, text.key.enter),
      ),
    );
    element.addEventListener("cancel", (event) => event.preventDefault());
    element.addEventListener("keydown", (event) => event.stopPropagation());
    document.body.append(element);
    element.showModal();
    input.focus();
  });
}
