// Writing about a character: one page of sections. What is wrong is said at its field, and nothing that was written gets lost.

import { get, patch, post, send } from "./api.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { t } from "./language.js";
import { KINDS, monogram, portrait, templateCard } from "./portrait.js";
import { complain, toast } from "./toast.js";
import { confirmed } from "./tray.js";
import { faultWords } from "./words.js";

const DRAFT = "likeness-characters-draft";
const ADULT = 18;
const OLDEST = 120;

const HAIR_COLOURS = ["black", "dark brown", "brown", "blonde", "red", "gray", "white", "pink", "purple", "blue", "green"];
const HAIR_STYLES = [
  "long wavy hair", "long straight hair", "short hair", "curly hair", "a bob haircut", "a hair bun", "an afro", "long dreadlocks", "short cropped hair", "spiky hair", "an undercut",
];
const LOOKS = [
  { name: "age", label: t("Age"), kind: "number", tip: t("In years. It goes into prompts, but for the starter model, which draws no ages. Characters are adults."), note: t("{count} or more", { count: ADULT }) },
  { name: "gender", label: t("Gender"), tip: t("In a word or two. It goes into every prompt, with the age where the model draws ages: “34-year-old woman”."), chips: ["woman", "man", "non-binary person"] },
  { name: "skin", label: t("Skin"), tip: t("Tone of the skin."), placeholder: t("tan"), chips: ["pale", "light", "tan", "brown", "dark"] },
  { name: "eyes", label: t("Eyes"), tip: t("Colour and shape of the eyes."), placeholder: t("green"), chips: ["brown", "green", "blue", "gray", "hazel"] },
  { name: "hair", label: t("Hair"), wide: true, tip: t("Colour and style, as one phrase."), placeholder: t("long wavy red hair"), chips: HAIR_STYLES, colours: HAIR_COLOURS },
  { name: "build", label: t("Build"), tip: t("Height and figure. Shown on their page; {build} in the template of prompts on the Setup tab puts it into prompts too."), placeholder: t("slim, tall"), chips: ["slim", "average", "athletic", "broad", "curvy"] },
  { name: "marks", label: t("Marks"), tip: t("What one recognises them by: glasses, freckles, scars, tattoos."), placeholder: t("round glasses, freckles"), many: true, chips: ["round glasses", "glasses", "sunglasses", "freckles", "beard", "an eyepatch"] },
];
const PERSON = [
  { name: "personality", label: t("Personality"), tip: t("What they are like. Captions are written with it."), placeholder: t("Warm, curious, a little stubborn") },
  { name: "voice", label: t("Voice"), tip: t("How they speak and write."), placeholder: t("Short sentences, dry humour, no exclamation marks") },
  { name: "wardrobe", label: t("Wardrobe"), tip: t("What they usually wear: it goes into every prompt that names no clothes itself."), placeholder: t("green hoodie, navy jacket, white sneakers") },
  { name: "backstory", label: t("Backstory"), tip: t("Where they come from and what they do."), placeholder: t("Grew up by the sea, repairs bicycles in Lisbon") },
];
const EVIDENCE = ".pdf,.png,.jpg,.jpeg,.webp,.txt,.eml,.docx,.mp3,.m4a,.mp4";
const CHANNELS = ["Instagram", "TikTok", "X", "YouTube", "Threads", "Bluesky", "Facebook", "Pinterest", "LinkedIn", "Reddit"];

// What was being written in this tab of the browser, before it was loaded anew.
export const draftKept = () => stored(() => sessionStorage);

// What was being written last in any tab; it outlives the browser.
export const draftLeft = () => stored(() => localStorage);

export function forgetDraft(key) {
  try {
    sessionStorage.removeItem(DRAFT);
    // Another tab's draft stays.
    if (draftLeft()?.key === key) localStorage.removeItem(DRAFT);
  } catch {
    // Nothing was kept.
  }
}

function stored(store) {
  try {
    return JSON.parse(store().getItem(DRAFT) ?? "null");
  } catch {
    return null;
  }
}

function keepDraft(draft) {
  try {
    for (const store of [sessionStorage, localStorage]) store.setItem(DRAFT, JSON.stringify(draft));
  } catch {
    // Then a reload begins anew.
  }
}

