// One tooltip for everything that carries data-tip: on hover, on keyboard focus, on touch.

import { h } from "./dom.js";

const DELAY_MS = 350;
let bubble = null;
let target = null;
let timer = 0;

export function startTips() {
  document.addEventListener("pointerover", (event) => event.pointerType === "mouse" && soon(event.target.closest?.("[data-tip]"), DELAY_MS));
  document.addEventListener("focusin", (event) => {
    const found = event.target.closest?.("[data-tip]");
    if (found?.matches(":focus-visible") || found?.classList.contains("info-text")) soon(found, 0);
    else hide();
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("pointerdown", (event) => event.target.closest?.(".info-text") || hide());
  document.addEventListener("scroll", hide, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
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

function hide() {
  clearTimeout(timer);
  target = null;
  if (bubble?.matches(":popover-open")) bubble.hidePopover();
}
