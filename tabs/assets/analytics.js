// Analytics: in plain words, in figures for whoever asks for them, and as tables for whoever reads better than they see.
// The charts between them are charts.js's.

import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { level, showTab } from "./header.js";
import { day, number, t, tn } from "./language.js";
import { duration } from "./words.js";

const RANGES = [
  [7, t("7 days"), t("The last 7 days")],
  [30, t("30 days"), t("The last 30 days")],
  [90, t("90 days"), t("The last 90 days")],
  [365, t("1 year"), t("The last 365 days")],
];
const TABLES_MS = 150; // the numbers and the charts come first
const STATES = { done: t("done"), failed: t("failed"), poisoned: t("given up after crashes"), cancelled: t("cancelled"), running: t("running"), queued: t("waiting"), paused: t("paused") };

const percent = (rate) => (rate === null ? "–" : `${number(100 * rate, { maximumFractionDigits: rate > 0.99 && rate < 1 ? 1 : 0 })} %`);
const seconds = (time) => {
  if (time === null) return "–";
  if (time < 1) return t("{count} ms", { count: Math.round(time * 1000) });
  const digits = time < 10 ? 1 : 0;
  if (time < 90) return t("{count} s", { count: number(time, { minimumFractionDigits: digits, maximumFractionDigits: digits }) });
  return duration(time);
};

class Board extends HTMLElement {
  static observedAttributes = ["value"];

  connectedCallback() {
    if (this.childElementCount) return;
    this.ranges = h(
      "div",
      { class: "switch", role: "group", "aria-label": t("How many days") },
      ...RANGES.map(([days, words, about]) =>
        h("button", { type: "button", "data-days": days, "aria-pressed": "false", "data-tip": about, onclick: () => this.ask(days) }, words),
      ),
    );
    this.again = iconButton("retry", t("Count again"), () => this.ask(this.days));
    this.head = h("div", { class: "analytics-head" }, h("h2", {}, t("Analytics")), this.ranges, this.again);
    this.plain = h("div", { class: "analytics-cards plain", role: "list", "aria-label": t("In plain words") });
    this.more = h("button", { type: "button", class: "quiet analytics-more", "aria-expanded": "false", "aria-controls": "analytics-figures", "data-tip": t("Jobs by state, and how long they waited and took"), onclick: () => this.unfold() }, icon("chart"), h("span", {}, t("All figures")));
    this.cards = h("div", { class: "analytics-cards", role: "list", "aria-label": t("Numbers") });
    this.states = h("div", { class: "analytics-states" });
    this.figures = h("section", { class: "analytics-figures", id: "analytics-figures", "aria-label": t("All figures") }, this.cards, this.states);
    this.empty = h("div", { class: "empty", hidden: true });
    this.status = h("p", { class: "soft analytics-status", role: "status" });
    this.append(this.head, this.status, this.plain, this.more, this.figures, this.empty);
    document.addEventListener("likeness:level", () => this.draw());
    if (!this.value?.report) this.value = document.querySelector("likeness-early")?.told ?? this.value; // until the visit's own answer
    this.draw();
  }

  attributeChangedCallback(_name, _before, text) {
    const value = JSON.parse(text ?? "null");
    if (this.value?.report && value && !value.report && !value.error) return; // nothing was answered yet
    this.value = value;
    if (this.head) this.draw();
  }

  get days() {
    return this.value?.days ?? 30;
  }

  ask(days) {
    toggle(this.again, "data-busy", true);
    this.dispatchEvent(new CustomEvent("ask", { detail: { days } }));
  }

  unfold() {
    this.open = !this.open;
    this.draw();
  }

