// What the form does besides being filled in: shortcuts, what a click led to, errors at the field they concern.

import { somebody } from "./chip.js";
import { feed, paints } from "./feed.js";
import { h } from "./dom.js";
import { level, setLevel, showTab, tabShown } from "./header.js";
import { t, tn } from "./language.js";
import { complain, toast } from "./toast.js";
import { faultWords, labelOf } from "./words.js";

const STARTING = new Set(["image", "mask", "denoise", "real_person", "consent", "references"]);

const LEAVING = new Set(["Tab", "Shift", "Control", "Alt", "Meta"]);

export function startForm() {
  document.addEventListener("likeness:outcome-answer", (event) => event.detail && onOutcome(event.detail));
  document.addEventListener("likeness:reuse-answer", (event) => {
    if (!event.detail?.taken) return;
    clearErrors();
    toast(t("The form holds this picture's settings"), { ms: 2500 });
  });
  document.addEventListener("keydown", onKey);
  // Gradio's menus close when the focus leaves them, and open again: what a key does there goes on after it, also where the key was Tab.
  document.addEventListener("keydown", (event) => LEAVING.has(event.key) && event.target.matches?.("input[aria-controls][aria-expanded]") && event.stopPropagation(), { capture: true });
  // The second half of a double click is a habit, not another order.
  document.addEventListener("click", (event) => event.detail > 1 && event.target.closest?.("#make") && event.stopImmediatePropagation(), true);
  document.addEventListener("input", (event) => clearError(event.target.closest?.("[id^=field-]")));
  document.addEventListener("pick", (event) => clearError(event.target.closest?.("[id^=field-]")));
  feed.addEventListener("ended", (event) => onEnded(event.detail));
  // A server came or went, or has other models: the menus are filled anew, by a handler that has them at hand.
  feed.addEventListener("models", () => document.dispatchEvent(new CustomEvent("likeness:models", { detail: Date.now() })));
  somebody.addEventListener("change", hintAtPrompt);
  new MutationObserver(dress).observe(document.body, { childList: true, subtree: true });
  dress();
}

// Whose looks are known is not described again.
function hintAtPrompt() {
  const area = document.querySelector("#field-prompt textarea");
  if (!area) return;
  area.dataset.anybody ??= area.placeholder;
  area.placeholder = somebody.character ? t("smiling, wearing a green hoodie, evening light, light blue background") : area.dataset.anybody;
}

// Put words into the prompt, as if they were typed.
export function say(words) {
  const area = document.querySelector("#field-prompt textarea");
  if (!area) return;
  area.value = words;
  area.dispatchEvent(new Event("input", { bubbles: true }));
  area.focus();
}

function onKey(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !document.querySelector("dialog[open]") && tabShown() === "generate") {
    event.preventDefault();
    // The field that is being written in gives its words to the form first.
    setTimeout(() => document.querySelector("#make")?.click(), 0);
  }
}

function onOutcome(outcome) {
  clearErrors();
  if (outcome.ok) {
    toast(outcome.count > 1 ? tn("{count} picture on the way", "{count} pictures on the way", outcome.count) : t("Your picture is on the way"), { ms: 2500 });
    document.dispatchEvent(new CustomEvent("likeness:accepted"));
    feed.expect(outcome.job_id);
    return;
  }
  // A fault that stands at its field needs no second message, which would lie over other buttons.
  if (!showError(outcome.error)) complain(outcome.error);
}

function showError(error) {
  const name = (error.field ?? "").split(".")[0];
  if (STARTING.has(name)) openPart("starting");
  const field = STARTING.has(name) ? startingField(name) : document.getElementById(`field-${name === "width" || name === "height" ? pixelField(name) : name}`);
  if (!field) return false;
  // A fault is seen, whatever the view shows otherwise.
  if (level() === "simple" && field.closest(".advanced-only")) setLevel("advanced");
  if (field.closest("#advanced")) openPart("advanced");
  field.querySelector("[folds]")?.unfold(true);
  field.classList.add("wrong");
  const id = `${field.id}-error`;
  field.append(h("p", { class: "field-error", id, role: "alert" }, faultWords(error, labelOf(field))));
  const input = field.querySelector("textarea, input:not([type=hidden])");
  input?.setAttribute("aria-invalid", "true");
  input?.setAttribute("aria-describedby", id);
  requestAnimationFrame(() => {
    field.scrollIntoView({ block: "nearest" });
    input?.focus({ preventScroll: true });
  });
  return true;
}

// A size that the person typed is wrong there; one that came with a shape is wrong at the shape.
function pixelField(name) {
  return document.querySelector(`#field-${name} input`)?.value ? name : "shape";
}

// Who is in the pictures to start from is asked where they were chosen.
function startingField(name) {
  const source = document.querySelector("#field-source [label]")?.value;
  return document.getElementById(name === "references" || (!source && name !== "image") ? "field-references" : "field-source");
}

export function openPart(id) {
  const button = document.querySelector(`#${id} button.label-wrap`);
  if (button && !button.classList.contains("open")) button.click();
}

function clearErrors() {
  document.querySelectorAll(".wrong[id^=field-]").forEach(clearError);
}

function clearError(field) {
  if (!field?.classList.contains("wrong")) return;
  field.classList.remove("wrong");
  field.querySelector(".field-error")?.remove();
  field.querySelectorAll("[aria-invalid]").forEach((input) => (input.removeAttribute("aria-invalid"), input.removeAttribute("aria-describedby")));
}

function onEnded(job) {
  if (job.state === "failed" || job.state === "poisoned") {
    toast(job.error?.message ?? t("A job failed"), { kind: "warn", detail: job.error?.remedy, ms: 12_000 });
  } else if (job.captions && job.state === "done") {
    const short = job.step < job.steps ? tn("{count} picture has none: its reason stands there", "{count} pictures have none: their reasons stand there", job.steps - job.step) : "";
    toast(tn("{count} caption written", "{count} captions written", job.step), { kind: short ? "warn" : "info", detail: short });
  } else if (job.state === "done" && paints(job) && tabShown() !== "generate" && !document.querySelector(`:is(likeness-setup, .sheet-review) [data-job="${job.id}"]`)) {
    toast(tn("{count} picture ready", "{count} pictures ready", job.recipe.count), { action: t("Show"), act: () => showTab("generate") });
  }
}

// Gradio writes a field's help under its label; here it sits behind a small mark.
function dress() {
  for (const info of document.querySelectorAll("#form .info-text:not([data-tip])")) {
    info.dataset.tip = info.textContent.trim();
    const block = info.closest(".block");
    const input = block?.querySelector("textarea, input");
    // The label around both would make the help part of the field's name.
    input?.setAttribute("aria-label", block.querySelector("[data-testid=block-info]")?.textContent.trim() ?? "");
    input?.setAttribute("aria-description", info.dataset.tip);
    info.addEventListener("click", (event) => event.preventDefault());
  }
  if (document.querySelector("#field-prompt textarea:not([data-anybody])")) hintAtPrompt();
  const button = document.querySelector("#make:not([aria-keyshortcuts])");
  if (button) {
    button.setAttribute("aria-keyshortcuts", "Control+Enter Meta+Enter");
    button.dataset.tip = navigator.platform.startsWith("Mac") ? t("⌘ Enter") : t("Ctrl + Enter");
  }
}
