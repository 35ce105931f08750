// Ordering a training: a preset in plain words, everything else under Advanced, what is wrong said at its field.

import { get, post } from "./api.js";
import { openCharacter } from "./chip.js";
import { DatasetCheck } from "./dataset_check.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { level, setLevel } from "./header.js";
import { number, t, tn } from "./language.js";
import { complain, toast } from "./toast.js";
import { duration, faultWords } from "./words.js";

const FEW = 10;
// What AI-Toolkit trains stands among the models, told apart by this.
const TOOLKIT = "aitoolkit/";
export const TARGETS = { attention: t("Attention only"), everything: t("All layers") };
export const SCHEDULES = { constant: t("Constant"), linear: t("Linear"), cosine: t("Cosine") };
const OPTIMIZERS = { adamw8bit: t("AdamW, 8 bits"), adamw: "AdamW", adafactor: "Adafactor", prodigy: "Prodigy" };
const YES_NO = { true: t("Yes"), false: t("No") };
// In the order in which they matter. `of` is the words for each choice; what is the studio's `own` AI-Toolkit doesn't know.
export const FIELDS = [
  { name: "steps", label: t("Steps"), tip: t("How often it looks at a few of the pictures. More steps learn more, and at some point the pictures by heart."), min: 1, max: 100_000 },
  { name: "learning_rate", label: t("Learning rate"), tip: t("How much each step changes. Too high and the pictures break, too low and nothing is learned."), min: 0, max: 0.1, step: "any" },
  { name: "rank", label: t("Rank"), tip: t("How much the LoRA can hold. A higher one learns finer traits and makes a larger file."), min: 1, max: 256 },
  { name: "alpha", label: t("Alpha"), tip: t("Divided by the rank it scales what is learned. Usually as large as the rank."), min: 1, max: 1024 },
  { name: "targets", label: t("What it changes"), tip: t("Which layers of the model the LoRA changes. All of them: more of a likeness, a larger file."), of: TARGETS },
  { name: "schedule", label: t("Schedule"), tip: t("How the learning rate goes on after its warm-up: it stays, or falls in a straight line or a curve."), of: SCHEDULES },
  { name: "warmup", label: t("Warm-up"), tip: t("Over so many steps the learning rate rises at the beginning."), min: 0, max: 10_000 },
  { name: "batch", label: t("Batch"), tip: t("How many pictures are looked at in each step. More want more memory."), min: 1, max: 64 },
  { name: "resolution", label: t("Resolution"), tip: t("Pictures are brought to about the area of a square with this side, in pixels."), min: 64, max: 2048 },
  { name: "caption_dropout", label: t("Caption dropout"), tip: t("The share of pictures learned without their words, from 0 to 1. It keeps the LoRA from needing its captions."), min: 0, max: 1, step: "any" },
  { name: "prior_weight", label: t("Prior preservation"), tip: t("How much pictures of just anybody, which the model draws itself before the first step, count beside yours. They keep it from forgetting what other people look like. 0 leaves them out; with them each step takes twice as long."), min: 0, max: 10, step: "any", own: true },
  { name: "prior_pictures", label: t("Class pictures"), tip: t("How many pictures of just anybody are drawn, once, where prior preservation is wanted."), min: 2, max: 1000, own: true },
  { name: "prior_prompt", label: t("Class prompt"), tip: t("What those pictures show: anybody of the same kind, without the trigger word."), text: true, own: true },
  { name: "save_every", label: t("Checkpoint every"), tip: t("After so many steps what was learned is kept, to choose from later."), min: 1 },
  { name: "sample_every", label: t("Samples every"), tip: t("After so many steps the sample prompts are drawn, so that you can see how it goes."), min: 1 },
  { name: "gradient_checkpointing", label: t("Save memory"), tip: t("Gradient checkpointing: needs less memory and takes a third longer."), of: YES_NO },
  { name: "low_vram", label: t("Low video memory"), tip: t("What the graphics card has no room for waits in the computer's memory: slower, and it fits onto smaller cards."), of: YES_NO, toolkit: true },
  { name: "quantize", label: t("Model in 8 bits"), tip: t("The model's own weights take half the memory while it learns, and lose a little precision."), of: YES_NO, toolkit: true },
  { name: "quantize_te", label: t("Text encoder in 8 bits"), tip: t("The same for the part that reads the words."), of: YES_NO, toolkit: true },
  { name: "optimizer", label: t("Optimizer"), tip: t("What turns each look at the pictures into a change. AdamW in 8 bits takes the least memory; Prodigy finds its own rate and wants a learning rate of 1."), of: OPTIMIZERS, toolkit: true },
  { name: "seed", label: t("Seed"), tip: t("The same seed, pictures and settings learn the same LoRA again. Empty: another one each time."), min: 0, max: 2 ** 32 - 1 },
];

