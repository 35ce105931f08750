// Gradio translates its own components into the thirty languages that it knows itself, and leaves them English in all others.
// There the few that this page has are put right here.

import { known, language } from "./language.js";

const TEXTS = "#tabs [role=tab], #tabs .overflow-menu button, #form [data-testid=block-info], #form .info-text, #form .label-wrap span, #form [role=option], #make";
const FIELDS = "#form textarea, #form input[role=combobox], #form input[role=listbox]";

export function startGradioWords() {
  if (language === "en") return;
  new MutationObserver(translate).observe(document.body, { childList: true, subtree: true });
  translate();
}

function translate() {
  for (const part of document.querySelectorAll(TEXTS)) {
    for (const node of part.childNodes) {
      if (node.nodeType !== Node.TEXT_NODE) continue;
      const words = node.data.trim();
      if (words && known(words) !== words) node.data = node.data.replace(words, () => known(words));
    }
  }
  for (const field of document.querySelectorAll(FIELDS)) {
    if (known(field.placeholder) !== field.placeholder) field.placeholder = known(field.placeholder);
    // A menu shows the name of its choice as the value of a field that nobody can write into.
    if (field.readOnly && known(field.value) !== field.value) field.value = known(field.value);
  }
}