export class CharacterForm {
  controls = new Map();
  own = { slug: false, trigger_word: false };

  constructor({ character, template, draft, templates, done, leave }) {
    Object.assign(this, { character, draft, templates, done, goBack: leave });
    this.version = draft?.version ?? character?.version ?? null;
    this.key = draft?.key ?? Math.random().toString(36).slice(2);
    this.build();
    this.fill(character ?? {});
    this.initial = this.text();
    this.before = this.body();
    if (template) this.fill({ ...template.fields, slug: null, trigger_word: null });
    if (draft) {
      this.own = draft.own ?? this.own;
      this.before = draft.before ?? this.before;
      this.initial = draft.initial ?? this.initial;
      this.fill(draft.values);
    }
  }

  // Drawn

  build() {
    const { character } = this;
    const heading = character ? t("Edit {name}", { name: character.name }) : t("New character");
    this.preview = h("span", { class: "form-face" });
    this.notice = h("div", { class: "form-notice", role: "status", hidden: true });
    this.state = h("p", { class: "form-state soft", role: "status" });
    this.saveButton = h("button", { type: "submit", class: "button primary", "data-tip": t("Ctrl + S") }, character ? t("Save changes") : t("Create character"));
    this.sections = h("div", { class: "form-sections" }, ...this.drawSections());
    this.steps = h("nav", { class: "form-steps", "aria-label": t("Sections") }, ...this.drawSteps());
    this.form = h(
      "form",
      { class: "character-form", novalidate: true, "aria-label": heading, onsubmit: (event) => (event.preventDefault(), this.save()) },
      h(
        "header",
        { class: "form-head" },
        iconButton("left", character ? t("Back to {name}", { name: character.name }) : t("Back to all characters"), () => this.goBack()),
        this.preview,
        h("h2", { tabindex: "-1", class: "people-title" }, heading),
      ),
      this.notice,
      h("div", { class: "form-body" }, this.steps, this.sections),
      h(
        "div",
        { class: "form-foot" },
        this.state,
        h("button", { type: "button", class: "button", "data-tip": t("Go back; asks first if something was changed"), onclick: () => this.goBack() }, t("Cancel")),
        this.saveButton,
      ),
    );
    this.form.addEventListener("input", (event) => this.changed(event.target));
    this.form.addEventListener("change", (event) => this.changed(event.target));
    this.form.addEventListener("keydown", (event) => {
      if (event.key !== "s" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.save();
    });
    this.node = this.form;
  }

  drawSections() {
    const section = (id, title, about, ...content) =>
      h("section", { class: "form-section", id: `character-${id}`, "aria-labelledby": `character-${id}-title` }, h("h3", { id: `character-${id}-title`, tabindex: "-1" }, title), h("p", { class: "soft" }, about), ...content);
    this.start_ = h("div", { class: "form-start", hidden: true });
    this.consent = section(
      "consent",
      t("Consent"),
      t("This is a real person. Their face is theirs, so photos and pictures wait until you have written down that they agreed. It is kept with every picture, and you can show it when somebody asks."),
      h("div", { class: "form-grid" }, ...this.drawConsent()),
    );
    return [
      section("basics", t("Basics"), t("Who this is."), this.start_, h("div", { class: "form-grid" }, ...this.drawBasics())),
      this.consent,
      section("looks", t("Looks"), t("In plain words; they go into every prompt. The suggestions for skin and hair are words the starter model knows well."), h("div", { class: "form-grid" }, ...LOOKS.map((field) => this.words({ ...field, name: `appearance.${field.name}` })))),
      section("person", t("Person"), t("Who they are, for captions and posts; the wardrobe goes into prompts too. All of it may stay empty."), h("div", { class: "form-grid" }, ...PERSON.map((field) => this.words({ ...field, kind: "area" })))),
      section("making", t("Making pictures"), t("What every picture of this character starts with."), h("div", { class: "form-grid" }, ...this.drawMaking())),
      section("social", t("Social handles"), t("Where this character posts, and under which name."), this.drawHandles()),
    ];
  }

  drawSteps() {
    return [...this.sections.children].map((section) => {
      const id = section.id.replace("character-", "");
      const button = h("button", { type: "button", class: "form-step", onclick: () => this.goTo(id) }, section.querySelector("h3").textContent);
      button.dataset.section = id;
      return button;
    });
  }

  drawBasics() {
    const kinds = Object.entries(KINDS).map(([id, { name, about }]) => {
      const input = h("input", { type: "radio", name: "character-kind", value: id });
      return h("label", { class: "option kind" }, input, h("span", { class: "option-face" }, h("strong", {}, name), h("span", {}, about)));
    });
    const kind = this.field(
      { name: "kind", label: t("Kind"), tip: t("Real people need a consent record before photos and pictures."), wide: true, group: "radiogroup" },
      h("div", { class: "kinds" }, ...kinds),
      {
        get: () => kind.querySelector("input:checked")?.value ?? "fictional",
        set: (value) => kind.querySelectorAll("input").forEach((input) => (input.checked = input.value === (value ?? "fictional"))),
      },
    );
    return [
      this.words({ name: "name", label: t("Name"), tip: t("What you call them. Anything goes."), placeholder: t("Mara Lind"), wide: true, most: 80, required: true }),
      kind,
      this.words({ name: "slug", label: t("Short name"), tip: t("Stands in file names and addresses: lower-case letters, digits and hyphens. Suggested from the name."), placeholder: "mara-lind", most: 60, plain: true }),
      this.words({ name: "trigger_word", label: t("Trigger word"), tip: t("One made-up word that means this character in prompts. It should mean nothing else, so that a trained model can't mix it up."), placeholder: "maralind", most: 40, plain: true }),
    ];
  }

  drawConsent() {
    const evidence = h("input", { type: "file", class: "cf-file", accept: EVIDENCE });
    this.evidence = evidence;
    this.evidenceNote = h("p", { class: "cf-hint" });
    return [
      this.words({ name: "consent.who", label: t("Who agreed"), tip: t("Their name, as they would sign."), placeholder: t("Mara Lind") }),
      this.words({ name: "consent.until", label: t("Until when"), kind: "date", tip: t("The last day the consent holds. Empty: until it is taken back."), note: t("may stay empty") }),
      this.words({ name: "consent.what_for", label: t("What for"), kind: "area", tip: t("What they agreed to, in their words."), placeholder: t("Portraits for our shop's Instagram, no politics, no nudity"), wide: true }),
      this.field(
        { name: "consent.evidence", label: t("Evidence"), tip: t("A signed form, a mail, a recording: any file that shows it. It stays on this computer."), wide: true, note: t("may stay empty") },
        [evidence, this.evidenceNote],
        { get: () => this.evidenceName ?? "", set: (value) => this.showEvidence(value) },
      ),
    ];
  }

  showEvidence(name) {
    this.evidenceName = name ?? "";
    setText(this.evidenceNote, name ? t("Kept: {file}. Choose a file to replace it.", { file: name.split("/").at(-1) }) : "");
  }

  drawMaking() {
    const choice = (name, label, tip, advanced) => {
      const select = h("select", { class: "cf-input" });
      return this.field({ name, label, tip, advanced }, select, {
        get: () => select.value,
        set: (value) => {
          // A choice that is gone stays to be seen until another is made.
          if (value && ![...select.options].some((option) => option.value === value)) select.append(h("option", { value }, this.listed ? t("{name} (not here any more)", { name: value }) : value));
          select.value = value ?? "";
        },
      });
    };
    const strength = h("input", { type: "range", class: "cf-range", min: -2, max: 2, step: 0.05 });
    const said = h("output", { class: "cf-output" });
    const show = (value) => setText(said, Number(value).toFixed(2));
    strength.addEventListener("input", () => show(strength.value));
    return [
      this.words({ name: "negative_prompt", label: t("Negative prompt"), kind: "area", tip: t("What should never be in a picture of this character. The preset and you add to it."), placeholder: t("blurry, extra fingers"), wide: true }),
      choice("preset", t("Preset"), t("The look their pictures begin with. You can change it for each picture.")),
      choice("model", t("Model"), t("The checkpoint that draws them.")),
      choice("lora", t("LoRA"), t("A small addition to the model that was taught this face.")),
      this.field({ name: "lora_strength", label: t("LoRA strength"), tip: t("How strongly it acts: 1 is as trained, 0 is not at all."), advanced: true }, h("div", { class: "cf-slider" }, strength, said), {
        get: () => Number(strength.value),
        set: (value) => ((strength.value = value ?? 1), show(strength.value)),
      }),
      choice("engine", t("Engine"), t("What does the drawing. Empty: whichever the model needs."), true),
    ];
  }

  drawHandles() {
    const rows = h("div", { class: "handles" });
    const channels = h("datalist", { id: "character-channels" }, ...CHANNELS.map((name) => h("option", { value: name })));
    const add = (channel = "", name = "") => {
      const row = h(
        "div",
        { class: "handle" },
        h("input", { type: "text", class: "cf-input", list: "character-channels", "aria-label": t("Channel"), placeholder: t("Channel"), maxlength: 400, value: channel }),
        h("input", { type: "text", class: "cf-input", "aria-label": t("Name on that channel"), placeholder: t("@name"), maxlength: 400, value: name }),
        iconButton("close", t("Remove this handle"), () => {
          row.remove();
          more.focus();
          this.changed(rows);
        }),
      );
      rows.append(row);
      return row;
    };
    const more = h("button", { type: "button", class: "quiet", "data-tip": t("One more channel"), onclick: () => add().querySelector("input").focus() }, icon("plus"), t("Add a handle"));
    return this.field({ name: "handles", label: t("Handles"), tip: t("Channel and name."), wide: true, group: "group", bare: true }, [rows, channels, more], {
      get: () => [...rows.children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value.trim())).filter(([channel, name]) => channel || name),
      set: (value) => {
        rows.replaceChildren();
        for (const [channel, name] of Array.isArray(value) ? value : Object.entries(value ?? {})) add(channel, name);
      },
    });
  }