// What a recipe says of a field; null where its trainer's makers decide.
export function settingOf(field, recipe) {
  const value = field.toolkit ? recipe.toolkit?.[field.name] : recipe[field.name];
  return value === "" && field.of ? null : (value ?? null);
}

export function settingWords(field, value) {
  if (value === null) return t("as its makers suggest");
  if (field.of) return field.of[String(value)] ?? String(value);
  return field.name === "seed" || field.text ? String(value) : number(value, { maximumSignificantDigits: 6 });
}

// What a training or a side of a comparison learned from, and which program taught it.
export const learnedFrom = ({ dataset_name: name, dataset_version: version, pictures }) =>
  [name ? t("{name}, version {version}", { name, version: number(version) }) : t("A dataset that was deleted, version {version}", { version: number(version) }), tn("{count} picture", "{count} pictures", pictures)].join(" · ");
export const trainerWords = (engine) => (engine === "aitoolkit" ? "AI-Toolkit" : t("The studio's own"));

// Its node is a <section>. `ordered(job)` is called when a training was accepted, `pictures()` leads to what it learns from.
export class TrainingForm {
  dataset = null;
  preset = "quick";
  controls = new Map();

  constructor(character, { ordered, pictures }) {
    Object.assign(this, { character, ordered, pictures });
    this.build();
  }

  build() {
    this.learns = h("p", { class: "train-learns" });
    const captions = [t("Write captions"), t("With the pictures in a dataset: each has its caption below it"), () => this.pictures()];
    const ways = Object.fromEntries(["caption_missing", "captions_alike", "caption_long", "caption_unreadable", "trigger_missing"].map((code) => [code, captions]));
    this.check = new DatasetCheck({ show: () => this.pictures(), fixed: () => this.reload(), looked: () => {}, ways });
    this.check.node.open = false;
    this.obstacles = h("div", { class: "train-obstacles", role: "status" });
    this.cards = h("div", { class: "train-presets", role: "radiogroup", "aria-label": t("How thoroughly"), id: "field-train-preset" });
    this.counting = h("p", { class: "train-small soft simple-only", role: "status" });
    this.toolkit = h("p", { class: "train-toolkit", role: "status", hidden: true });
    this.more = h("details", { class: "train-more advanced-only" }, h("summary", {}, t("More settings")), this.buildFields());
    this.button = h("button", { type: "submit", class: "button primary train-go", "data-tip": t("It goes on when you close the page") }, icon("sparkle"), h("span", {}, t("Train")));
    this.sum = h("p", { class: "train-sum soft", role: "status" });
    this.form = h("form", { class: "train-form", novalidate: true, onsubmit: (event) => (event.preventDefault(), this.order()) }, this.learns, this.check.node, this.obstacles, this.cards, this.toolkit, this.more, this.counting, h("div", { class: "train-foot" }, this.button, this.sum));
    const changed = (event) => (this.clearError(event.target.closest(".wrong")), this.summed());
    this.form.addEventListener("input", changed);
    this.form.addEventListener("change", changed);
    this.node = this.form;
  }

  buildFields() {
    const input = (attributes) => h("input", { class: "cf-input", autocomplete: "off", ...attributes });
    this.model = h("select", { class: "cf-input", onchange: () => this.reload().then(() => this.drawHints()) });
    const fields = [this.field({ name: "model", label: t("Model"), tip: t("The LoRA will work with this model and those of its family.") }, this.model)];
    fields.push(this.field({ name: "name", label: t("Name of the LoRA"), tip: t("What it is called in the list of trainings. Empty: the character's name.") }, input({ type: "text", maxlength: 80, placeholder: this.character.name })));
    for (const about of FIELDS) {
      const control = about.of ? h("select", { class: "cf-input" }) : about.text ? input({ type: "text", maxlength: 1000, lang: "en" }) : input({ type: "number", min: about.min, max: about.max, step: about.step ?? 1, inputmode: "decimal" });
      fields.push(this.field(about, control));
    }
    const samples = h("textarea", { class: "cf-input", rows: 3, spellcheck: "false", lang: "en" });
    fields.push(this.field({ name: "samples", label: t("Sample prompts"), tip: t("Drawn again and again while it learns, one on each line, eight at most. {trigger_word} stands for the character's.", { trigger_word: "{trigger_word}" }), wide: true }, samples));
    return h("div", { class: "form-grid train-fields" }, ...fields);
  }