  draw() {
    const { report = null, error = null } = this.value ?? {};
    const expert = level() === "advanced";
    toggle(this.again, "data-busy", false);
    for (const button of this.ranges.children) button.setAttribute("aria-pressed", Number(button.dataset.days) === this.days);
    const nothing = !report || report.empty;
    toggle(this.ranges, "hidden", nothing);
    toggle(this.again, "hidden", nothing && !error);
    toggle(this.plain, "hidden", nothing || expert);
    toggle(this.more, "hidden", nothing || expert);
    toggle(this.figures, "hidden", nothing || !(expert || this.open));
    this.more.setAttribute("aria-expanded", Boolean(this.open));
    toggle(this.empty, "hidden", !nothing);
    setText(this.status, nothing ? "" : quiet(report));
    toggle(this.status, "hidden", nothing || !quiet(report));
    if (error) {
      this.empty.replaceChildren(icon("warn"), h("h2", {}, error.message), h("p", { class: "soft" }, error.remedy));
    } else if (nothing) {
      this.empty.replaceChildren(
        icon("chart"),
        h("h2", {}, report ? t("Nothing to count yet") : t("Counting …")),
        report
          ? h("p", { class: "soft" }, t("As soon as you make pictures you will see here how many a day, of whom and with which presets, how long they take, which ones you like, and what went wrong and how to mend it."))
          : "",
        report ? h("button", { type: "button", class: "button primary", "data-tip": t("Open Generate"), onclick: () => showTab("generate") }, t("Make the first picture")) : "",
      );
    } else {
      this.plain.replaceChildren(...plainCards(report));
      if (this.figures.hidden) return;
      this.cards.replaceChildren(...cards(report));
      const states = Object.entries(report.jobs).filter(([, count]) => count);
      const listed = table(t("Jobs by state"), [t("State"), t("Jobs")], states.map(([state, count]) => [STATES[state], number(count)]));
      const folded = fold("states", t("Jobs by state"), listed);
      folded.open = this.states.querySelector("details")?.open ?? false;
      this.states.replaceChildren(folded);
    }
  }
}

const quiet = (report) => (report.pictures || report.jobs_total ? "" : tn("Nothing was made in the last {count} days. A longer time may have more.", "Nothing was made in the last {count} days. A longer time may have more.", report.days));

const card = (label, value, note, about) =>
  h("div", { class: "analytics-card", role: "listitem", "data-tip": about }, h("h3", {}, label), h("p", { class: "analytics-number" }, value), h("p", { class: "soft" }, note));

// Days before the first picture of these days are no days without work.
function daily({ pictures, per_day: days }) {
  const first = days.findIndex((one) => one.pictures);
  if (first < 0) return t("none in these days");
  const counted = days.length - first;
  if (counted === 1) return t("all of them today");
  const count = number(pictures / counted, { maximumFractionDigits: pictures < 10 * counted ? 1 : 0 });
  if (!first) return t("{count} a day on average", { count });
  return t("{count} a day since {day}", { count, day: day(new Date(`${days[first].date}T00:00`)) });
}

// What somebody wants to know who counts pictures, not jobs.
function plainCards(report) {
  const { jobs } = report;
  const bad = jobs.failed + jobs.poisoned;
  const tried = jobs.done + bad;
  return [
    card(t("Pictures made"), number(report.pictures), daily(report), t("Made in these days and not deleted for good")),
    card(t("Favourites"), number(report.favourites), liked(report), t("Pictures with a heart")),
    card(t("Jobs that worked"), worked(jobs.done, bad), bad ? tn("{done} of {count} job; what went wrong stands below", "{done} of {count} jobs; what went wrong stands below", tried, { done: number(jobs.done) }) : tried ? tn("{count} job, and nothing went wrong", "{count} jobs, and nothing went wrong", tried) : t("No job ended in these days"), t("Jobs that were done, of those that were done or failed")),
    card(t("How long it took"), report.run_s.p50 === null ? "–" : t("about {time}", { time: duration(report.run_s.p50) }), patience(report), t("Usually, from the beginning of a job to its last picture")),
  ];
}

function worked(done, bad) {
  if (!done && !bad) return "–";
  if (!bad) return t("All of them");
  if (!done) return t("None yet");
  const share = done / (done + bad);
  return share >= 0.9 ? t("Nearly all") : share >= 0.6 ? t("Most") : share >= 0.4 ? t("About half") : t("A few");
}

// Whose pictures, and made with which preset, have the most hearts.
function liked(report) {
  if (!report.favourites) return t("Give a heart to what you like, and you see here what you like most");
  const best = (shares) => shares.filter((one) => one.id && one.favourites).sort((one, other) => other.favourites - one.favourites)[0]?.name;
  const [who, look] = [best(report.by_character), best(report.by_preset)];
  const share = t("{percent} of all", { percent: percent(report.favourite_rate) });
  return [share, who || look ? t("most hearts: {names}", { names: [who, look].filter(Boolean).join(", ") }) : null].filter(Boolean).join(" · ");
}

