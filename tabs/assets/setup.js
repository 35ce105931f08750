// The Setup tab: the walkthrough for a new studio; then doctor, engines and models, settings, and where things lie.

import { get } from "./api.js";
import { checklist, doctorWords } from "./checks.js";
import { h, icon, iconButton, paced, setText, toggle } from "./dom.js";
import { feed } from "./feed.js";
import { showTab } from "./header.js";
import { number, t } from "./language.js";
import { ComfyCard } from "./setup_comfyui.js";
import { SettingsCard } from "./setup_settings.js";
import { ToolkitCard } from "./setup_toolkit.js";
import { toast } from "./toast.js";
import { Walkthrough, whereItWas } from "./walkthrough.js";
import { duration } from "./words.js";

const LOOK_AGAIN_MS = 10_000;
const STATES = {
  asleep: { words: t("Asleep"), about: t("Nothing is loaded. It wakes with the next picture.") },
  loading: { words: t("Waking up"), about: t("The model is being loaded.") },
  ready: { words: t("Ready"), about: t("The model is loaded: the next picture starts at once.") },
  busy: { words: t("At work"), about: t("It draws or learns.") },
};
const WORKER = {
  running: null,
  starting: { words: t("Starting"), about: t("The part that makes pictures is starting.") },
  down: { words: t("Not answering"), about: t("The part that makes pictures has stopped. The studio starts it again by itself.") },
};
const PLACES = [
  ["pictures", t("Pictures"), t("Every picture you made, in folders by month")],
  ["uploads", t("Uploads"), t("Photos and pictures you brought in")],
  ["models", t("Models"), t("Put checkpoints here: .safetensors files or diffusers folders")],
  ["loras", t("LoRAs"), t("Put LoRA files here: .safetensors")],
  ["latest_log", t("Log of this run"), t("What the studio wrote since it was started")],
  ["data", t("Data folder"), t("All of the above, and the database. Back up this one.")],
  ["database_file", t("Database"), t("Jobs, characters and what is known of each picture")],
  ["settings", t("Saved settings"), t("What was changed on this tab")],
];

let walking = false;

class Setup extends HTMLElement {
  connectedCallback() {
    if (this.childElementCount) return;
    this.begin();
    this.seen = this.visible(); // then the board has asked already
    new ResizeObserver(() => {
      const now = this.visible();
      if (now && !this.seen) this.refresh();
      this.seen = now;
    }).observe(this);
    const engines = paced(() => this.board && this.visible() && this.loadMoving(), 0.5);
    for (const type of ["change", "models"]) feed.addEventListener(type, engines);
    setInterval(() => !document.hidden && engines(), LOOK_AGAIN_MS);
    // Who was led here for one part of it gets that; the walkthrough waits behind its button.
    document.addEventListener("likeness:board", () => {
      if (!this.walk) return;
      walking = false;
      this.walk = null;
      this.showBoard();
    });
    document.addEventListener("likeness:walk", () => !this.walk && this.begin());
  }

  visible() {
    return this.clientHeight > 0;
  }

  begin() {
    if (walking) return this.startWalk({ goOn: true });
    this.showBoard();
  }

  startWalk({ goOn = false } = {}) {
    walking = true;
    this.board = null;
    this.walk = new Walkthrough({
      goOn,
      leave: (skipped) => {
        walking = false;
        this.walk = null;
        this.showBoard();
        showTab("generate");
        if (skipped) toast(t("The walkthrough waits on the Setup tab"), { ms: 4000 });
      },
    });
    this.replaceChildren(this.walk.node);
    this.scrollTop = 0;
  }

