// Light, dark, or as the system says. Gradio keys its colours on body.dark and sets it once; this keeps it right.

import { store } from "./dom.js";

const system = matchMedia("(prefers-color-scheme: dark)");
const CHOICES = ["system", "light", "dark"];

export const themeChoice = () => (CHOICES.includes(store("theme")) ? store("theme") : "system");

export function nextTheme() {
  // The first press is to be seen: it leads away from what the system says.
  const order = system.matches ? CHOICES : ["system", "dark", "light"];
  const next = order[(order.indexOf(themeChoice()) + 1) % order.length];
  store("theme", next === "system" ? null : next);
  apply();
  return next;
}

export function startTheme() {
  apply();
  system.addEventListener("change", apply);
  addEventListener("storage", apply);
  new MutationObserver(apply).observe(document.body, { attributes: true, attributeFilter: ["class"] });
}

function apply() {
  const choice = themeChoice();
  const dark = choice === "dark" || (choice === "system" && system.matches);
  if (document.body.classList.contains("dark") !== dark) document.body.classList.toggle("dark", dark);
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
}