  // A field of words: a line, a paragraph, a number, a day; with suggestions that write themselves into it.
  words(about) {
    const { kind, chips, colours, many, plain, most, required, placeholder } = about;
    const common = { class: "cf-input", placeholder, maxlength: most ?? (kind === "area" ? 10_000 : 200), required, autocomplete: "off", spellcheck: plain ? "false" : null };
    let input;
    if (kind === "area") input = h("textarea", { ...common, rows: 2 });
    else if (kind === "number") input = h("input", { ...common, type: "number", inputmode: "numeric", min: ADULT, max: OLDEST, step: 1, maxlength: null });
    else if (kind === "date") input = h("input", { ...common, type: "date", maxlength: null, placeholder: null });
    else input = h("input", { ...common, type: "text" });
    const put = (value) => {
      input.value = value;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    };
    const parts = () => partsOf(input.value);
    const hair = (key) => [() => hairOf(input.value)[key], (word, on) => put(hairWords({ ...hairOf(input.value), [key]: on ? word : "" }))];
    const one = [() => input.value.trim(), (word, on) => put(on ? word : "")];
    const several = [parts, (word, on) => put((on ? [...parts(), word] : parts().filter((part) => part !== word)).join(", "))];
    const rows = [];
    if (colours) rows.push(this.chips(colours, t("Hair colours"), ...hair("colour")), this.chips(chips, t("Hair styles"), ...hair("style")));
    else if (chips) rows.push(this.chips(chips, t("Suggestions for {field}", { field: about.label }), ...(many ? several : one)));
    const show = () => rows.forEach((row) => row.mark());
    input.addEventListener("input", show);
    return this.field(about, [input, ...rows], {
      get: () => (kind === "number" ? numberOf(input) : input.value.trim()),
      set: (value) => {
        input.value = value ?? "";
        show();
      },
    });
  }

