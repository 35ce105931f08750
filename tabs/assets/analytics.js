// Analytics: the numbers as cards, and as tables for whoever reads better than they see. The charts between them are Plotly's.

import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { showTab } from "./header.js";
import { duration } from "./words.js";

const RANGES = [
  [7, "7 days"],
  [30, "30 days"],
  [90, "90 days"],
  [365, "1 year"],
];
const STATES = { done: "done", failed: "failed", poisoned: "given up after crashes", cancelled: "cancelled", running: "running", queued: "waiting", paused: "paused" };

const number = (count) => count.toLocaleString("en");
const percent = (rate) => (rate === null ? "–" : `${(100 * rate).toLocaleString("en", { maximumFractionDigits: rate > 0.99 && rate < 1 ? 1 : 0 })} %`);
const seconds = (time) => {
  if (time === null) return "–";
  if (time < 1) return `${Math.round(time * 1000)} ms`;
  if (time < 90) return `${time.toFixed(time < 10 ? 1 : 0)} s`;
  return duration(time);
};

class Board extends HTMLElement {
  static observedAttributes = ["value"];

  connectedCallback() {
    if (this.childElementCount) return;
    this.ranges = h(
      "div",
      { class: "switch", role: "group", "aria-label": "How many days" },
      ...RANGES.map(([days, words]) =>
        h("button", { type: "button", "data-days": days, "aria-pressed": "false", "data-tip": `The last ${words === "1 year" ? "365 days" : words}`, onclick: () => this.ask(days) }, words),
      ),
    );
    this.again = iconButton("retry", "Count again", () => this.ask(this.days));
    this.head = h("div", { class: "analytics-head" }, h("h2", {}, "Analytics"), this.ranges, this.again);
    this.cards = h("div", { class: "analytics-cards", role: "list", "aria-label": "Numbers" });
    this.empty = h("div", { class: "empty", hidden: true });
    this.status = h("p", { class: "soft analytics-status", role: "status" });
    this.append(this.head, this.status, this.cards, this.empty);
    this.draw();
  }

  attributeChangedCallback(_name, _before, text) {
    this.value = JSON.parse(text ?? "null");
    if (this.head) this.draw();
  }

  get days() {
    return this.value?.days ?? 30;
  }

  ask(days) {
    toggle(this.again, "data-busy", true);
    this.dispatchEvent(new CustomEvent("ask", { detail: { days } }));
  }

  draw() {
    const { report = null, error = null } = this.value ?? {};
    toggle(this.again, "data-busy", false);
    for (const button of this.ranges.children) button.setAttribute("aria-pressed", Number(button.dataset.days) === this.days);
    const nothing = !report || report.empty;
    toggle(this.ranges, "hidden", nothing);
    toggle(this.again, "hidden", nothing && !error);
    toggle(this.cards, "hidden", nothing);
    toggle(this.empty, "hidden", !nothing);
    setText(this.status, nothing ? "" : quiet(report));
    toggle(this.status, "hidden", nothing || !quiet(report));
    if (error) {
      this.empty.replaceChildren(icon("warn"), h("h2", {}, error.message), h("p", { class: "soft" }, error.remedy));
    } else if (nothing) {
      this.empty.replaceChildren(
        icon("chart"),
        h("h2", {}, report ? "Nothing to count yet" : "Counting …"),
        report
          ? h("p", { class: "soft" }, "As soon as you make pictures you will see here how many a day, of whom and with which presets, how long they take, which ones you like, and what went wrong and how to mend it.")
          : "",
        report ? h("button", { type: "button", class: "button primary", onclick: () => showTab("generate") }, "Make the first picture") : "",
      );
    } else {
      this.cards.replaceChildren(...cards(report));
    }
  }
}

const quiet = (report) => (report.pictures || report.jobs_total ? "" : `Nothing was made in the last ${report.days} days. A longer time may have more.`);

