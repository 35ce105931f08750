// One tooltip for everything that carries data-tip: on hover, under a finger that stays, on touch of a help mark, and for whoever walks
// the page by Tab.

import { h } from "./dom.js";

const HOVER_MS = 350;
const TAB_MS = 600;
const HOLD_MS = 500;
const TREMBLE_PX = 10;
let bubble = null;
let target = null;
let timer = 0;
let byKey = false;
let finger = null; // where one went down on something that explains itself

export function startTips() {
  const key = (event) => {
    byKey = true;
    if (event.key === "Escape") hide();
  };
  document.addEventListener("keydown", key, { capture: true });
  document.addEventListener("pointerdown", (event) => {
    byKey = false;
    const mark = event.target.closest?.(".info-text");
    finger = null;
    hide();
    if (event.pointerType === "mouse") return;
    if (mark) return soon(mark, 0);
    // A link and a picture have a menu of the browser's own under a finger that stays.
    const held = event.target.closest?.("[data-tip]");
    if (!held || held.matches("a, img")) return;
    finger = { x: event.clientX, y: event.clientY };
    soon(held, HOLD_MS);
  });
  const moved = (event) => finger && Math.hypot(event.clientX - finger.x, event.clientY - finger.y) > TREMBLE_PX;
  document.addEventListener("pointermove", (event) => moved(event) && (hide(), (finger = null)), { passive: true });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => finger && !isShown() && hide());
  // Who held it to read what it does has not pressed it.
  document.addEventListener("click", (event) => finger && isShown() && (event.preventDefault(), event.stopImmediatePropagation(), (finger = null)), { capture: true });
  document.addEventListener("contextmenu", (event) => finger && event.preventDefault());
  document.addEventListener("pointerover", (event) => event.pointerType === "mouse" && soon(event.target.closest?.("[data-tip]"), HOVER_MS));
  document.addEventListener("focusin", (event) => {
    // A field explains itself to whoever tabs into it, not to whoever clicks or types.
    if (byKey) soon(event.target.closest?.("[data-tip]") ?? event.target.closest?.("[id^=field-]")?.querySelector(".info-text"), TAB_MS);
    else if (!finger) hide();
  });
  document.addEventListener("focusout", () => finger || hide());
  document.addEventListener("input", hide);
  document.addEventListener("scroll", hide, { capture: true, passive: true });
}

function soon(found, delay) {
  if (found === target) return;
  hide();
  if (!found) return;
  target = found;
  timer = setTimeout(show, delay);
}

function show() {
  if (!target?.isConnected || !target.dataset.tip) return;
  // A dialog that the press on it opened lies over it.
  const dialog = [...document.querySelectorAll("dialog:modal")].at(-1);
  if (dialog && !dialog.contains(target)) return;
  bubble ??= h("div", { id: "tip", role: "tooltip", popover: "manual" });
  bubble.textContent = target.dataset.tip;
  const home = target.closest("dialog") ?? document.body;
  if (bubble.parentElement !== home) home.append(bubble);
  bubble.showPopover?.();
  const box = target.getBoundingClientRect();
  const own = bubble.getBoundingClientRect();
  const below = box.bottom + own.height + 12 < innerHeight;
  bubble.style.top = `${below ? box.bottom + 8 : box.top - own.height - 8}px`;
  bubble.style.left = `${Math.max(8, Math.min(box.left + box.width / 2 - own.width / 2, innerWidth - own.width - 8))}px`;
}

const isShown = () => Boolean(bubble?.matches(":popover-open"));

function hide() {
  clearTimeout(timer);
  target = null;
  if (isShown()) bubble.hidePopover();
}