  chips(words, label, current, pick) {
    const isOn = (word) => [current()].flat().includes(word);
    const chip = (word) => h("button", { type: "button", class: "chip-word", "aria-pressed": "false", onclick: () => pick(word, !isOn(word)) }, word);
    // Words of prompts, which the models read in English.
    const row = h("div", { class: "chips", role: "group", "aria-label": label, lang: "en" }, ...words.map(chip));
    row.mark = () => [...row.children].forEach((node) => node.setAttribute("aria-pressed", isOn(node.textContent)));
    return row;
  }

  field({ name, label, tip, note, wide, advanced, group, bare }, content, { get: read, set: write }) {
    const id = `field-character-${name.replaceAll(".", "-")}`;
    const parts = [content].flat();
    const main = parts.find((part) => part.matches?.("input, textarea, select"));
    const input = main ?? parts[0].querySelector?.("input, select, textarea");
    const title = h(group ? "span" : "label", { class: "cf-label", id: `${id}-label`, for: group ? null : `${id}-input` }, label);
    if (!group && input) input.id = `${id}-input`;
    if (input) input.setAttribute("aria-description", tip);
    const node = h(
      "div",
      {
        class: ["cf", wide && "wide", advanced && "advanced-only"].filter(Boolean).join(" "),
        id,
        dataset: { field: name },
        role: group ?? null,
        "aria-labelledby": group ? `${id}-label` : null,
      },
      h("div", { class: bare ? "visually-hidden" : "cf-head" }, title, h("span", { class: "info-text cf-help", "data-tip": tip, "aria-hidden": "true" }), note ? h("span", { class: "cf-note" }, note) : null),
      ...parts,
      h("p", { class: "cf-hint cf-suggested", hidden: true }),
    );
    this.controls.set(name, { node, read, write, input });
    return node;
  }

