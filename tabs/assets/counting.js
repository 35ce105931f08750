// What the simple view does not show and what counts nevertheless: values of the advanced view's fields, with the way to them.

import { h } from "./dom.js";
import { openPart } from "./form.js";
import { level, onTab, setLevel } from "./header.js";
import { t, tn } from "./language.js";

const LABELS = {
  negative_prompt: t("Negative prompt"),
  variations: t("Variations"),
  wildcards: t("Alternatives in prompts"),
  grid: t("Grid"),
  workflow: t("Workflow"),
  width: t("Width"),
  height: t("Height"),
  steps: t("Steps"),
  cfg: t("CFG scale"),
  sampler: t("Sampler"),
  scheduler: t("Scheduler"),
  grain: t("Film grain"),
  tone: t("Tone mapping"),
  tone_strength: t("Tone strength"),
  prompt_suffix: t("Prompt suffix"),
  negative_suffix: t("Negative suffix"),
};
// What they hold where nobody set them; the others are empty then.
const USUAL = { variations: 1, wildcards: "true" };

class Counting extends HTMLElement {
  connectedCallback() {
    if (this.ready) return;
    this.ready = true;
    this.setAttribute("role", "status");
    document.addEventListener("likeness:counted", (event) => this.draw(event.detail));
    const ask = () => {
      clearTimeout(this.timer);
      // The form hears of a change first.
      this.timer = setTimeout(() => document.dispatchEvent(new CustomEvent("likeness:count")), 150);
    };
    for (const type of ["likeness:level", "likeness:reuse-answer", "likeness:outcome-answer"]) document.addEventListener(type, ask);
    for (const type of ["input", "change", "pick"]) document.addEventListener(type, (event) => event.target.closest?.("#form") && ask());
    onTab((tab) => tab === "generate" && ask());
  }

  draw(held) {
    const counts = Object.keys(LABELS).filter((name) => {
      const value = held[name];
      return value !== null && value !== undefined && value !== "" && String(value) !== String(USUAL[name]);
    });
    const key = level() === "simple" ? counts.join() : "";
    if (key === this.key) return;
    this.key = key;
    if (!key) return void this.replaceChildren();
    const words = tn("{count} setting of the Advanced view counts: {names}.", "{count} settings of the Advanced view count: {names}.", counts.length, { names: counts.map((name) => LABELS[name]).join(", ") });
    const show = () => {
      setLevel("advanced");
      // The negative prompt stands outside of what folds.
      if (counts.some((name) => name !== "negative_prompt")) openPart("advanced");
      requestAnimationFrame(() => document.getElementById(`field-${counts[0]}`)?.scrollIntoView({ block: "nearest" }));
    };
    this.replaceChildren(h("p", {}, words, " ", h("button", { type: "button", class: "quiet", "data-tip": t("Switch to the Advanced view"), onclick: show }, t("Show them"))));
  }
}

customElements.define("likeness-counting", Counting);
