// ComfyUI on the Setup tab: how it is, the one thing to do next, and everything else that can be done with it.

import { post } from "./api.js";
import { h, icon, setText, toggle } from "./dom.js";
import { number, t, tn } from "./language.js";
import { EngineCard, FOLLOW_MS } from "./setup_engine.js";
import { toast } from "./toast.js";

// How long the studio takes at most until it looks at its servers again.
const ASKING_MS = 4000;
const STATES = {
  not_installed: { words: t("Not installed"), about: t("ComfyUI makes pictures with larger models. Connect to one that runs, or have it installed here.") },
  installed: { words: t("Installed"), about: t("It is on this computer and does not run. Once started, it starts and ends with the studio.") },
  running: { words: t("Running"), about: t("It runs and does not answer yet: loading takes up to a minute.") },
  reachable: { words: t("Reachable"), about: t("It answers: its models can be chosen on the Generate tab.") },
  asking: { words: t("Asking …"), about: t("The studio asks at this address whether a ComfyUI is there.") },
  offline: { words: t("Offline"), about: t("Jobs for ComfyUI wait until it answers.") },
};
const DOTS = { reachable: "ready", running: "loading", asking: "loading", offline: "down" };

export class ComfyCard extends EngineCard {
  constructor(changed) {
    super({ name: "comfyui", title: "ComfyUI", id: "comfy", states: STATES, dots: DOTS, logs: ["install", "server"], changed });
    this.finding.dataset.tip = t("Looks at the usual ports and folders of the studio's computer");
    this.servers = h("div", { class: "engine-servers" });
    this.address = h("input", { id: "comfy-address", class: "setting-input", type: "text", inputmode: "url", spellcheck: "false", autocomplete: "off", placeholder: "http://127.0.0.1:8188", "aria-describedby": "comfy-address-help" });
    this.fieldLabel = h("label", { for: "comfy-address" }, t("Address of a running ComfyUI"));
    this.address.addEventListener("keydown", (event) => event.key === "Enter" && this.connect());
    this.connecting = h("button", { type: "button", class: "button", "data-tip": t("Keep this address, and make pictures there"), onclick: () => this.connect() }, t("Connect"));
    this.frame(
      this.servers,
      h(
        "div",
        { class: "engine-connect" },
        this.fieldLabel,
        h("div", { class: "engine-row" }, this.address, this.connecting, this.finding),
        this.fault,
        h("p", { class: "setting-help", id: "comfy-address-help" }, t("Several with commas between them."), h("span", { class: "advanced-only" }, " ", t("A token or a password comes from the environment alone:"), " ", h("code", {}, "COMFYUI_TOKEN"))),
        this.found,
      ),
    );
  }

  load(settings) {
    return this.look("comfyui_url", settings);
  }

  show(info, setting) {
    if (setting) this.setting = setting;
    // A server that was asked again answers as before until the studio looked.
    const asking = info.state === "offline" && Date.now() < this.asking;
    if (asking) info = { ...info, state: "asking", problem: "", remedy: "", action_required: null };
    const { fixed_by: fixed, value } = this.setting ?? {};
    if (document.activeElement !== this.address && this.shown !== value) this.address.value = this.shown = value ?? "";
    toggle(this.address, "disabled", Boolean(fixed));
    toggle(this.connecting, "disabled", Boolean(fixed));
    // Looked for once, by the worker, before anybody has to ask: whoever has one already need not know where.
    if (info.state === "not_installed" && !info.looked && !info.problem && info.actions.includes("find") && !this.sought) {
      this.sought = true;
      post("engines/comfyui/find", {}).then((looking) => this.show(looking), () => {});
    }
    const follows = info.busy || ["running", "asking"].includes(info.state) || info.problem;
    if (!this.showState(info, follows ? FOLLOW_MS * (info.busy || info.state === "asking" ? 1 : 3) : 0)) return;
    this.drawNext(info);
    // Where none answers the card itself says why.
    this.servers.replaceChildren(...info.servers.filter((server) => server.state === "reachable" || info.reachable).map((server) => (server.state === "reachable" ? serverFacts(server) : h("p", { class: "engine-trouble" }, `${server.problem} ${server.remedy}`))));
    const rows = [
      ...info.found_urls.map((url) => [url, () => this.order("connect", { url: [this.setting?.value, url].filter(Boolean).join(", ") }), t("Connect"), fixed]),
      ...(info.own ? [] : info.found_folders).map((folder) => [folder, () => this.order("connect", { folder }), t("Use this folder"), info.folder === folder]),
    ];
    this.drawFound(info, rows, t("No ComfyUI was found on the usual ports and in the usual folders."));
    this.drawActs(info);
  }

  drawNext(info) {
    const can = (name) => info.actions.includes(name);
    const made = [];
    if (info.busy) made.push(this.cancelButton());
    else if (info.action_required === "start") made.push(this.button("start", t("Start"), true));
    else if (info.action_required === "install") made.push(this.button("install", t("Install ComfyUI {version}", { version: info.update_version }), true));
    else if (info.action_required === "connect") made.push(h("button", { type: "button", class: "button primary", onclick: () => this.again() }, icon("retry"), t("Ask again")));
    else if (can("stop")) made.push(this.button("stop", t("Stop")));
    this.next.replaceChildren(...made);
  }

  drawActs(info) {
    const can = (name) => info.actions.includes(name);
    const which = ["install", "update"].includes(info.busy) || !info.installed || (info.problem && !info.running) ? "install" : "server";
    this.acts.replaceChildren(
      ...[
        can("start") && info.action_required !== "start" ? this.button("start", t("Start")) : null,
        can("refresh") && info.reachable ? this.refreshButton() : null,
        can("install") && info.action_required !== "install" ? this.button("install", t("Install one here")) : null,
        ...this.actButtons(info, which),
      ].filter(Boolean),
    );
  }

  refreshButton() {
    const button = this.button("refresh", t("Read its models anew"));
    button.dataset.tip = t("Models, LoRAs and nodes that were just put there; by itself it is done once a minute");
    return button;
  }

  connect() {
    this.asking = Date.now() + ASKING_MS;
    return this.order("connect", { url: this.address.value.trim() });
  }

  // What stands in the field is asked, also where it was changed and not connected yet.
  again() {
    if (!this.setting?.fixed_by) return this.connect();
    this.asking = Date.now() + ASKING_MS;
    return this.load();
  }

  async order(act, body = {}) {
    const done = await super.order(act, body);
    if (act !== "connect") return done;
    if (!done) this.asking = 0;
    else if (body.url === "") toast(t("The address is forgotten"), { ms: 3000 });
    return done;
  }
}

function serverFacts(server) {
  const memory = server.vram_mb >= 1024 ? t("{count} GB", { count: number(server.vram_mb / 1024, { maximumFractionDigits: 1 }) }) : t("{count} MB", { count: Math.round(server.vram_mb) });
  const facts = [
    [t("Address"), server.url.replace(/^https?:\/\//, "")],
    [t("Version"), server.version],
    [t("Computes on"), server.device],
    [t("Memory"), server.vram_mb ? memory : ""],
    [t("Queue"), server.queued ? tn("{count} job", "{count} jobs", server.queued) : t("empty")],
  ].filter(([, value]) => value);
  return h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
