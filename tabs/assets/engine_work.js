// What is being done with ComfyUI or AI-Toolkit, in the header of every tab: an installation goes on wherever one looks.

import { post } from "./api.js";
import { h, icon, setText, toggle } from "./dom.js";
import { feed } from "./feed.js";
import { t } from "./language.js";
import { showSetup } from "./setup_way.js";
import { complain, toast } from "./toast.js";

const DOING = { install: (engine) => t("Installing {engine}", { engine }), update: (engine) => t("Updating {engine}", { engine }), start: (engine) => t("Starting {engine}", { engine }) };
const DONE = { install: (engine) => t("{engine} is installed", { engine }), update: (engine) => t("{engine} is updated", { engine }), start: (engine) => t("{engine} runs", { engine }) };
const FAILED = {
  install: (engine) => t("{engine} could not be installed", { engine }),
  update: (engine) => t("{engine} could not be updated", { engine }),
  start: (engine) => t("{engine} could not be started", { engine }),
};
const CARDS = { comfyui: "comfy-title", aitoolkit: "toolkit-title" };
// What one does with it next.
const NEXT = { comfyui: t("Start it"), aitoolkit: t("Show") };

class EngineWork extends HTMLElement {
  connectedCallback() {
    if (this.childElementCount) return;
    this.words = h("span", { class: "work-words" });
    this.percent = h("span", { class: "work-percent" });
    this.show = h("button", { type: "button", class: "work-show", onclick: () => showSetup(CARDS[feed.engine?.name]) }, icon("download"), this.words, this.percent);
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
    const doing = DOING[work.act](work.title);
    setText(this.words, doing);
    setText(this.percent, percent);
    this.style.setProperty("--done", work.progress);
    this.show.dataset.tip = work.note || doing;
    this.show.setAttribute("aria-label", t("{doing}: {percent}. Show it on Setup.", { doing, percent }));
    const words = t("Cancel: {doing}", { doing });
    if (this.cancel.dataset.tip !== words) {
      this.cancel.dataset.tip = words;
      this.cancel.setAttribute("aria-label", words);
    }
  }

  ended(work) {
    const act = () => showSetup(CARDS[work.name]);
    if (work.state === "done") toast(DONE[work.act](work.title), work.act === "install" ? { action: NEXT[work.name], act } : {});
    else if (work.state === "failed") toast(FAILED[work.act](work.title), { kind: "warn", detail: `${work.problem} ${work.remedy}`.trim(), action: t("Show"), act, ms: 15_000 });
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
