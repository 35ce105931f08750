// What is being done with ComfyUI, in the header of every tab: an installation goes on wherever one looks.

import { post } from "./api.js";
import { h, icon, setText, toggle } from "./dom.js";
import { feed } from "./feed.js";
import { t } from "./language.js";
import { showSetup } from "./setup_way.js";
import { complain, toast } from "./toast.js";

const DOING = { install: t("Installing ComfyUI"), update: t("Updating ComfyUI"), start: t("Starting ComfyUI") };
const DONE = { install: t("ComfyUI is installed"), update: t("ComfyUI is updated"), start: t("ComfyUI runs") };
const FAILED = { install: t("ComfyUI could not be installed"), update: t("ComfyUI could not be updated"), start: t("ComfyUI could not be started") };

class EngineWork extends HTMLElement {
  connectedCallback() {
    if (this.childElementCount) return;
    this.words = h("span", { class: "work-words" });
    this.percent = h("span", { class: "work-percent" });
    this.show = h("button", { type: "button", class: "work-show", onclick: () => showSetup() }, icon("download"), this.words, this.percent);
    this.cancel = h("button", { type: "button", class: "work-cancel", onclick: () => this.stop() }, icon("close"));
    this.append(this.show, this.cancel);
    feed.addEventListener("engine", ({ detail }) => this.ended(detail));
    feed.addEventListener("engine-now", () => this.draw());
    this.draw();
  }

  draw() {
    const work = feed.engine;
    toggle(this, "hidden", !work);
    if (!work) return;
    const percent = t("{count} %", { count: Math.round(work.progress * 100) });
    setText(this.words, DOING[work.act]);
    setText(this.percent, percent);
    this.style.setProperty("--done", work.progress);
    this.show.dataset.tip = work.note || DOING[work.act];
    this.show.setAttribute("aria-label", t("{doing}: {percent}. Show it on Setup.", { doing: DOING[work.act], percent }));
    const words = t("Cancel: {doing}", { doing: DOING[work.act] });
    if (this.cancel.dataset.tip !== words) {
      this.cancel.dataset.tip = words;
      this.cancel.setAttribute("aria-label", words);
    }
  }

  ended(work) {
    if (work.state === "done") toast(DONE[work.act], work.act === "install" ? { action: t("Start it"), act: () => showSetup() } : {});
    else if (work.state === "failed") toast(FAILED[work.act], { kind: "warn", detail: `${work.problem} ${work.remedy}`.trim(), action: t("Show"), act: () => showSetup(), ms: 15_000 });
  }

  async stop() {
    try {
      await post(`engines/${feed.engine.name}/cancel`, {});
    } catch (problem) {
      complain(problem);
    }
  }
}

customElements.define("likeness-engine-work", EngineWork);