  // Lists that the fields choose from, and templates to start with; drawn when they are known.
  async start() {
    this.changed(null);
    const [presets, models, loras] = await Promise.all(["presets", "models", "loras"].map((path) => get(path).then((found) => found.items, () => [])));
    const engines = [...new Set(models.map((model) => model.engine))].map((id) => ({ id, name: id }));
    const lists = {
      preset: [t("None"), presets],
      model: [t("As the preset or studio says"), models],
      lora: [t("None"), loras.map((lora) => ({ id: lora.path, name: lora.name }))],
      engine: [t("As the model needs"), engines],
    };
    const was = this.values();
    this.listed = true;
    for (const [name, [none, items]] of Object.entries(lists)) {
      const { input, write } = this.controls.get(name);
      input.replaceChildren(h("option", { value: "" }, none), ...items.map((item) => h("option", { value: item.id }, item.name)));
      write(was[name]);
    }
    this.changed(null);
    if (!this.character && !this.draft) {
      this.suggest();
      this.offerTemplates();
    }
    if (this.draft) this.tellDraft();
    this.others();
  }

  async offerTemplates() {
    const items = await this.templates();
    if (!items.length) return;
    const use = async (template) => {
      if (this.dirty() && !(await confirmed(t("Start over from this template?"), t("What you have written here is replaced."), t("Replace"), t("Keep mine")))) return;
      this.own = { slug: false, trigger_word: false };
      this.fill({ ...template.fields, slug: null, trigger_word: null });
      this.changed(null);
      this.suggest();
      this.controls.get("name").input.focus();
    };
    this.start_.replaceChildren(
      h("details", { class: "form-templates" }, h("summary", {}, t("Start from a template")), h("ul", { class: "templates" }, ...items.map((template) => h("li", {}, templateCard(template, () => use(template)))))),
    );
    this.start_.hidden = false;
  }

  tellDraft() {
    this.say(
      h("p", {}, t("Your unsaved changes are back.")),
      h("button", { type: "button", class: "quiet", onclick: () => this.discard() }, t("Discard them")),
    );
  }

  discard() {
    this.forget();
    this.draft = null;
    this.own = { slug: false, trigger_word: false };
    this.fill(this.character ?? {});
    this.version = this.character?.version ?? null;
    this.initial = this.text();
    this.before = this.body();
    this.hush();
    this.changed(null);
  }

  // Everybody's short names and trigger words, so that one that is taken is seen while it is typed.
  async others() {
    const lists = await Promise.all(["active", "archived", "trashed"].map((status) => get("characters", { status }).then((found) => found.items, () => [])));
    this.taken = lists.flat().filter((one) => one.id !== this.character?.id);
    this.hints();
  }

  // Filled and read

  fill(fields) {
    for (const [name, control] of this.controls) control.write(at(fields, name));
    this.clearErrors();
  }

