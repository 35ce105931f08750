// What the Generate form holds waits in this browser tab for a reload: a prompt is work.

import { openStarting } from "./starting.js";

const KEY = "likeness-form";
const SAVE_MS = 300;
const TEXTS = ["prompt", "negative_prompt", "prompt_suffix", "negative_suffix"];

// The fold comes into the page a moment after the form.
function openSoon(tries) {
  if (!openStarting() && tries) setTimeout(() => openSoon(tries - 1), 50);
}

const stored = () => {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  } catch {
    return null;
  }
};

export function startDraft() {
  const kept = stored();
  const draft = kept ?? {};
  let timer = 0;
  const save = () => {
    const form = document.getElementById("form");
    if (!form) return;
    for (const name of TEXTS) {
      const area = form.querySelector(`#field-${name} :is(textarea, input)`);
      if (area) draft[name] = area.value;
    }
    // A part that was never opened has no fields yet: what it held before still holds.
    for (const field of form.querySelectorAll("[id^=field-] [label]")) draft[field.closest("[id^=field-]").id.slice(6)] = field.value ?? null;
    try {
      sessionStorage.setItem(KEY, JSON.stringify(draft));
    } catch {
      // A browser that keeps nothing loses the form with a reload, as before.
    }
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(save, SAVE_MS);
  };
  const touched = (event) => event.target.closest?.("#form") && soon();
  document.addEventListener("input", touched);
  document.addEventListener("pick", touched);
  document.addEventListener("likeness:reuse-answer", soon);
  // Menus tell what was chosen through Gradio alone.
  document.addEventListener("likeness:menu", ({ detail: { name, value } }) => {
    if (draft[name] === value) return;
    draft[name] = value;
    soon();
  });
  addEventListener("pagehide", () => timer && save());
  if (!kept) return;
  const recall = () => {
    document.dispatchEvent(new CustomEvent("likeness:recall", { detail: kept }));
    // What a picture starts from must not lie behind a closed fold.
    if (kept.source?.image || kept.references?.ids?.length) openSoon(100);
  };
  if (document.documentElement.hasAttribute("data-recall")) recall();
  else document.addEventListener("likeness:recall-ready", recall, { once: true });
}