function cards(report) {
  const { jobs } = report;
  const bad = jobs.failed + jobs.poisoned;
  const waiting = jobs.queued + jobs.running + jobs.paused;
  const card = (label, value, note, about) =>
    h("div", { class: "analytics-card", role: "listitem", "data-tip": about }, h("h3", {}, label), h("p", { class: "analytics-number" }, value), h("p", { class: "soft" }, note));
  return [
    card("Pictures", number(report.pictures), `${(report.pictures / report.days).toLocaleString("en", { maximumFractionDigits: report.pictures < 10 * report.days ? 1 : 0 })} a day on average`, "Made in these days and not deleted for good"),
    card("Favourites", percent(report.favourite_rate), `${number(report.favourites)} with a heart`, "How many of the pictures have a heart"),
    card("Success", percent(report.success_rate), bad ? `${number(bad)} of ${number(jobs.done + bad)} jobs failed` : `${number(jobs.done)} ${jobs.done === 1 ? "job" : "jobs"} done, none failed`, "Jobs that were done, of those that were done or failed"),
    card("Jobs", number(report.jobs_total), [waiting && `${number(waiting)} not ended`, jobs.cancelled && `${number(jobs.cancelled)} cancelled`].filter(Boolean).join(", ") || "all ended", "Jobs that were asked for in these days"),
    card("Waiting", seconds(report.queue_s.p50), `95 of 100 at most ${seconds(report.queue_s.p95)}`, "From the click until work on a job began: half of the jobs waited at most this long"),
    card("Making", seconds(report.run_s.p50), `95 of 100 at most ${seconds(report.run_s.p95)}`, "From the beginning of a job to its end: half of those done took at most this long"),
  ];
}

class Tables extends HTMLElement {
  static observedAttributes = ["value"];

  attributeChangedCallback(_name, _before, text) {
    const report = JSON.parse(text ?? "null")?.report;
    const open = new Set([...this.querySelectorAll("details[open]")].map((one) => one.dataset.name));
    this.replaceChildren(...(report && !report.empty ? tables(report) : []));
    for (const one of this.querySelectorAll("details")) one.open = open.has(one.dataset.name);
  }
}

function tables(report) {
  const share = (one) => [one.name, number(one.pictures), number(one.favourites), percent(one.favourite_rate)];
  const day = (one) => [new Date(`${one.date}T12:00`).toLocaleDateString("en", { dateStyle: "medium" }), number(one.pictures)];
  const shares = ["Pictures", "Favourites", "Rate"];
  const states = Object.entries(report.jobs).filter(([, count]) => count);
  return [
    report.errors.length
      ? h("section", { class: "analytics-errors" }, h("h3", {}, "What went wrong"), table("Errors by frequency", ["Error", "Jobs", "What to do"], report.errors.map((fault) => [[h("strong", {}, fault.message), h("code", {}, fault.code)], number(fault.count), fault.remedy])))
      : "",
    h(
      "section",
      { class: "analytics-details" },
      h("h3", {}, "The same as tables"),
      fold("states", "Jobs by state", table("Jobs by state", ["State", "Jobs"], states.map(([state, count]) => [STATES[state], number(count)]))),
      fold("days", "Pictures by day", table("Pictures by day", ["Day", "Pictures"], [...report.per_day].reverse().map(day))),
      fold("characters", "Pictures by character", table("Pictures by character", ["Character", ...shares], report.by_character.map(share))),
      fold("presets", "Pictures by preset", table("Pictures by preset", ["Preset", ...shares], report.by_preset.map(share))),
    ),
  ];
}

const fold = (name, words, content) => h("details", { "data-name": name }, h("summary", {}, words), content);

function table(caption, heads, rows) {
  if (!rows.length) return h("p", { class: "soft" }, "Nothing in these days.");
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

// Charts are pictures to a screen reader; the tables below say the same.
const CHARTS = { days: "Pictures per day", characters: "Pictures by character", presets: "Pictures by preset" };
function label() {
  for (const [name, words] of Object.entries(CHARTS)) {
    const chart = document.getElementById(`analytics-${name}`);
    if (!chart || chart.dataset.words) continue;
    chart.dataset.words = words;
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `${words}, as a chart. The same as a table stands below.`);
  }
}
new MutationObserver(label).observe(document.body, { childList: true, subtree: true });

customElements.define("likeness-analytics", Board);
customElements.define("likeness-analytics-tables", Tables);
