// Numbers and states in plain words.

import { day, language, number, t, tn } from "./language.js";

const sinceWords = new Intl.RelativeTimeFormat(language);

export function duration(seconds) {
  if (seconds < 1) return t("less than a second");
  const [count, unit] = inUnits(seconds);
  return number(count, { style: "unit", unit, unitDisplay: "long" });
}

function inUnits(seconds) {
  if (seconds < 60) return [Math.round(seconds), "second"];
  if (seconds < 90 * 60) return [Math.max(1, Math.round(seconds / 60)), "minute"];
  return [Math.round(seconds / 3600), "hour"];
}

export function ago(when) {
  const seconds = (Date.now() - new Date(when).getTime()) / 1000;
  if (seconds < 45) return t("just now");
  if (seconds >= 86400) return day(new Date(when), { day: "numeric", month: "short", year: "numeric" });
  const [count, unit] = inUnits(seconds);
  return sinceWords.format(-count, unit);
}

// Marks that a prompt goes without, as the model has no words for them.
export const lacksWords = (marks) => tn("The starter model can't draw {marks}: it is left out here, and larger models are told of it.", "The starter model can't draw {marks}: they are left out here, and larger models are told of them.", marks.length, { marks: marks.map((one) => `“${one}”`).join(", ") });

export const moment = (when) => new Date(when).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });

export function bytes(size) {
  if (size < 2 ** 20) return t("{count} KB", { count: number(Math.max(1, Math.round(size / 1024))) });
  return t("{count} MB", { count: number(size / 2 ** 20, { minimumFractionDigits: 1, maximumFractionDigits: 1 }) });
}

export function progressWords(job) {
  if (job.cancel_requested) return t("Stopping …");
  if (job.state === "paused") return t("Paused");
  if (job.state === "queued") return job.note || t("Waiting");
  const parts = [];
  if (job.captions) parts.push(t("{step} of {steps}", { step: number(job.step), steps: number(job.steps) }));
  else if (job.training && /^(Drawing|Judging|Looking)/.test(job.note)) parts.push(job.note);
  else if (job.step > 0) parts.push(t("Step {step} of {steps}", { step: job.step, steps: job.steps }));
  else parts.push(job.note || t("Starting"));
  if (job.eta_s !== null) parts.push(job.eta_s < 1 ? t("almost done") : t("about {time} left", { time: duration(job.eta_s) }));
  return parts.join(" · ");
}

export function endWords(job, pictures) {
  const when = ago(job.finished_at);
  return [end(job, pictures), when].join(" · ");
}

function end(job, pictures) {
  if (job.captions && job.state === "done") return job.step < job.steps ? t("{step} of {steps} captions", { step: number(job.step), steps: number(job.steps) }) : tn("{count} caption", "{count} captions", job.step);
  if (job.training || job.captions) return job.state === "done" ? t("Trained") : job.state === "cancelled" ? t("Cancelled") : job.state === "poisoned" ? t("Gave up after three crashes") : t("Failed");
  if (job.state === "done") return tn("{count} picture", "{count} pictures", pictures ?? job.recipe.count);
  if (job.state === "cancelled") return pictures ? tn("Cancelled after {count} picture", "Cancelled after {count} pictures", pictures) : t("Cancelled");
  if (job.state === "poisoned") return t("Gave up after three crashes");
  return t("Failed");
}

// How ids are written for people: {samplers: {id: name}, schedulers: {id: name}}, told by the page.
const names = {};
export const learnNames = (more) => Object.assign(names, more);
export const learnMore = (kind, more) => (names[kind] = { ...names[kind], ...more });
export const knowsNames = (kind) => kind in names;
export const nameOf = (kind, id) => names[kind]?.[id] ?? id;

// What the studio advises where it has said already what would be right: beside a field that would be heard twice.
const NOTHING_MORE = ["Choose another value.", "Change it and try again."];

// What is wrong and what can be done about it. The studio names a field as its contract does; beside the field it is called as the page calls it.
export function faultWords({ message, remedy, field }, label) {
  const named = field && label ? message.replace(`“${field}”`, (_found, at) => (at ? `“${label}”` : label)) : message;
  return [named, NOTHING_MORE.includes(remedy) ? "" : remedy].filter(Boolean).join(" ");
}

// As a field of the form is called on the page, in the page's language.
export const labelOf = (field) => field.querySelector("[data-testid=block-info]")?.textContent.trim() || field.querySelector("[label]")?.getAttribute("label");

// A job by what was written for it; what the studio put together is called by whom it shows. `who` is the character's name, where known.
export function jobTitle({ request, recipe, training, captions }, who) {
  if (captions) return captions.references ? t("Captions of references") : t("Captions of {name}", { name: who || captions.character });
  if (training) return t("Training of {name}", { name: who || training.character });
  const varied = request.as_written && request.image && !request.workflow;
  if (varied && (who || recipe.prompt)) return t("Variations of {name}", { name: who || recipe.prompt });
  if (request.as_written && who) return who;
  return request.prompt || who || title(recipe);
}

export function title(recipe) {
  return recipe?.prompt || t("Uploaded picture");
}