  field({ name, label, tip, wide }, control) {
    const id = `field-train-${name}`;
    control.id = `${id}-input`;
    control.setAttribute("aria-description", tip);
    this.controls.set(name, { control, label });
    return h("div", { class: wide ? "cf wide" : "cf", id }, h("div", { class: "cf-head" }, h("label", { class: "cf-label", for: control.id }, label), h("span", { class: "info-text cf-help", "data-tip": tip, "aria-hidden": "true" })), control);
  }

  // What the studio offers

  take(offer) {
    this.offer = offer;
    this.drawModels();
    if (!this.choice()) this.preset = offer.presets[0]?.id ?? "";
    this.drawLearns();
    this.drawObstacles();
    this.drawToolkit();
    this.drawCards();
    this.summed();
  }

  drawCards() {
    const presets = this.arch()?.presets ?? this.offer.presets;
    const key = JSON.stringify(presets);
    if (key === this.shown) return;
    this.shown = key;
    const focused = this.cards.contains(document.activeElement);
    this.cards.replaceChildren(...presets.map((one) => this.card(one)));
    if (focused) this.cards.querySelector(":checked")?.focus();
    this.drawHints();
  }

  // What AI-Toolkit should train; null where the studio does it itself.
  arch() {
    const { value } = this.model;
    return value.startsWith(TOOLKIT) ? this.offer.toolkit.find((one) => one.arch === value.slice(TOOLKIT.length)) ?? null : null;
  }

  // The studio's model that is chosen, as the offer is asked for.
  get spec() {
    return this.model.value.startsWith(TOOLKIT) ? null : this.model.value;
  }

  // What empty fields stand for, and how long that takes.
  choice() {
    return (this.arch()?.presets ?? this.offer.presets).find((one) => one.id === this.preset) ?? null;
  }

  drawToolkit() {
    const arch = this.arch();
    toggle(this.toolkit, "hidden", !arch);
    for (const { name, own, toolkit } of FIELDS) if (own || toolkit) toggle(this.controls.get(name).control.closest(".cf"), "hidden", own ? arch : !arch);
    if (!arch) return;
    const parts = [t("AI-Toolkit trains {model}, with the settings that its makers suggest.", { model: arch.title })];
    if (arch.gated) parts.push(t("The model is gated: accept its licence on Hugging Face, and put your token into HF_TOKEN of the studio's .env file."));
    setText(this.toolkit, parts.join(" "));
  }

  card(one) {
    const input = h("input", { type: "radio", name: "train-preset", value: one.id, checked: one.id === this.preset, onchange: () => ((this.preset = one.id), this.drawHints(), this.drawObstacles()) });
    const time = one.seconds === null ? t("Time unknown until measured here once") : t("About {time}", { time: duration(one.seconds) });
    return h(
      "label",
      { class: "option train-preset" },
      input,
      h("span", { class: "option-face" }, h("strong", { "data-preset": one.id }, one.name), h("span", { class: "train-about", "data-preset": one.id }, one.about), h("span", { class: "train-time" }, time, " · ", tn("{count} step", "{count} steps", one.recipe.steps), h("br"), this.needs(one))),
    );
  }

  // Memory of the graphics card and space on the disk, as far as anybody knows.
  needs({ vram_gb, vram_measured, disk_gb }) {
    const size = (gb) => (gb < 1 ? t("{count} MB", { count: number(Math.ceil(gb * 1024)) }) : t("{count} GB", { count: number(gb, { maximumFractionDigits: 1 }) }));
    const unknown = this.arch() || this.offer.card_gb ? t("Graphics memory unknown until measured") : null;
    const memory = vram_gb === null ? unknown : vram_measured ? t("Graphics memory {size}, as measured here", { size: size(vram_gb) }) : t("Graphics memory about {size}, as its makers say", { size: size(vram_gb) });
    return [memory, disk_gb === null ? t("Disk space unknown until measured") : t("Disk about {size}", { size: size(disk_gb) })].filter(Boolean).join(" · ");
  }

