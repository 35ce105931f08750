// Numbers and states in plain words.

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

export function duration(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return plural(Math.round(seconds), "second");
  if (seconds < 90 * 60) return plural(Math.round(seconds / 60), "minute");
  return plural(Math.round(seconds / 3600), "hour");
}

export function ago(when) {
  const seconds = (Date.now() - new Date(when).getTime()) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 86400) return `${duration(seconds)} ago`;
  return new Date(when).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
}

export const moment = (when) => new Date(when).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });

export const bytes = (count) => (count < 2 ** 20 ? `${Math.max(1, Math.round(count / 1024))} KB` : `${(count / 2 ** 20).toFixed(1)} MB`);

export function progressWords(job) {
  if (job.cancel_requested) return "Stopping …";
  if (job.state === "paused") return "Paused";
  if (job.state === "queued") return job.note || "Waiting";
  const parts = [];
  if (job.step > 0) parts.push(`Step ${job.step} of ${job.steps}`);
  else parts.push(job.note || "Starting");
  if (job.eta_s !== null) parts.push(job.eta_s < 1 ? "almost done" : `about ${duration(job.eta_s)} left`);
  return parts.join(" · ");
}

export function endWords(job, pictures) {
  const when = ago(job.finished_at);
  if (job.state === "done") return `${plural(pictures ?? job.recipe.count, "picture")} · ${when}`;
  if (job.state === "cancelled") return pictures ? `Cancelled after ${plural(pictures, "picture")} · ${when}` : `Cancelled · ${when}`;
  if (job.state === "poisoned") return `Gave up after three crashes · ${when}`;
  return `Failed · ${when}`;
}

// How ids are written for people: {samplers: {id: name}, schedulers: {id: name}}, told by the page.
const names = {};
export const learnNames = (more) => Object.assign(names, more);
export const learnMore = (kind, more) => (names[kind] = { ...names[kind], ...more });
export const nameOf = (kind, id) => names[kind]?.[id] ?? id;

export function title(recipe) {
  return recipe?.prompt || "Uploaded picture";
}