  values() {
    const found = {};
    for (const [name, control] of this.controls) {
      const [first, second] = name.split(".");
      if (second) (found[first] ??= {})[second] = control.read();
      else found[first] = control.read();
    }
    return found;
  }

  text() {
    return JSON.stringify(this.values());
  }

  // As the API takes it.
  body() {
    const found = this.values();
    const body = { ...found, handles: Object.fromEntries(found.handles) };
    for (const name of ["preset", "model", "lora", "engine"]) body[name] = found[name] || null;
    for (const name of ["slug", "trigger_word"]) if (!found[name]) delete body[name];
    const { who, what_for, until, evidence } = found.consent;
    const said = who || what_for || until || evidence;
    if (found.kind === "fictional") delete body.consent;
    else body.consent = said ? { who, what_for, until: until || null, evidence } : null;
    return body;
  }

  dirty() {
    return !this.saved && (this.text() !== this.initial || Boolean(this.evidence?.files.length));
  }

  // Something was written

  changed(target) {
    const name = target?.closest?.("[data-field]")?.dataset.field;
    if (name) this.clearError(name);
    if (name in this.own) {
      this.own[name] = Boolean(this.controls.get(name).read());
      if (!this.own[name]) this.suggest();
    }
    if (name === "name" && !this.character) this.suggest();
    const values = this.values();
    toggle(this.consent, "hidden", values.kind === "fictional");
    toggle(this.steps.querySelector("[data-section=consent]"), "hidden", values.kind === "fictional");
    this.controls.get("consent.who").input.placeholder = values.name || t("Mara Lind");
    const face = values.name || "?";
    if (this.face !== face) this.preview.replaceChildren(this.character?.portrait_url ? portrait(this.character) : monogram(face));
    this.face = face;
    const dirty = this.dirty();
    if (target && dirty) keepDraft({ key: this.key, id: this.character?.id ?? null, version: this.version, values, own: this.own, initial: this.initial, before: this.before });
    else if (target) this.forget();
    setText(this.state, dirty ? t("Not saved yet") : "");
    this.hints();
  }

  forget() {
    forgetDraft(this.key);
  }