  drawLearns() {
    const { pictures } = this.offer;
    const look = h("button", { type: "button", class: "quiet", "data-tip": t("The pictures with their captions, and what could be better"), onclick: () => this.pictures() }, t("Look at them"));
    const chosen = this.dataset ? h("span", { class: "tag" }, t("One dataset"), iconButton("close", t("Learn from the newest pictures instead"), () => this.from(null), { class: "icon-button tag-close" })) : null;
    const few = pictures && pictures < FEW ? h("span", { class: "train-few" }, icon("warn"), t("That is little: ten to thirty different ones learn better.")) : null;
    const words = tn("{name} is learned from {count} picture.", "{name} is learned from {count} pictures.", pictures, { name: this.character.name });
    this.learns.replaceChildren(...[h("span", {}, words), chosen, pictures ? look : null, few].filter(Boolean));
    toggle(this.learns, "hidden", !pictures && !this.dataset);
    toggle(this.check.node, "hidden", !pictures);
    const query = { character: this.character.id, dataset: this.dataset };
    this.check.look(pictures ? "training/check" : null, query, this.offer.learned);
  }

  // What stands in the way: of anybody who would train, and of the preset that is chosen.
  standing() {
    return [...this.offer.obstacles, ...(this.choice()?.obstacles ?? [])];
  }

  drawObstacles() {
    const obstacles = this.standing();
    const lead = (field) =>
      field === "consent"
        ? h("button", { type: "button", class: "button", "data-tip": t("Who agreed, to what, and until when"), onclick: () => openCharacter() }, t("Write it down"))
        : h("button", { type: "button", class: "button", "data-tip": t("Opens {name}'s page", { name: this.character.name }), onclick: () => openCharacter() }, t("Add photos"));
    this.obstacles.replaceChildren(...obstacles.map((one) => h("div", { class: "train-notice warn" }, icon("warn"), h("div", { lang: "en" }, h("strong", {}, one.message), h("p", {}, one.remedy)), ["consent", "dataset"].includes(one.field) ? lead(one.field) : null)));
    toggle(this.obstacles, "hidden", !obstacles.length);
    this.button.disabled = this.blocked();
  }

  // What the chosen preset stands for may not fit; other settings may, and then the order itself tells.
  blocked() {
    return this.offer.obstacles.length > 0 || ((this.choice()?.obstacles.length ?? 0) > 0 && !Object.keys(this.own()).some((name) => !["name", "samples", "seed"].includes(name)));
  }

  drawModels() {
    const before = this.model.value || this.offer.model;
    const { models, toolkit = [] } = this.offer;
    const key = [...models.map((one) => one.id), ...toolkit.map((one) => one.arch)].join();
    if (key !== this.models) {
      const more = toolkit.map((one) => h("option", { value: `${TOOLKIT}${one.arch}`, lang: "en" }, one.title));
      this.model.replaceChildren(...models.map((one) => h("option", { value: one.id, lang: "en" }, one.name)), more.length ? h("optgroup", { label: t("With AI-Toolkit") }, ...more) : "");
    }
    this.models = key;
    this.model.value = before;
    if (!this.model.value) this.model.value = this.offer.model;
  }

  // What an empty field stands for: what the chosen preset says.
  drawHints() {
    const recipe = this.choice()?.recipe;
    if (!recipe) return;
    for (const about of FIELDS) {
      const { control } = this.controls.get(about.name);
      if (about.name === "seed") control.placeholder = t("another one each time");
      else if (!about.of) control.placeholder = settingWords(about, settingOf(about, recipe));
      else {
        const before = control.value;
        const usual = h("option", { value: "" }, t("Preset: {value}", { value: settingWords(about, settingOf(about, recipe)) }));
        control.replaceChildren(usual, ...Object.entries(about.of).map(([value, words]) => h("option", { value }, words)));
        control.value = before;
      }
    }
    this.controls.get("samples").control.placeholder = recipe.samples.join("\n");
    this.summed();
  }

