// The header: name, what is going on, light or dark. It stands above every tab.

import { feed } from "./feed.js";
import { h, icon, setText } from "./dom.js";
import { nextTheme, themeChoice } from "./theme.js";
import { learnNames, plural } from "./words.js";

const THEMES = {
  system: { icon: "auto", words: "Colours follow your system" },
  light: { icon: "sun", words: "Light colours" },
  dark: { icon: "moon", words: "Dark colours" },
};

class Header extends HTMLElement {
  static observedAttributes = ["names"];

  attributeChangedCallback(_name, _before, text) {
    learnNames(JSON.parse(text));
  }

  connectedCallback() {
    if (this.childElementCount) return;
    this.busy = h("button", { type: "button", class: "busy-chip", hidden: true, onclick: () => showTab("generate") });
    this.busyWords = h("span");
    this.busy.append(h("span", { class: "busy-dot", "aria-hidden": "true" }), this.busyWords);
    this.theme = h("button", { type: "button", class: "icon-button theme-button", onclick: () => (nextTheme(), this.drawTheme()) });
    const mark = h("span", { class: "brand-mark", "aria-hidden": "true" });
    this.append(
      h("div", { class: "brand" }, mark, h("h1", {}, "Likeness"), h("p", {}, "A studio for characters that stay themselves")),
      h("div", { class: "header-end" }, this.busy, h("likeness-chip"), this.theme),
    );
    this.drawTheme();
    feed.addEventListener("change", () => this.draw());
    feed.addEventListener("link", () => this.draw());
    this.draw();
  }

  drawTheme() {
    const { icon: name, words } = THEMES[themeChoice()];
    this.theme.replaceChildren(icon(name));
    this.theme.dataset.tip = words;
    this.theme.setAttribute("aria-label", `${words}. Press for the next choice.`);
  }

  draw() {
    const [job] = feed.running;
    const waiting = feed.queued.length;
    const lost = feed.connected === false;
    this.busy.hidden = !job && !waiting && !lost;
    this.busy.classList.toggle("lost", lost);
    const percent = job ? Math.round(job.progress * 100) : 0;
    const words = [job && `${percent} %`, waiting && `${waiting.toLocaleString("en")}${feed.queuedMore ? "+" : ""} waiting`].filter(Boolean).join(" · ");
    setText(this.busyWords, lost ? "Reconnecting …" : words);
    this.busy.setAttribute("aria-label", lost ? "The studio is not answering; reconnecting" : `${plural(feed.running.length, "job")} running, ${waiting} waiting. Show them.`);
    document.title = job ? `${percent} % · Likeness` : "Likeness";
  }
}

export function showTab(id) {
  document.querySelector(`#tabs [role=tab][data-tab-id="${id}"]`)?.click();
}

export const tabShown = () => document.querySelector("#tabs [role=tab][aria-selected=true]")?.dataset.tabId ?? "generate";

customElements.define("likeness-header", Header);