  showBoard() {
    this.board = true;
    this.summary = h("p", { class: "soft setup-summary", role: "status" });
    this.again = h("button", { type: "button", class: "button", "data-tip": t("Look at everything once more"), onclick: () => this.loadDoctor() }, icon("retry"), t("Check again"));
    this.checks = h("div", { class: "card-body" }, h("div", { class: "waiting", "aria-hidden": "true" }));
    this.engines = h("div", { class: "card-body" });
    this.places = h("div", { class: "card-body" });
    this.settings = new SettingsCard();
    // The check-up tells of it too.
    this.comfy = new ComfyCard(() => this.loadDoctor());
    this.toolkit = new ToolkitCard(() => this.loadDoctor());
    const walk = h(
      "button",
      { type: "button", class: "button", "data-tip": t("What this is, a check-up, a first character, a first picture: two minutes"), onclick: () => (this.startWalk(), this.walk.arrive()) },
      icon("sparkle"),
      t("Start the walkthrough"),
    );
    this.replaceChildren(
      h(
        "div",
        { class: "setup-board" },
        h("div", { class: "setup-head" }, h("div", {}, h("h2", { tabindex: "-1" }, t("Setup")), this.summary), walk),
        h(
          "div",
          { class: "setup-columns" },
          h(
            "div",
            { class: "setup-column" },
            card(t("Check-up"), "doctor-title", this.checks, this.again),
            card(t("Engine and models"), "engines-title", this.engines),
            this.comfy.node,
            this.toolkit.node,
            card(t("Where things lie"), "where-title", this.places),
          ),
          h("div", { class: "setup-column" }, this.settings.node),
        ),
      ),
    );
    if (this.visible()) this.refresh();
  }

  async refresh() {
    if (!this.board) return;
    setText(this.summary, t("Checking …"));
    const [where, settings] = [get("where"), get("settings")];
    await Promise.all([this.loadPlaces(where), this.settings.load(settings), this.loadMoving(where, settings)]);
    this.loadDoctor(); // it looks at the whole machine, and the rest need not wait for that
  }

  // What changes by itself while one looks on.
  loadMoving(where = this.known ?? get("where"), settings = get("settings")) {
    return Promise.all([this.loadEngines(where, settings), this.comfy.load(settings), this.toolkit.load(settings)]);
  }

  async loadDoctor() {
    this.again.disabled = true;
    setText(this.summary, t("Checking …"));
    try {
      const { checks } = await get("doctor");
      this.checks.replaceChildren(...checklist(checks));
      setText(this.summary, doctorWords(checks));
    } catch (problem) {
      setText(this.summary, `${problem.message} ${problem.remedy}`);
    }
    this.again.disabled = false;
  }

  async loadEngines(where, settings) {
    let found;
    try {
      found = await Promise.all([get("health"), get("models"), where, settings]);
    } catch {
      return;
    }
    const [health, models, { models: folder }, { items }] = found;
    const idle = items.find((item) => item.name === "idle_unload_s")?.value;
    const here = health.engines.filter((engine) => engine.name === "embedded");
    const key = JSON.stringify([health.worker, here.map(({ updated_at: _, memory_mb: memory, ...rest }) => ({ ...rest, memory: Math.round(memory / 32) })), models, idle]);
    if (this.engines.dataset.key === key) return;
    this.engines.dataset.key = key;
    const names = new Map(models.items.map((model) => [model.id, model.name]));
    this.engines.replaceChildren(
      ...(here.length ? here : [{ name: "embedded", state: "asleep", device: "", memory_mb: 0, model: null }]).map((engine) => engineRow(engine, WORKER[health.worker] ?? null, names, idle)),
      h("h4", {}, t("Models ({count})", { count: number(models.items.length) })),
      h(
        "ul",
        { class: "models" },
        ...models.items.map((model) =>
          h(
            "li",
            {},
            h("div", {}, h("strong", {}, model.name), h("span", {}, model.about)),
            h("span", { class: "tag", "data-tip": t("Architecture: only LoRAs of the same one fit") }, model.family),
            h("span", { class: "model-facts" }, [`${model.width} × ${model.height}`, model.licence && t("licence: {licence}", { licence: model.licence })].filter(Boolean).join(" · ")),
          ),
        ),
      ),
      h("p", { class: "soft more-models" }, t("More models: put a .safetensors file or a diffusers folder into this folder. They appear here by themselves.")),
      pathRow(t("Models folder"), folder),
    );
  }