  suggest() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(async () => {
      const name = this.controls.get("name").read();
      if (this.character || !name) return;
      let found;
      try {
        found = await get("characters/suggest", { name });
      } catch {
        return;
      }
      if (name !== this.controls.get("name").read()) return;
      for (const key of ["slug", "trigger_word"]) if (!this.own[key]) this.controls.get(key).write(found[key]);
      this.changed(this.form);
    }, 250);
  }

  hints() {
    const plain = this.controls.get("name").read().toLowerCase();
    for (const key of ["slug", "trigger_word"]) {
      const { node, read } = this.controls.get(key);
      const value = read();
      const owner = this.taken?.find((one) => one[key].toLowerCase() === value.toLowerCase());
      const namesake = !this.own[key] && !this.character && value && this.taken?.find((one) => one.name.toLowerCase() === plain);
      const hint = node.querySelector(".cf-suggested");
      hint.classList.toggle("bad", Boolean(owner));
      setText(hint, owner ? t("Already used by {name}. Choose another one.", { name: owner.name }) : namesake ? t("There is a {name} already, so this one is a little different.", { name: namesake.name }) : "");
      toggle(hint, "hidden", !hint.textContent);
    }
  }

  // Saved

  async save({ version = this.version } = {}) {
    if (this.saving) return;
    this.clearErrors();
    if (this.amiss()) return;
    this.saving = true;
    this.saveButton.disabled = true;
    setText(this.state, t("Saving …"));
    try {
      const file = this.evidence.files[0];
      const saved = await this.send(version);
      // From here on it exists: what fails now must not make a second one.
      this.character = saved;
      this.version = saved.version;
      this.before = this.body();
      this.initial = this.text();
      if (file && this.values().kind !== "fictional") await this.sendEvidence(saved, file);
      this.saved = true;
      this.forget();
      toast(t("{name} is saved", { name: saved.name }), { ms: 2500 });
      this.done(saved);
    } catch (problem) {
      this.changed(this.form);
      await this.refused(problem);
    } finally {
      this.saving = false;
      this.saveButton.disabled = false;
      if (!this.saved) setText(this.state, this.dirty() ? t("Not saved yet") : "");
    }
  }

  send(version) {
    const body = this.body();
    if (!this.character) return post("characters", body);
    const changes = Object.fromEntries(Object.entries(body).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(this.before[key])));
    if (!Object.keys(changes).length) return Promise.resolve(this.character);
    return patch(`characters/${encodeURIComponent(this.character.id)}`, { ...changes, version });
  }

  async sendEvidence(saved, file) {
    const form = new FormData();
    form.append("file", file, file.name);
    try {
      await send(`characters/${encodeURIComponent(saved.id)}/evidence`, form, "PUT");
    } catch (problem) {
      problem.field = "consent.evidence";
      throw problem;
    }
  }

  // What can be seen here is said at once, all of it; the rest is for the studio to find.
  amiss() {
    const { name, appearance, handles, kind, consent } = this.values();
    const found = [];
    if (!name) found.push(["name", t("The character needs a name.")]);
    const { age } = appearance;
    if (age !== null && (!Number.isInteger(age) || age < ADULT || age > OLDEST)) {
      found.push(["appearance.age", age < ADULT ? t("Characters are adults: {count} or more.", { count: ADULT }) : t("A whole number from {least} to {most}.", { least: ADULT, most: OLDEST })]);
    }
    if (kind !== "fictional" && (consent.who || consent.what_for || consent.until || this.evidence.files.length)) {
      if (!consent.who) found.push(["consent.who", t("Say who agreed.")]);
      if (!consent.what_for) found.push(["consent.what_for", t("Say what they agreed to.")]);
    }
    const channels = handles.map(([channel]) => channel.toLowerCase());
    if (handles.some(([channel, account]) => !channel || !account)) found.push(["handles", t("Each handle is a channel and a name.")]);
    else if (new Set(channels).size < channels.length) found.push(["handles", t("A channel stands here twice. One name for each, please.")]);
    found.forEach(([field, words]) => this.showError(field, words));
    if (found.length) this.focusFirst();
    return found.length > 0;
  }

  async refused(problem) {
    if (problem.status === 409 && this.character && (!problem.field || problem.field === "version")) return this.conflict(problem);
    const shown = problem.field && this.showError(problem.field, (label) => faultWords(problem, label));
    if (shown) return this.focusFirst();
    return complain(problem);
  }

  // Somebody else saved meanwhile: both versions are shown, and nothing is decided by itself.
  async conflict(problem) {
    let theirs;
    try {
      theirs = await get(`characters/${encodeURIComponent(this.character.id)}`);
    } catch {
      return complain(problem);
    }
    // Field by field: what was not touched here takes theirs, so nobody's work is lost but where both wrote.
    const base = JSON.parse(this.initial);
    const fields = [...this.controls].map(([name, control]) => {
      const before = at(base, name) ?? "";
      const [mine, other] = [control.read() ?? "", name === "handles" ? Object.entries(theirs.handles) : (at(theirs, name) ?? "")];
      return { control, mine, other, touched: said(mine) !== said(before) };
    });
    const rows = fields
      .filter(({ mine, other }) => said(mine) !== said(other))
      .map(({ control, mine, other, touched }) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, control.node.querySelector(".cf-label").textContent),
          h("td", {}, said(other) || t("empty")),
          h("td", { class: touched ? null : "soft" }, touched ? said(mine) || t("empty") : t("not changed here: theirs stays")),
        ),
      );
    const load = () => {
      this.forget();
      Object.assign(this, { character: theirs, version: theirs.version, draft: null });
      this.fill(theirs);
      this.initial = this.text();
      this.before = this.body();
      this.hush();
      this.changed(null);
      toast(t("Their version is loaded"), { ms: 2500 });
    };
    const force = () => {
      this.hush();
      for (const { control, other, touched } of fields) if (!touched) control.write(other);
      this.version = theirs.version;
      this.save();
    };
    this.say(
      h(
        "div",
        { class: "conflict" },
        h("h3", { tabindex: "-1" }, t("Somebody else changed this character meanwhile")),
        rows.length
          ? h(
              "div",
              { class: "conflict-scroll" },
              h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), h("th", { scope: "col" }, t("Theirs")), h("th", { scope: "col" }, t("Mine")))), h("tbody", {}, ...rows)),
            )
          : h("p", { class: "soft" }, t("Both say the same where it can be seen.")),
        h(
          "div",
          { class: "conflict-acts" },
          h("button", { type: "button", class: "button", "data-tip": t("Forget what you wrote here"), onclick: load }, t("Load theirs")),
          h("button", { type: "button", class: "button primary", "data-tip": t("What you changed goes over theirs"), onclick: force }, t("Save mine anyway")),
        ),
      ),
    );
    this.notice.scrollIntoView({ block: "nearest" });
    this.notice.querySelector("h3").focus();
    return undefined;
  }

  say(...content) {
    this.notice.replaceChildren(...content);
    this.notice.hidden = false;
  }

  hush() {
    this.notice.hidden = true;
    this.notice.replaceChildren();
  }

  // Errors at their fields

  showError(name, words) {
    const [first, second] = name.split(".");
    const control = [`${first}.${second}`, first, `appearance.${first}`, `${first}.who`].map((key) => this.controls.get(key)).find(Boolean);
    if (!control || control.node.closest("[hidden]")) return false;
    const { node, input } = control;
    this.clearError(node.dataset.field);
    node.dataset.wrong = "";
    const id = `${node.id}-error`;
    node.append(h("p", { class: "field-error", id, role: "alert" }, typeof words === "string" ? words : words(node.querySelector(".cf-label").textContent)));
    input?.setAttribute("aria-invalid", "true");
    input?.setAttribute("aria-describedby", id);
    return node.offsetParent !== null;
  }

  focusFirst() {
    const node = this.form.querySelector("[data-wrong]");
    const input = node?.querySelector(".cf-input, input, button");
    node?.scrollIntoView({ block: "center" });
    input?.focus({ preventScroll: true });
  }

  clearError(name) {
    const control = this.controls.get(name);
    if (!control || !("wrong" in control.node.dataset)) return;
    delete control.node.dataset.wrong;
    control.node.querySelector(".field-error")?.remove();
    control.input?.removeAttribute("aria-invalid");
    control.input?.removeAttribute("aria-describedby");
  }

  clearErrors() {
    for (const name of this.controls.keys()) this.clearError(name);
  }

  goTo(id) {
    const section = this.form.querySelector(`#character-${id}`);
    section?.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    section?.querySelector("h3")?.focus({ preventScroll: true });
  }

  async mayLeave() {
    if (this.dirty() && !(await confirmed(t("Leave without saving?"), t("What you have written here is not kept."), t("Discard"), t("Keep writing")))) return false;
    this.forget();
    this.saved = true;
    return true;
  }
}

