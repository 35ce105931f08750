// Short messages in the corner: what happened, what can be done about it, and a way back where there is one.

import { h, icon } from "./dom.js";
import { t } from "./language.js";
import { bytes } from "./words.js";

let host = null;

export function toast(message, { kind = "info", detail = "", action = null, act = null, ms = 6000 } = {}) {
  const card = h(
    "div",
    { class: `toast ${kind}`, role: kind === "warn" ? "alert" : "status" },
    icon(kind === "warn" ? "warn" : "check"),
    h("div", { class: "toast-words" }, h("strong", {}, message), detail ? h("span", {}, detail) : null),
  );
  let timer = 0;
  const leave = () => {
    clearTimeout(timer);
    card.remove();
  };
  if (action) {
    const button = h("button", { type: "button", class: "quiet", onclick: () => (leave(), act()) }, action);
    card.append(button);
  }
  card.append(h("button", { type: "button", class: "icon-button", "aria-label": t("Dismiss"), "data-tip": t("Dismiss"), onclick: leave }, icon("close")));
  const wait = () => (timer = setTimeout(leave, ms));
  for (const [type, listener] of [["pointerenter", () => clearTimeout(timer)], ["focusin", () => clearTimeout(timer)], ["pointerleave", wait], ["focusout", wait]]) {
    card.addEventListener(type, listener);
  }
  // Said again is not said twice.
  card.dataset.said = `${message}\n${detail}`;
  for (const other of place().children) if (other.dataset.said === card.dataset.said) other.remove();
  host.append(card);
  while (host.children.length > 4) host.firstElementChild.remove();
  wait();
  return leave;
}

const WORK_MS = 24 * 3600_000;
const EVERY_MS = 150;

// A message that stays while something is sent or fetched: `on(done, total)` counts its bytes; a total of nothing is not known yet.
export function working(message, detail = "") {
  const leave = toast(message, { detail, ms: WORK_MS });
  const card = host.lastElementChild;
  card.firstElementChild.replaceWith(icon("parcel"));
  const count = h("span", { class: "toast-count" });
  const bar = h("div", { class: "bar", "data-unsure": true, role: "progressbar", "aria-label": message }, h("i"));
  // What changes many times a second is for the eye; whoever hears the page can look it up at the bar.
  card.querySelector(".toast-words").append(h("span", { "aria-live": "off" }, count), bar);
  let last = -EVERY_MS;
  const on = (done, total = 0) => {
    if (performance.now() - last < EVERY_MS && done !== total) return;
    last = performance.now();
    count.textContent = total ? t("{done} of {total}", { done: bytes(done), total: bytes(total) }) : t("{size} so far", { size: bytes(done) });
    bar.toggleAttribute("data-unsure", !total);
    bar.setAttribute("aria-valuetext", count.textContent);
    bar.firstElementChild.style.setProperty("--done", total ? done / total : 0);
  };
  const then = (words) => {
    count.textContent = words;
    bar.toggleAttribute("data-unsure", true);
    bar.setAttribute("aria-valuetext", words);
  };
  return { on, then, leave };
}

export const complain = (problem) => toast(problem.message, { kind: "warn", detail: problem.remedy, ms: 12_000 });

// An open dialog makes everything outside of it inert, so the messages move into it while it is open.
export function place() {
  host ??= h("div", { id: "toasts", "aria-live": "polite", "aria-label": t("Messages"), role: "region" });
  const dialogs = document.querySelectorAll("dialog[open]");
  const home = dialogs[dialogs.length - 1] ?? document.body;
  if (host.parentElement !== home) home.append(host);
  return host;
}