  async loadPlaces(asked) {
    try {
      const where = (this.known = await asked);
      const rows = PLACES.filter(([name]) => where[name]).map(([name, title, about]) => placeRow(title, about, where[name]));
      if (!where.database_file) rows.push(placeRow(t("Database"), t("On a server of its own; its address is in the environment or .env"), where.database, false));
      this.places.replaceChildren(h("dl", { class: "places" }, ...rows));
    } catch (problem) {
      this.places.replaceChildren(h("p", { class: "empty-line" }, `${problem.message} ${problem.remedy}`));
    }
  }
}

function card(title, id, body, act = null) {
  return h("section", { class: "setup-card", "aria-labelledby": id }, h("div", { class: "card-head" }, h("h3", { id }, title), act), body);
}

function engineRow(engine, worker, names, idle) {
  const { words, about } = worker ?? STATES[engine.state] ?? { words: engine.state, about: engine.note };
  const memory = engine.memory_mb >= 1024 ? t("{count} GB", { count: number(engine.memory_mb / 1024, { minimumFractionDigits: 1, maximumFractionDigits: 1 }) }) : t("{count} MB", { count: Math.round(engine.memory_mb) });
  const facts = [
    [t("Computes on"), engine.device ? ({ cpu: t("the processor"), mps: t("Apple silicon") }[engine.device] ?? t("the graphics card ({device})", { device: engine.device })) : t("decided when it wakes")],
    [t("Loaded"), engine.model ? (names.get(engine.model) ?? engine.model) : t("nothing")],
    [t("Memory"), engine.memory_mb ? memory : t("none")],
    [t("Lets go after"), idle ? t("{time} without work", { time: duration(idle) }) : null],
  ].filter(([, value]) => value);
  return h(
    "div",
    { class: "engine" },
    h(
      "div",
      { class: "engine-head" },
      h("span", { class: "engine-dot", dataset: { state: worker ? "down" : engine.state }, "aria-hidden": "true" }),
      h("strong", {}, engine.name === "embedded" ? t("Embedded engine") : engine.name),
      h("span", { class: "tag", "data-tip": about }, words),
    ),
    h("p", { class: "soft" }, about),
    h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
  );
}

function placeRow(title, about, path, copyable = true) {
  return h("div", { class: "place" }, h("dt", {}, title, h("span", {}, about)), h("dd", {}, h("code", {}, path), copyable ? copyButton(title, path) : null));
}

const pathRow = (title, path) => h("div", { class: "path-row" }, h("code", {}, path), copyButton(title, path));

const copyButton = (title, path) => iconButton("copy", t("Copy the path: {name}", { name: title }), () => copy(path));

async function copy(words) {
  try {
    await navigator.clipboard.writeText(words);
    toast(t("Copied"), { ms: 2000 });
  } catch {
    // Pages that came over plain HTTP from elsewhere have no clipboard.
    toast(t("Select and copy it here"), { detail: words, ms: 12_000 });
  }
}

// A new studio begins here; asked at once, so that the answer is there before the page is.
export async function startSetup() {
  const root = document.documentElement;
  try {
    const { fresh, walked_through: walked } = await get("welcome");
    // A walk that was broken off between its character and its picture goes on.
    const goesOn = !fresh && !walked && whereItWas() && !(await get("images", { limit: 1 })).total;
    if (!fresh && !goesOn) return (root.dataset.welcome = "no");
  } catch {
    return (root.dataset.welcome = "no");
  }
  walking = true;
  const show = () => {
    if (!document.querySelector('#tabs [role=tab][data-tab-id="setup"]')) return false;
    showTab("setup");
    document.dispatchEvent(new CustomEvent("likeness:walk"));
    root.dataset.welcome = "shown";
    return true;
  };
  if (show()) return;
  const watcher = new MutationObserver(() => show() && watcher.disconnect());
  watcher.observe(document.body, { childList: true, subtree: true });
}

customElements.define("likeness-setup", Setup);