function patience({ queue_s: queue, run_s: run }) {
  if (run.p50 === null) return t("Nothing was finished in these days");
  return queue.p50 >= 5 ? t("rarely more than {time}, after {wait} of waiting for its turn", { time: duration(run.p95), wait: duration(queue.p50) }) : t("rarely more than {time}", { time: duration(run.p95) });
}

function cards(report) {
  const { jobs } = report;
  const bad = jobs.failed + jobs.poisoned;
  const waiting = jobs.queued + jobs.running + jobs.paused;
  return [
    card(t("Pictures"), number(report.pictures), daily(report), t("Made in these days and not deleted for good")),
    card(t("Favourites"), percent(report.favourite_rate), tn("{count} with a heart", "{count} with a heart", report.favourites), t("How many of the pictures have a heart")),
    card(t("Success"), percent(report.success_rate), bad ? tn("{bad} of {count} jobs failed", "{bad} of {count} jobs failed", jobs.done + bad, { bad: number(bad) }) : tn("{count} job done, none failed", "{count} jobs done, none failed", jobs.done), t("Jobs that were done, of those that were done or failed")),
    card(t("Jobs"), number(report.jobs_total), [waiting && tn("{count} not ended", "{count} not ended", waiting), jobs.cancelled && tn("{count} cancelled", "{count} cancelled", jobs.cancelled)].filter(Boolean).join(", ") || t("all ended"), t("Jobs that were asked for in these days")),
    card(t("Waiting"), seconds(report.queue_s.p50), t("95 of 100 at most {time}", { time: seconds(report.queue_s.p95) }), t("From the click until work on a job began: half of the jobs waited at most this long")),
    card(t("Making"), seconds(report.run_s.p50), t("95 of 100 at most {time}", { time: seconds(report.run_s.p95) }), t("From the beginning of a job to its end: half of those done took at most this long")),
  ];
}

class Tables extends HTMLElement {
  static observedAttributes = ["value"];

  attributeChangedCallback(_name, _before, text) {
    const report = JSON.parse(text ?? "null")?.report;
    const something = report && !report.empty;
    this.replaceChildren(something ? faults(report) : "", ...this.querySelectorAll(":scope > .analytics-details"));
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.draw(something ? tables(report) : []), TABLES_MS);
  }

  draw(sections) {
    const before = this.querySelector(".analytics-details");
    const open = new Set([...this.querySelectorAll("details[open]")].map((one) => one.dataset.name));
    before?.remove();
    this.append(...sections);
    for (const one of this.querySelectorAll("details")) one.open = open.has(one.dataset.name);
  }
}

const faults = ({ errors }) =>
  errors.length
    ? h("section", { class: "analytics-errors" }, h("h3", {}, t("What went wrong")), table(t("Errors by frequency"), [t("Error"), t("Jobs"), t("What to do")], errors.map((fault) => [[h("strong", {}, fault.message), h("code", { class: "advanced-only" }, fault.code)], number(fault.count), fault.remedy])))
    : "";

function tables(report) {
  const share = (one) => [one.name, number(one.pictures), number(one.favourites), percent(one.favourite_rate)];
  const line = (one) => [day(new Date(`${one.date}T12:00`)), number(one.pictures)];
  const shares = [t("Pictures"), t("Favourites"), t("Rate")];
  return [
    h(
      "section",
      { class: "analytics-details" },
      h("h3", {}, t("The same as tables")),
      fold("days", t("Pictures by day"), table(t("Pictures by day"), [t("Day"), t("Pictures")], [...report.per_day].reverse().map(line))),
      fold("characters", t("Pictures by character"), table(t("Pictures by character"), [t("Character"), ...shares], report.by_character.map(share))),
      fold("presets", t("Pictures by preset"), table(t("Pictures by preset"), [t("Preset"), ...shares], report.by_preset.map(share))),
      report.by_style.some((one) => one.id) ? fold("styles", t("Pictures by style"), table(t("Pictures by style"), [t("Style"), ...shares], report.by_style.map(share))) : "",
    ),
  ];
}

const fold = (name, words, content) => h("details", { "data-name": name }, h("summary", {}, words), content);

function table(caption, heads, rows) {
  if (!rows.length) return h("p", { class: "soft" }, t("Nothing in these days."));
  return h(
    "div",
    { class: "analytics-table", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "sr-only" }, caption),
      h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, ...rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell))))),
    ),
  );
}

customElements.define("likeness-analytics", Board);
customElements.define("likeness-analytics-tables", Tables);
