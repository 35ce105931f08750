// What goes into a picture besides its words: who is in it, what the engine really reads, and grids of settings.

import { get, post, thumbnail } from "./api.js";
import { active, setActive } from "./active.js";
import { h, icon, setText, toggle } from "./dom.js";
import { somebody } from "./chip.js";
import { Field } from "./fields.js";
import { feed } from "./feed.js";
import { showTab } from "./header.js";
import { t, tn } from "./language.js";
import { initials } from "./portrait.js";
import { faultWords, labelOf, lacksWords } from "./words.js";

const COMPOSE_MS = 250;
const AXES = {
  steps: [t("Steps"), "8, 16, 24"],
  cfg: [t("CFG scale"), "2, 4, 7"],
  seed: [t("Seed"), "1, 2, 3"],
  sampler: [t("Sampler"), "euler, dpmpp_2m"],
  scheduler: [t("Scheduler"), "normal, karras"],
  denoise: [t("Denoise"), "0.3, 0.6, 0.9"],
  lora_strength: [t("LoRA strength"), "0.5, 1, 1.5"],
  preset: [t("Preset"), "portrait_v1, night_v1"],
  style: [t("Style"), "none, ink_comic_v1"],
  prompt: [t("Words in the prompt"), t("smiling, sad, surprised")],
};

// Who is in the picture. The choice is the active character of the whole page.
class Who extends Field {
  people = [];

  ready() {
    this.refresh();
    document.addEventListener("likeness:character", (event) => this.take(event.detail?.id ?? ""));
    document.addEventListener("likeness:characters", () => this.refresh());
    // Their first picture becomes their portrait.
    somebody.addEventListener("change", () => this.faceChanged() && this.refresh());
  }

  faceChanged() {
    const { character } = somebody;
    const mine = character && this.people.find((one) => one.id === character.id);
    return Boolean(mine) && mine.portrait !== character.portrait;
  }

  async refresh() {
    try {
      this.people = (await get("characters")).items;
      this.broken = false;
    } catch {
      this.broken = true;
    }
    this.draw();
    const chosen = active() ?? "";
    if (this.people.some((one) => one.id === chosen)) this.take(chosen);
    else if (this.value) this.take("");
  }

  take(id) {
    if ((this.value ?? "") === id) return;
    if (id && !this.people.some((one) => one.id === id)) return void this.refresh();
    this.pick(id);
    this.mark();
  }

  pick(value) {
    super.pick(value);
    setActive(value || null);
  }

  draw(changed) {
    if (changed === "items") return;
    if (changed === "value") {
      if (this.value) setActive(this.value);
      return this.mark();
    }
    const faces = [{ id: "", name: t("Nobody") }, ...this.people].map((one) =>
      this.radio(one.id, [face(one), h("span", { class: "who-name" }, one.name)], { "data-tip": one.id ? looks(one) : t("Nobody in particular.") }),
    );
    const words = this.people.length ? t("New") : t("Make one");
    const add = h("button", { type: "button", class: "who-add", "aria-label": t("Make a character"), "data-tip": t("Make a character"), onclick: () => showTab("characters") }, h("span", { class: "who-face" }, icon("plus")), h("span", { class: "who-name" }, words));
    this.body.replaceChildren(...faces, add);
    this.mark();
    setText(this.note, this.broken ? t("Could not be read") : "");
  }
}

function face(one) {
  if (one.portrait_thumbnail_url) return h("img", { class: "who-face", src: one.portrait_thumbnail_url, alt: "", loading: "lazy" });
  return h("span", { class: "who-face", "aria-hidden": "true" }, one.id ? initials(one.name) : "–");
}

// Which face the character has: its own, or one of its variants. Whoever has none sees nothing of it.
class Looks extends Field {
  ready() {
    somebody.addEventListener("change", () => {
      this.draw();
      // A look is one person's; nobody else can be drawn with it.
      if (this.value && !this.variants().some((one) => one.name === this.value)) this.pick("");
    });
  }

  variants() {
    return somebody.character?.variants ?? [];
  }

  draw(changed) {
    if (changed === "value") return this.mark();
    const variants = this.variants();
    this.closest("#field-variant")?.classList.toggle("no-looks", !variants.length);
    if (!variants.length) return this.body.replaceChildren();
    const { id, name, portrait } = somebody.character;
    const option = (value, one, shown, words) =>
      this.radio(value, [face({ ...one, portrait_thumbnail_url: one.portrait && thumbnail(one.portrait) }), h("span", { class: "who-name" }, shown)], { "data-tip": words });
    this.body.replaceChildren(
      option("", { id, name, portrait }, t("Own"), t("{name}'s own face, with nothing drawn over it", { name })),
      ...variants.map((one) => option(one.name, { ...one, id: one.name }, one.name, one.name)),
    );
    return this.mark();
  }
}