function numberOf(input) {
  if (input.validity.badInput) return NaN;
  return input.value === "" ? null : Number(input.value);
}

const partsOf = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);

const COLOUR_AT_END = new RegExp(`^(?:(.*?)(,)?\\s+)?(${[...HAIR_COLOURS].sort((one, other) => other.length - one.length).join("|")}) hair$`, "i");

// “long wavy red hair” is the style “long wavy hair” in the colour “red”; “an afro, red hair” says the same of a style that is no hair by name.
export function hairOf(text) {
  const match = COLOUR_AT_END.exec(text.trim().replace(/\s+/g, " "));
  if (!match) return { colour: "", style: text.trim() };
  const [, before = "", comma, colour] = match;
  return { colour: colour.toLowerCase(), style: !before || comma ? before : `${before} hair` };
}

export function hairWords({ style, colour }) {
  if (!style) return colour ? `${colour} hair` : "";
  if (!colour) return style;
  return /^(?!an? ).* hair$/.test(style) ? style.replace(/ hair$/, ` ${colour} hair`) : `${style}, ${colour} hair`;
}

const at = (fields, name) => name.split(".").reduce((value, key) => value?.[key], fields);

function said(value) {
  if (value === null || value === undefined) return "";
  return Array.isArray(value) ? value.map((pair) => pair.join(": ")).join("; ") : String(value);
}
