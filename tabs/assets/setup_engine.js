// A program of others on the Setup tab: how it is, the one thing to do next, how far that is, and its log. ComfyUI and AI-Toolkit stand on it.

import { get, post } from "./api.js";
import { h, icon, setText, toggle } from "./dom.js";
import { EngineLog } from "./engine_log.js";
import { number, t } from "./language.js";
import { complain } from "./toast.js";
import { faultWords } from "./words.js";

export const FOLLOW_MS = 1000;
export const BUSY = {
  install: t("Installing"),
  update: t("Updating"),
  start: t("Starting"),
  stop: t("Stopping"),
  remove: t("Removing"),
  find: t("Looking"),
  refresh: t("Asking"),
  adopt: t("Taking it over"),
};

const ABOUT = {
  install: t("Downloads the version that Likeness was tested with, and its packages, into the data folder"),
  update: t("Another version; the one before comes back if it doesn't start"),
  start: t("It listens to this computer alone"),
  stop: t("Ends it; it starts again with one click"),
};

export class EngineCard {
  // `id` begins the ids of what can be led to; `states` are words for each state, `dots` their colours, `logs` which logs it has.
  // `changed` hears when the state is another one.
  constructor({ name, title, id, states, dots, logs, changed = () => {} }) {
    Object.assign(this, { name, title, id, states, dots, changed });
    this.dot = h("span", { class: "engine-dot", "aria-hidden": "true" });
    this.state = h("span", { class: "tag" });
    this.about = h("p", { class: "soft engine-about", role: "status" });
    this.trouble = h("p", { class: "engine-trouble", role: "alert", hidden: true });
    this.next = h("div", { class: "engine-next" });
    this.bar = h("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": t("Progress") }, h("i"));
    this.note = h("p", { class: "soft", role: "status" });
    this.work = h("div", { class: "engine-work", hidden: true }, this.note, this.bar);
    this.terms = h("p", { class: "soft engine-terms", hidden: true });
    this.fault = h("p", { class: "field-error", role: "alert", hidden: true });
    this.found = h("div", { class: "engine-found" });
    this.acts = h("div", { class: "engine-acts" });
    this.log = new EngineLog(name, logs);
    this.finding = h("button", { type: "button", class: "button", onclick: () => this.order("find") }, icon("search"), t("Find it"));
  }

  // `middle` stands between what is to be done next and everything else that can be.
  frame(...middle) {
    this.node = h(
      "section",
      { class: `setup-card engine-card ${this.id}-card`, "aria-labelledby": `${this.id}-title` },
      h("div", { class: "card-head" }, h("h3", { id: `${this.id}-title` }, this.title), h("span", { class: "engine-head" }, this.dot, this.state)),
      this.about,
      this.trouble,
      this.work,
      this.next,
      this.terms,
      ...middle,
      this.acts,
      this.log.node,
    );
  }

  // `setting` says where it is; `settings` are all of them, where they were asked for already.
  async look(setting, settings = get("settings")) {
    try {
      const [info, { items }] = await Promise.all([get(`engines/${this.name}`), settings]);
      this.show(info, items.find((item) => item.name === setting));
    } catch (problem) {
      this.tell(`${problem.message} ${problem.remedy}`);
    }
  }

  // Gives whether more than progress is another than before: then everything else is drawn anew.
  showState(info, again_ms) {
    clearTimeout(this.timer);
    if (this.was && this.was.state !== info.state) this.changed();
    if (again_ms) this.timer = setTimeout(() => !document.hidden && this.load(), again_ms);
    // What went wrong stands at the log's end.
    if (["install", "update"].includes(this.was?.busy) && !info.busy && info.problem) this.log.open("install");
    this.was = info;
    const { words, about } = this.states[info.state];
    this.dot.dataset.state = info.busy ? "busy" : (this.dots[info.state] ?? "");
    setText(this.state, info.busy ? BUSY[info.busy] : words);
    setText(this.about, about);
    toggle(this.about, "hidden", Boolean(info.busy));
    this.tell([info.problem, info.remedy].filter(Boolean).join(" "));
    toggle(this.work, "hidden", !info.busy);
    setText(this.note, info.note || t("It is done in a moment."));
    this.bar.setAttribute("aria-valuenow", Math.round(info.progress * 100));
    this.bar.firstElementChild.style.setProperty("--done", info.progress);
    toggle(this.bar, "data-unsure", info.progress === 0);
    toggle(this.finding, "disabled", Boolean(info.busy));
    // Told before somebody presses Install, and only there.
    const terms = info.actions.includes("install") && info.action_required === "install";
    toggle(this.terms, "hidden", !terms);
    if (terms) setText(this.terms, t("About {size} GB or more, from its makers. Licence: {licence}.", { size: number(info.disk_mb / 1000, { maximumFractionDigits: 1 }), licence: info.licence }));
    const { progress: _progress, note: _note, ...rest } = info;
    const key = JSON.stringify([rest, this.setting?.fixed_by]);
    if (this.key === key) return false;
    this.key = key;
    return true;
  }

  button(act, words, primary = false) {
    return h("button", { type: "button", class: primary ? "button primary" : "button", "data-tip": ABOUT[act], onclick: () => this.order(act) }, words);
  }

  cancelButton() {
    return h("button", { type: "button", class: "button", "data-tip": t("Leave it as it was before"), onclick: () => this.order("cancel") }, icon("close"), t("Cancel"));
  }

  // Rows of [what, act, words, whether it is so already].
  drawFound(info, rows, nothing) {
    const none = info.looked && !rows.length && info.state === "not_installed" ? [h("p", { class: "soft" }, nothing)] : [];
    this.found.replaceChildren(
      ...none,
      ...rows.map(([what, act, words, not]) => h("div", { class: "engine-row" }, h("code", {}, what), not ? null : h("button", { type: "button", class: "button", disabled: Boolean(info.busy), "data-tip": t("Found on this computer; nothing in it is changed"), onclick: act }, words))),
    );
  }

  actButtons(info, which) {
    const can = (name) => info.actions.includes(name);
    return [
      can("update") ? this.button("update", t("Update to {version}", { version: info.update_version || info.update_to.slice(0, 8) })) : null,
      info.own || info.busy || info.problem || which === "server" ? this.logButton(which) : null,
      can("remove") ? h("button", { type: "button", class: "button danger", "data-tip": info.own ? t("Moves it into the trash folder of the engines") : t("Forgets the folder; nothing in it is changed"), onclick: () => this.order("remove") }, icon("trash"), t("Remove")) : null,
    ];
  }

  async order(act, body = {}) {
    toggle(this.fault, "hidden", true);
    try {
      this.show(await post(`engines/${this.name}/${act}`, body));
      this.timer = setTimeout(() => this.load(), FOLLOW_MS);
      return true;
    } catch (problem) {
      if (act !== "connect") complain(problem);
      else {
        setText(this.fault, faultWords(problem, this.fieldLabel.textContent));
        toggle(this.fault, "hidden", false);
      }
      return false;
    }
  }

  logButton(which) {
    const button = h("button", { type: "button", class: "button", "aria-expanded": this.log.isOpen, "data-tip": t("What it prints while it works") }, this.log.isOpen ? t("Hide log") : t("View log"));
    button.addEventListener("click", () => {
      if (this.log.isOpen) this.log.close();
      else this.log.open(which);
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
