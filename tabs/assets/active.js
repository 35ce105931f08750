// The character that pictures are made of until another one is chosen: the same in every tab of this browser, and after a reload.

import { store } from "./dom.js";

let current = store("character") || null;

export const active = () => current;

// Everyone who shows it hears `likeness:character` with {id}, or null for nobody.
export function setActive(id) {
  const next = id || null;
  if (next === current) return;
  store("character", next);
  take(next);
}

function take(id) {
  current = id;
  document.dispatchEvent(new CustomEvent("likeness:character", { detail: id ? { id } : null }));
}

addEventListener("storage", (event) => {
  if (event.key === "likeness-character" && (event.newValue || null) !== current) take(event.newValue || null);
});