const looks = (one) => [one.appearance.hair, one.appearance.skin && `${one.appearance.skin} skin`, one.appearance.marks].filter(Boolean).join(", ") || t("Nothing is said about their looks yet.");

// What the engine reads: the composed prompts, live; edited by hand, they are taken as they stand.
class Written extends Field {
  static whole = true;
  role_ = "group";

  ready() {
    const form = this.closest("#form");
    form?.addEventListener("input", () => this.soon());
    form?.addEventListener("pick", (event) => event.target !== this && this.soon());
    // What the studio puts in counts too: a character's preset comes a moment after the character was picked.
    form?.addEventListener("told", (event) => event.target !== this && JSON.stringify(formValues()) !== this.said && this.soon());
    document.addEventListener("likeness:characters", () => this.soon());
    document.addEventListener("likeness:reuse-answer", () => this.soon());
    this.soon();
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.compose(), COMPOSE_MS);
  }

  async compose() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const form = formValues();
    this.said = JSON.stringify(form);
    // An empty form is no mistake; it is said when somebody presses Generate.
    const empty = !(form.prompt.trim() || form.character || form.references.length || form.image);
    let trouble = "";
    let found = null;
    try {
      found = empty ? null : await post("compose", form);
    } catch (problem) {
      const field = document.getElementById(`field-${(problem.field ?? "").split(".")[0]}`);
      trouble = faultWords(problem, field && labelOf(field));
    }
    // What stood here stays until something newer is known.
    if (turn !== this.turn) return;
    Object.assign(this, { composed: found, trouble });
    this.draw();
  }

  draw() {
    if (!this.positive) {
      const area = (label, name) =>
        h("textarea", { rows: 2, "aria-label": label, "data-part": name, spellcheck: "false", maxlength: 10000, oninput: (event) => (event.stopPropagation(), this.edited()) });
      this.positive = area(t("The prompt as the engine reads it"), "prompt");
      this.negative = area(t("The negative prompt as the engine reads it"), "negative_prompt");
      this.reset = h("button", { type: "button", class: "quiet", hidden: true, "data-tip": t("Put it together again from the prompt, the character and the style"), onclick: () => this.composeAgain() }, t("Reset"));
      this.line = h("span", { class: "written-line", "data-open": t("Edit it here") });
      this.sum = h("p", { class: "sum", role: "status" });
      this.fold = h("details", { class: "fold" }, h("summary", {}, this.line), h("div", { class: "written" }, h("small", {}, t("Prompt")), this.positive, h("small", {}, t("Negative prompt")), this.negative));
      this.head.append(this.reset);
      this.lacks = h("p", { class: "soft small written-lacks", role: "status", hidden: true });
      this.body.append(this.fold, this.lacks, this.sum);
    }
    const shown = this.value ?? this.composed ?? { prompt: "", negative_prompt: "" };
    for (const area of [this.positive, this.negative]) {
      const text = shown[area.dataset.part] ?? "";
      if (document.activeElement !== area && area.value !== text) area.value = text;
    }
    setText(this.line, this.trouble || shown.prompt || t("Choose a character or write a prompt: it is put together here."));
    this.line.classList.toggle("soft", !shown.prompt);
    toggle(this.reset, "hidden", !this.value);
    setText(this.note, this.value ? t("Edited by hand") : "");
    this.overrule();
    const lacks = this.value ? [] : (this.composed?.left_out ?? []);
    toggle(this.lacks, "hidden", !lacks.length);
    setText(this.lacks, lacks.length ? lacksWords(lacks) : "");
    setText(this.sum, this.sumWords());
  }

  // What was edited here counts alone; that is said where somebody goes on writing as if it didn't.
  overrule() {
    const prompt = document.getElementById("field-prompt");
    if (!prompt) return;
    prompt.classList.toggle("overruled", Boolean(this.value));
    if (this.value && !this.overruled?.isConnected) {
      const back = h("button", { type: "button", class: "quiet", "data-tip": t("Forget what was edited below"), onclick: () => this.composeAgain() }, t("Use the prompt again"));
      this.overruled = h("p", { class: "soft small overruled-note", role: "status" }, t("The engine reads the text that you edited below, word for word: the prompt, the character and the style add nothing to it."), " ", back);
      prompt.append(this.overruled);
    } else if (!this.value) this.overruled?.remove();
  }

  sumWords() {
    if (!this.composed || this.composed.jobs < 2) return "";
    const { jobs, pictures } = this.composed;
    const form = formValues();
    const parts = [];
    if (form.references.length) parts.push(tn("{count} reference", "{count} references", form.references.length));
    if (form.variations > 1) parts.push(tn("{count} variation", "{count} variations", form.variations));
    if (form.grid) parts.push(t("{size} grid", { size: [form.grid.x, form.grid.y].filter(Boolean).map((axis) => axis.values.length).join(" × ") }));
    const total = [tn("{count} job", "{count} jobs", jobs), pictures !== jobs && tn("{count} picture", "{count} pictures", pictures)].filter(Boolean).join(", ");
    return parts.length ? `${parts.join(" × ")} = ${total}` : total;
  }

  edited() {
    this.pick({ prompt: this.positive.value, negative_prompt: this.negative.value });
    this.draw();
  }

  composeAgain() {
    this.pick(null);
    this.soon();
    this.draw();
  }
}

