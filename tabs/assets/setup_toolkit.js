// AI-Toolkit on the Setup tab: installed here or used where it lies. It runs while a training does, so there is nothing to start.

import { h, setText, toggle } from "./dom.js";
import { showTab } from "./header.js";
import { t } from "./language.js";
import { EngineCard, FOLLOW_MS } from "./setup_engine.js";
import { toast } from "./toast.js";

const STATES = {
  not_installed: { words: t("Not installed"), about: t("AI-Toolkit trains LoRAs of large models: FLUX, Qwen-Image, Z-Image, Wan and SDXL. It needs an NVIDIA graphics card. The studio's own trainer works without it.") },
  installed: { words: t("Installed"), about: t("Its models can be chosen for a new training.") },
  training: { words: t("Training"), about: t("A training runs with it. It is updated and removed after that.") },
  unusable: { words: t("Not usable"), about: t("Choose another folder, or remove this one: then it can be installed here.") },
};
const DOTS = { installed: "ready", training: "busy", unusable: "down" };

export class ToolkitCard extends EngineCard {
  constructor(changed) {
    super({ name: "aitoolkit", title: "AI-Toolkit", id: "toolkit", states: STATES, dots: DOTS, logs: ["install"], changed });
    this.finding.dataset.tip = t("Looks at the usual folders of the studio's computer");
    this.folder = h("input", { id: "toolkit-folder", class: "setting-input", type: "text", spellcheck: "false", autocomplete: "off", placeholder: "/home/you/ai-toolkit", "aria-describedby": "toolkit-folder-help" });
    this.fieldLabel = h("label", { for: "toolkit-folder" }, t("Folder of an AI-Toolkit of yours"));
    this.folder.addEventListener("keydown", (event) => event.key === "Enter" && this.use());
    this.using = h("button", { type: "button", class: "button", "data-tip": t("Train with the AI-Toolkit that lies there; nothing in it is changed"), onclick: () => this.use() }, t("Use this folder"));
    this.help = h("p", { class: "setting-help", id: "toolkit-folder-help" });
    this.facts = h("dl", { class: "facts" });
    this.frame(this.facts, h("div", { class: "engine-connect" }, this.fieldLabel, h("div", { class: "engine-row" }, this.folder, this.using, this.finding), this.fault, this.help, this.found));
  }

  load(settings) {
    return this.look("aitoolkit_path", settings);
  }

  show(info, setting) {
    if (setting) this.setting = setting;
    const { fixed_by: fixed, value } = this.setting ?? {};
    if (document.activeElement !== this.folder && this.shown !== value) this.folder.value = this.shown = value ?? "";
    if (!this.showState(info, info.busy ? FOLLOW_MS : info.state === "training" || info.problem ? 3 * FOLLOW_MS : 0)) return;
    toggle(this.folder, "disabled", Boolean(fixed));
    toggle(this.using, "disabled", !info.actions.includes("connect"));
    toggle(this.finding, "hidden", Boolean(fixed));
    setText(this.help, fixed ? t("Fixed by {where}. It is used as it lies there and never changed.", { where: fixed }) : t("It is used as it lies there and never changed. It needs a Python environment of its own: venv or .venv."));
    this.drawNext(info);
    const facts = [
      [t("Version"), info.version],
      [t("Licence"), info.reachable ? info.licence : ""],
      [t("Folder"), info.folder],
    ].filter(([, fact]) => fact);
    this.facts.replaceChildren(...(info.installed ? facts.map(([name, fact]) => h("div", { class: fact === info.folder ? "wide" : null }, h("dt", {}, name), h("dd", {}, fact))) : []));
    const rows = info.actions.includes("connect") ? info.found_folders.map((folder) => [folder, () => this.order("connect", { folder }), t("Use this folder"), false]) : [];
    this.drawFound(info, rows, t("No AI-Toolkit was found in the usual folders."));
    this.acts.replaceChildren(...this.actButtons(info, "install").filter(Boolean));
  }

  drawNext(info) {
    const made = [];
    if (info.busy) made.push(this.cancelButton());
    else if (info.action_required === "install") made.push(this.button("install", t("Install AI-Toolkit {version}", { version: info.update_version }), true));
    else if (info.action_required === "connect") made.push(h("button", { type: "button", class: "button primary", disabled: !info.actions.includes("connect"), onclick: () => this.folder.focus() }, t("Choose another folder")));
    else made.push(h("button", { type: "button", class: "button primary", onclick: () => showTab("train") }, info.state === "training" ? t("Show the training") : t("Train a character")));
    this.next.replaceChildren(...made);
  }

  async use() {
    const folder = this.folder.value.trim();
    if ((await this.order("connect", { folder })) && !folder) toast(t("The folder is forgotten"), { ms: 3000 });
  }
}
