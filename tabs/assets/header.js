// The header: name, what is going on, light or dark. It stands above every tab.

import { feed } from "./feed.js";
import { h, icon, iconButton, setText, store, toggle } from "./dom.js";
import { number, t, tn } from "./language.js";
import { showShortcuts } from "./shortcuts.js";
import { nextTheme, themeChoice } from "./theme.js";
import { learnNames } from "./words.js";

const THEMES = {
  system: { icon: "auto", words: t("Colours follow your system") },
  light: { icon: "sun", words: t("Light colours") },
  dark: { icon: "moon", words: t("Dark colours") },
};

const LEVELS = {
  simple: { name: t("Simple"), words: t("Only what everyone needs") },
  advanced: { name: t("Advanced"), words: t("Every control, every setting and every figure") },
};

class Header extends HTMLElement {
  static observedAttributes = ["names"];

  attributeChangedCallback(_name, _before, text) {
    learnNames(JSON.parse(text));
  }

  connectedCallback() {
    if (this.childElementCount) return;
    // Where there is room for the sidebar, it shows the jobs; elsewhere they open from here.
    this.jobs = h("button", { type: "button", class: "jobs-button", "data-tip": t("What runs, waits and ended lately"), onclick: () => document.dispatchEvent(new CustomEvent("likeness:jobs")) });
    this.jobsWords = h("span", { class: "jobs-words" });
    this.badge = h("span", { class: "badge", hidden: true });
    this.jobs.append(icon("tray"), this.jobsWords, this.badge);
    this.theme = h("button", { type: "button", class: "icon-button theme-button", onclick: () => (nextTheme(), this.drawTheme()) });
    this.levels = h(
      "div",
      { class: "switch level-switch", role: "group", "aria-label": t("How much is shown") },
      ...Object.entries(LEVELS).map(([id, { name, words }]) => h("button", { type: "button", dataset: { level: id, tip: words }, onclick: () => setLevel(id) }, name)),
    );
    // Where there is no room for two words: the one that holds.
    this.levelWord = h("span");
    this.more = h("button", { type: "button", class: "icon-button level-button", onclick: () => setLevel(level() === "simple" ? "advanced" : "simple") }, icon("sliders"), this.levelWord);
    // By keyboard the header is not walked through each time.
    const skip = h("button", { type: "button", class: "skip-link", "data-tip": t("The row of tabs has the keys then"), onclick: () => document.querySelector("[role=tablist] [role=tab][aria-selected=true]")?.focus() }, t("Skip to the tabs"));
    const mark = h("span", { class: "brand-mark", "aria-hidden": "true" });
    this.append(
      skip,
      h("div", { class: "header-start" }, h("div", { class: "brand" }, mark, h("h1", {}, "Likeness"), h("p", {}, t("A studio for characters that stay themselves"))), this.levels),
      h("div", { class: "header-end" }, h("likeness-engine-work", { hidden: true }), this.jobs, h("likeness-chip"), this.more, iconButton("keyboard", t("Keyboard shortcuts (?)"), showShortcuts, { class: "icon-button shortcuts-button", "aria-keyshortcuts": "?" }), this.theme),
    );
    this.drawTheme();
    this.drawLevel();
    document.addEventListener("likeness:level", () => this.drawLevel());
    feed.addEventListener("change", () => this.draw());
    feed.addEventListener("link", () => this.draw());
    this.draw();
  }

  drawTheme() {
    const { icon: name, words } = THEMES[themeChoice()];
    this.theme.replaceChildren(icon(name));
    this.theme.dataset.tip = words;
    this.theme.setAttribute("aria-label", t("{choice}. Press for the next choice.", { choice: words }));
  }

  drawLevel() {
    for (const button of this.levels.children) button.setAttribute("aria-pressed", button.dataset.level === level());
    const { name, words } = LEVELS[level()];
    setText(this.levelWord, name);
    this.more.dataset.shows = level();
    this.more.dataset.tip = t("{level}: {what}. Press for the other view.", { level: name, what: words });
    this.more.setAttribute("aria-label", this.more.dataset.tip);
  }

  draw() {
    const [job] = feed.running;
    const waiting = feed.queued.length;
    const lost = feed.connected === false;
    const active = feed.running.length + waiting;
    this.jobs.classList.toggle("lost", lost);
    toggle(this.jobs, "data-runs", job);
    const percent = job ? Math.round(job.progress * 100) : 0;
    setText(this.jobsWords, lost ? t("Reconnecting …") : job ? `${percent} %` : t("Jobs"));
    setText(this.badge, `${number(active)}${feed.queuedMore ? "+" : ""}`);
    toggle(this.badge, "hidden", !active || lost);
    const words = tn("{count} job running, {waiting} waiting. Show them.", "{count} jobs running, {waiting} waiting. Show them.", feed.running.length, { waiting: number(waiting) });
    this.jobs.setAttribute("aria-label", lost ? t("The studio is not answering; reconnecting") : active ? words : t("Show the jobs"));
    document.title = job ? `${percent} % · Likeness` : "Likeness";
  }
}

export function showTab(id) {
  document.querySelector(`#tabs [role=tab][data-tab-id="${id}"]`)?.click();
}

export const tabShown = () => document.querySelector("#tabs [role=tab][aria-selected=true]")?.dataset.tabId ?? "generate";

// Calls `act` with the tab that is shown, now and whenever it is another one.
export function onTab(act) {
  let before = null;
  const look = () => {
    const now = tabShown();
    if (now === before) return;
    before = now;
    act(now);
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-selected"] });
  look();
}

// How much the page shows: "simple" or "advanced", as <html data-level> says. Everyone who cares hears `likeness:level`.
export const level = () => document.documentElement.dataset.level ?? "simple";

export function setLevel(next) {
  if (next === level()) return;
  store("level", next === "simple" ? null : next);
  takeLevel();
}

function takeLevel() {
  const now = store("level") === "advanced" ? "advanced" : "simple";
  if (document.documentElement.dataset.level === now) return;
  document.documentElement.dataset.level = now;
  document.dispatchEvent(new CustomEvent("likeness:level", { detail: now }));
}

takeLevel();
addEventListener("storage", (event) => event.key === "likeness-level" && takeLevel());

customElements.define("likeness-header", Header);
