// ComfyUI on the Setup tab: how it is, the one thing to do next, and everything else that can be done with it.

import { get, post } from "./api.js";
import { h, icon, setText, toggle } from "./dom.js";
import { EngineLog } from "./engine_log.js";
import { number, t, tn } from "./language.js";
import { complain, toast } from "./toast.js";
import { faultWords } from "./words.js";

const FOLLOW_MS = 1000;
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
export const BUSY = {
  install: t("Installing"),
  update: t("Updating"),
  start: t("Starting"),
  stop: t("Stopping"),
  remove: t("Removing"),
  find: t("Looking"),
  adopt: t("Taking it over"),
};

export class ComfyCard {
  // `changed` hears when the state is another one.
  constructor(changed = () => {}) {
    this.changed = changed;
    this.dot = h("span", { class: "engine-dot", "aria-hidden": "true" });
    this.state = h("span", { class: "tag" });
    this.about = h("p", { class: "soft comfy-about", role: "status" });
    this.trouble = h("p", { class: "comfy-trouble", role: "alert", hidden: true });
    this.next = h("div", { class: "comfy-next" });
    this.bar = h("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": t("Progress") }, h("i"));
    this.note = h("p", { class: "soft", role: "status" });
    this.work = h("div", { class: "comfy-work", hidden: true }, this.note, this.bar);
    this.servers = h("div", { class: "comfy-servers" });
    this.address = h("input", { id: "comfy-address", class: "setting-input", type: "text", inputmode: "url", spellcheck: "false", autocomplete: "off", placeholder: "http://127.0.0.1:8188", "aria-describedby": "comfy-address-help" });
    this.addressLabel = h("label", { for: "comfy-address" }, t("Address of a running ComfyUI"));
    this.address.addEventListener("keydown", (event) => event.key === "Enter" && this.connect());
    this.fault = h("p", { class: "field-error", role: "alert", hidden: true });
    this.connecting = h("button", { type: "button", class: "button", onclick: () => this.connect() }, t("Connect"));
    this.finding = h("button", { type: "button", class: "button", "data-tip": t("Looks at the usual ports and folders of the studio's computer"), onclick: () => this.order("find") }, icon("search"), t("Find it"));
    this.found = h("div", { class: "comfy-found" });
    this.acts = h("div", { class: "comfy-acts" });
    this.log = new EngineLog("comfyui");
    this.node = h(
      "section",
      { class: "setup-card comfy-card", "aria-labelledby": "comfy-title" },
      h("div", { class: "card-head" }, h("h3", { id: "comfy-title" }, "ComfyUI"), h("span", { class: "engine-head" }, this.dot, this.state)),
      this.about,
      this.trouble,
      this.work,
      this.next,
      this.servers,
      h(
        "div",
        { class: "comfy-connect" },
        this.addressLabel,
        h("div", { class: "comfy-row" }, this.address, this.connecting, this.finding),
        this.fault,
        h("p", { class: "setting-help", id: "comfy-address-help" }, t("Several with commas between them."), h("span", { class: "advanced-only" }, " ", t("A token or a password comes from the environment alone:"), " ", h("code", {}, "COMFYUI_TOKEN"))),
        this.found,
      ),
      this.acts,
      this.log.node,
    );
  }

  async load(settings = get("settings")) {
    try {
      const [info, { items }] = await Promise.all([get("engines/comfyui"), settings]);
      const setting = items.find((item) => item.name === "comfyui_url");
      this.show(info, setting);
    } catch (problem) {
      this.tell(`${problem.message} ${problem.remedy}`);
    }
  }

  show(info, setting) {
    if (setting) this.setting = setting;
    clearTimeout(this.timer);
    // A server that was asked again answers as before until the studio looked.
    const asking = info.state === "offline" && Date.now() < this.asking;
    if (asking) info = { ...info, state: "asking", problem: "", remedy: "", action_required: null };
    if (this.was && this.was.state !== info.state) this.changed();
    if (info.busy || ["running", "asking"].includes(info.state) || info.problem) this.timer = setTimeout(() => !document.hidden && this.load(), FOLLOW_MS * (info.busy || info.state === "asking" ? 1 : 3));
    // What went wrong stands at the log's end.
    if (["install", "update"].includes(this.was?.busy) && !info.busy && info.problem) this.log.open("install");
    this.was = info;
    const { words, about } = STATES[info.state];
    this.dot.dataset.state = info.busy ? "busy" : (DOTS[info.state] ?? "");
    setText(this.state, info.busy ? BUSY[info.busy] : words);
    setText(this.about, about);
    toggle(this.about, "hidden", Boolean(info.busy));
    this.tell([info.problem, info.remedy].filter(Boolean).join(" "));
    toggle(this.work, "hidden", !info.busy);
    setText(this.note, info.note || t("It is done in a moment."));
    this.bar.setAttribute("aria-valuenow", Math.round(info.progress * 100));
    this.bar.firstElementChild.style.setProperty("--done", info.progress);
    toggle(this.bar, "data-unsure", info.progress === 0);
    const { fixed_by: fixed, value } = this.setting ?? {};
    if (document.activeElement !== this.address && this.shown !== value) this.address.value = this.shown = value ?? "";
    toggle(this.address, "disabled", Boolean(fixed));
    toggle(this.connecting, "disabled", Boolean(fixed));
    toggle(this.finding, "disabled", Boolean(info.busy));
    const key = JSON.stringify([info.state, info.busy, info.actions, info.action_required, info.servers, info.found_urls, info.found_folders, info.looked, info.version, info.update_version, fixed]);
    if (this.key === key) return;
    this.key = key;
    this.drawNext(info);
    // Where none answers the card itself says why.
    this.servers.replaceChildren(...info.servers.filter((server) => server.state === "reachable" || info.reachable).map((server) => (server.state === "reachable" ? serverFacts(server) : h("p", { class: "comfy-trouble" }, `${server.problem} ${server.remedy}`))));
    this.drawFound(info, fixed);
    this.drawActs(info);
  }

  drawNext(info) {
    const can = (name) => info.actions.includes(name);
    const made = [];
    if (info.busy) made.push(h("button", { type: "button", class: "button", onclick: () => this.order("cancel") }, icon("close"), t("Cancel")));
    else if (info.action_required === "start") made.push(this.button("start", t("Start"), true));
    else if (info.action_required === "install") made.push(this.button("install", t("Install ComfyUI {version}", { version: info.update_version }), true));
    else if (info.action_required === "connect") made.push(h("button", { type: "button", class: "button primary", onclick: () => this.again() }, icon("retry"), t("Ask again")));
    else if (can("stop")) made.push(this.button("stop", t("Stop")));
    this.next.replaceChildren(...made);
  }

  drawFound(info, fixed) {
    const rows = [
      ...info.found_urls.map((url) => [url, () => this.order("connect", { url: [this.setting?.value, url].filter(Boolean).join(", ") }), t("Connect"), fixed]),
      ...(info.own ? [] : info.found_folders).map((folder) => [folder, () => this.order("connect", { folder }), t("Use this folder"), info.folder === folder]),
    ];
    const nothing = info.looked && !rows.length && info.state === "not_installed" ? [h("p", { class: "soft" }, t("No ComfyUI was found on the usual ports and in the usual folders."))] : [];
    this.found.replaceChildren(
      ...nothing,
      ...rows.map(([what, act, words, not]) => h("div", { class: "comfy-row" }, h("code", {}, what), not ? null : h("button", { type: "button", class: "button", disabled: Boolean(info.busy), onclick: act }, words))),
    );
  }

  drawActs(info) {
    const can = (name) => info.actions.includes(name);
    this.acts.replaceChildren(
      ...[
        can("start") && info.action_required !== "start" ? this.button("start", t("Start")) : null,
        can("install") && info.action_required !== "install" ? this.button("install", t("Install one here")) : null,
        can("update") ? this.button("update", t("Update to {version}", { version: info.update_version || info.update_to.slice(0, 8) })) : null,
        info.installed || info.busy || info.problem ? this.logButton(info) : null,
        can("remove") ? h("button", { type: "button", class: "button danger", "data-tip": info.own ? t("Moves it into the trash folder of the engines") : t("Forgets the folder; nothing in it is changed"), onclick: () => this.order("remove") }, icon("trash"), t("Remove")) : null,
      ].filter(Boolean),
    );
  }

  button(act, words, primary = false) {
    return h("button", { type: "button", class: primary ? "button primary" : "button", onclick: () => this.order(act) }, words);
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
    toggle(this.fault, "hidden", true);
    try {
      this.show(await post(`engines/comfyui/${act}`, body));
      if (act === "connect" && body.url === "") toast(t("The address is forgotten"), { ms: 3000 });
      this.timer = setTimeout(() => this.load(), FOLLOW_MS);
    } catch (problem) {
      if (act !== "connect") return complain(problem);
      this.asking = 0;
      setText(this.fault, faultWords(problem, this.addressLabel.textContent));
      toggle(this.fault, "hidden", false);
    }
  }

  logButton(info) {
    const button = h("button", { type: "button", class: "button", "aria-expanded": this.log.isOpen }, this.log.isOpen ? t("Hide log") : t("View log"));
    button.addEventListener("click", () => {
      if (this.log.isOpen) this.log.close();
      else this.log.open(["install", "update"].includes(info.busy) || !info.installed || (info.problem && !info.running) ? "install" : "server");
      setText(button, this.log.isOpen ? t("Hide log") : t("View log"));
      button.setAttribute("aria-expanded", this.log.isOpen);
    });
    return button;
  }

  tell(words) {
    setText(this.trouble, words);
    toggle(this.trouble, "hidden", !words);
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