// A menu shows a name, which may be translated; what was chosen in it is told apart from that.
let model = null;
document.addEventListener("likeness:menu", ({ detail }) => {
  if (detail.name === "model") model = detail.value || null;
});

// What the form says now, in the words of the API: for what is composed while somebody types.
export function formValues() {
  const text = (name) => document.querySelector(`#field-${name} textarea, #field-${name} input`)?.value ?? "";
  const value = (name) => document.querySelector(`#field-${name} [label]`)?.value ?? null;
  const character = value("character") || null;
  return {
    prompt: text("prompt"),
    negative_prompt: text("negative_prompt"),
    character,
    preset: value("preset") || (character ? "none" : null),
    style: value("style") || null,
    model,
    prompt_suffix: text("prompt_suffix"),
    negative_suffix: text("negative_suffix"),
    references: value("references")?.ids ?? [],
    image: value("source")?.image ?? null,
    variations: value("variations") ?? 1,
    count: value("count") ?? 1,
    grid: value("grid"),
    wildcards: value("wildcards") !== "false",
  };
}

// One or two settings varied side by side.
class GridField extends Field {
  static whole = true;
  role_ = "group";

  draw(changed) {
    if (!this.rows) {
      this.rows = ["x", "y"].map((axis) => this.row(axis));
      this.body.append(...this.rows.map((row) => row.node));
    }
    if (changed === "items" || JSON.stringify(this.value) === this.told) return;
    for (const row of this.rows) {
      const said = this.value?.[row.axis];
      row.field.value = said?.field ?? "";
      row.values.value = said?.values.join(", ") ?? "";
    }
    this.follow();
  }

  row(axis) {
    const across = axis === "x";
    const choices = Object.entries(AXES).map(([id, [words]]) => h("option", { value: id }, words));
    const field = h("select", { "aria-label": across ? t("Across: what is varied") : t("Down: what is varied"), onchange: () => this.changed() }, h("option", { value: "" }, across ? t("No grid") : t("Nothing")), ...choices);
    const values = h("input", { type: "text", "aria-label": across ? t("Across: the values, with commas between them") : t("Down: the values, with commas between them"), oninput: () => this.changed() });
    return { axis, field, values, node: h("div", { class: "axis" }, h("span", {}, across ? t("Across") : t("Down")), field, values) };
  }

  changed() {
    this.follow();
    const said = ({ field, values }) => {
      const list = values.value.split(",").map((word) => word.trim()).filter(Boolean);
      return field.value && list.length ? { field: field.value, values: list.slice(0, 20) } : null;
    };
    const [x, y] = this.rows.map(said);
    const grid = x ? { x, y } : null;
    this.told = JSON.stringify(grid);
    this.pick(grid);
  }

  follow() {
    const [across, down] = this.rows;
    for (const row of this.rows) {
      row.values.disabled = !row.field.value;
      row.values.placeholder = AXES[row.field.value]?.[1] ?? "";
    }
    toggle(down.node, "hidden", !across.field.value);
  }
}

customElements.define("likeness-looks", Looks);
customElements.define("likeness-who", Who);
customElements.define("likeness-written", Written);
customElements.define("likeness-grid", GridField);