  // What somebody set themselves, as the API takes it.
  own() {
    const found = {};
    for (const [name, { control }] of this.controls) {
      const value = control.value.trim();
      if (name === "model" || !value || control.closest(".cf").hidden) continue;
      if (name === "name") found.name = value;
      else if (name === "samples") found.samples = value.split("\n").map((line) => line.trim()).filter(Boolean);
      else if (["true", "false"].includes(value)) found[name] = value === "true";
      else found[name] = control.type === "number" ? Number(value) : value;
    }
    return found;
  }

  summed() {
    const chosen = this.offer && this.choice();
    if (!chosen) return;
    const own = this.own();
    const recipe = { ...chosen.recipe, ...own };
    const work = ({ steps, batch, resolution, prior_weight }) => steps * batch * resolution ** 2 * (prior_weight > 0 ? 2 : 1);
    const seconds = chosen.seconds === null ? null : (chosen.seconds * work(recipe)) / work(chosen.recipe);
    const time = seconds === null ? t("how long it takes is known after the first one") : seconds > 0 ? t("about {time} on this computer", { time: duration(seconds) }) : "";
    const steps = recipe.steps > 0 ? tn("{count} step", "{count} steps", recipe.steps) : "";
    setText(this.sum, [steps, time].filter(Boolean).join(" · "));
    this.button.disabled = this.blocked();
    const names = Object.keys(own).map((name) => this.controls.get(name).label);
    const key = names.join();
    if (key === this.counted) return;
    this.counted = key;
    const show = () => (setLevel("advanced"), (this.more.open = true));
    this.counting.replaceChildren(
      ...(names.length ? [tn("{count} setting of the Advanced view counts: {names}.", "{count} settings of the Advanced view count: {names}.", names.length, { names: names.join(", ") }), " ", h("button", { type: "button", class: "quiet", onclick: show }, t("Show them"))] : []),
    );
  }

  // Learn from a certain dataset; null for what is usual.
  from(dataset) {
    this.dataset = dataset;
    return this.reload();
  }

  async reload() {
    try {
      this.take(await get("training/offer", { character: this.character.id, model: this.spec, dataset: this.dataset }));
    } catch (problem) {
      complain(problem);
      if (!this.dataset) return;
      this.dataset = null;
      this.reload();
    }
  }

  async order() {
    this.clearErrors();
    const unread = [...this.controls].find(([, { control }]) => control.validity.badInput);
    if (unread) return void this.showError({ field: unread[0], message: t("This is not a number."), remedy: t("Write one, or leave it empty.") });
    const arch = this.arch();
    const engine = arch ? { engine: "aitoolkit", model: arch.arch, preset: this.preset } : { preset: this.preset, model: this.spec || null };
    const body = { character: this.character.id, ...engine, dataset: this.dataset, ...this.own() };
    this.button.disabled = true;
    let job;
    try {
      job = await post("training", body);
    } catch (problem) {
      if (!this.showError(problem)) complain(problem);
      return;
    } finally {
      this.button.disabled = this.blocked();
    }
    toast(t("{name} is being learned", { name: this.character.name }), { detail: t("It goes on when you close the page."), ms: 4000 });
    this.ordered(job);
  }

  showError(problem) {
    const name = (problem.field ?? "").split(".")[0];
    const field = this.form.querySelector(`[id="field-train-${name}"]`);
    if (!field) return false;
    const entry = this.controls.get(name);
    if (entry) {
      // A fault is seen, whatever the view shows otherwise.
      if (level() === "simple") setLevel("advanced");
      this.more.open = true;
    }
    field.classList.add("wrong");
    const id = `${field.id}-error`;
    field.append(h("p", { class: "field-error", id, role: "alert" }, faultWords(problem, entry?.label)));
    const control = entry?.control ?? field.querySelector("input");
    control?.setAttribute("aria-invalid", "true");
    control?.setAttribute("aria-describedby", id);
    requestAnimationFrame(() => {
      field.scrollIntoView({ block: "nearest" });
      control?.focus({ preventScroll: true });
    });
    return true;
  }

  clearErrors() {
    for (const field of this.form.querySelectorAll(".wrong")) this.clearError(field);
  }

  clearError(field) {
    if (!field) return;
    field.classList.remove("wrong");
    field.querySelector(".field-error")?.remove();
    field.querySelectorAll("[aria-invalid]").forEach((input) => (input.removeAttribute("aria-invalid"), input.removeAttribute("aria-describedby")));
  }
}
