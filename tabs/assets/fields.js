// The form's own fields. Each tells its value with a `pick` event and takes `value` and `items` as JSON in attributes.

import { get } from "./api.js";
import { somebody } from "./chip.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { feed, paints } from "./feed.js";
import { known, t, tn } from "./language.js";
import { toast } from "./toast.js";
import { learnMore } from "./words.js";

const MOST_CARDS = 6;
const PHONE = matchMedia("(max-width: 52rem)");
let counter = 0;

// Presets and styles come in one list, asked for once.
let asked = null;
export const presetsAndStyles = () =>
  (asked ??= get("presets").then(
    ({ items }) => {
      const names = Object.fromEntries(items.map((one) => [one.id, one.name]));
      for (const kind of ["presets", "styles"]) learnMore(kind, names);
      return items;
    },
    (problem) => {
      asked = null;
      throw problem;
    },
  ));

// What was picked lately in the fields that hold on to it, until a whole form is filled in.
const HOLD_MS = 10_000;
const held = new Map();
for (const type of ["likeness:reuse", "likeness:recall"]) document.addEventListener(type, () => held.clear());

export class Field extends HTMLElement {
  static observedAttributes = ["value", "items"];
  value = null;
  items = [];

  connectedCallback() {
    if (this.body) return;
    this.name = `field-${++counter}`;
    const label = known(this.getAttribute("label"));
    const info = known(this.getAttribute("info"));
    this.head = h(
      "div",
      { class: "field-head" },
      h("span", { class: "field-label", id: `${this.name}-label` }, label),
      h("span", { class: "info-text", "data-tip": info, "aria-hidden": "true" }),
    );
    this.note = h("span", { class: "field-note", "aria-live": "polite" });
    this.head.append(this.note);
    this.body = h("div", {
      class: "field-body",
      id: `${this.name}-body`,
      role: this.role_ ?? "radiogroup",
      "aria-labelledby": `${this.name}-label`,
      "aria-description": info,
    });
    this.append(this.head, this.body);
    if (this.hasAttribute("folds")) this.startFolding(label);
    this.ready?.();
    this.draw();
  }

  // On a phone the field is one line with its present value; touched, it opens.
  startFolding(label) {
    this.value_ = h("span", { class: "fold-value" });
    this.opener = h(
      "button",
      { type: "button", class: "fold-line", "aria-expanded": "false", "aria-controls": this.body.id, onclick: () => this.unfold(this.opener.getAttribute("aria-expanded") !== "true", true) },
      h("span", { class: "fold-name" }, label),
      this.value_,
      icon("down"),
    );
    this.prepend(this.opener);
    this.body.before(h("p", { class: "fold-about" }, known(this.getAttribute("info"))));
    const fit = () => toggle(this, "data-folded", PHONE.matches && this.opener.getAttribute("aria-expanded") !== "true");
    PHONE.addEventListener("change", fit);
    fit();
  }

  unfold(open, show = false) {
    if (!this.opener) return;
    this.opener.setAttribute("aria-expanded", open);
    toggle(this, "data-folded", PHONE.matches && !open);
    // What was opened must not lie under the button for Generate.
    if (open && show) requestAnimationFrame(() => this.scrollIntoView({ block: "nearest" }));
  }

  // What a folded field says of itself.
  sayValue() {
    if (this.opener) setText(this.value_, this.valueWords());
  }

  valueWords() {
    return String(this.value ?? "");
  }

  attributeChangedCallback(name, _before, text) {
    this[name] = JSON.parse(text ?? "null") ?? (name === "items" ? [] : null);
    // On its way through Gradio nothing becomes an empty text.
    if (this.constructor.whole && this.value === "") this.value = null;
    if (name === "value") this.hold();
    if (!this.body) return;
    if (name === "value") this.dispatchEvent(new CustomEvent("told", { bubbles: true }));
    this.draw(name);
    this.sayValue();
  }

  // A part that was opened just now may be told once more that it is empty, after a picture was put into it.
  hold() {
    const picked = held.get(this.constructor);
    if (!picked?.value || this.value !== null || performance.now() - picked.at > HOLD_MS) return;
    this.value = picked.value;
    queueMicrotask(() => this.dispatchEvent(new CustomEvent("pick", { detail: picked.value, bubbles: true })));
  }

  pick(value) {
    if (this.constructor.holds) held.set(this.constructor, { value, at: performance.now() });
    this.value = value;
    this.sayValue();
    this.dispatchEvent(new CustomEvent("pick", { detail: value, bubbles: true }));
  }

  // Real radio buttons under the drawing: arrows, Tab and screen readers know them.
  radio(id, content, attributes = {}, refused = null) {
    const onchange = () => (refused ? refused() : this.pick(id), this.mark());
    const { "aria-description": about = attributes["data-tip"], ...rest } = attributes;
    const input = h("input", { type: "radio", name: this.name, value: id, "aria-disabled": refused ? true : null, "aria-description": about, onchange });
    input.checked = id === this.value;
    return h("label", { class: "option", ...rest }, input, h("span", { class: "option-face" }, content));
  }

  mark() {
    for (const input of this.body.querySelectorAll("input[type=radio]")) input.checked = input.value === (this.value ?? "");
    this.sayValue();
  }
}

class Segments extends Field {
  draw(changed) {
    if (changed === "value") return this.mark();
    this.body.replaceChildren(...this.items.map((item) => this.radio(item.id, known(item.name), { "data-tip": known(item.about) })));
  }
}

class Shapes extends Field {
  draw(changed) {
    if (changed !== "value") {
      this.body.replaceChildren(
        ...this.items.map((item) => {
          const [width, height] = item.id.split(":").map(Number);
          const longest = Math.max(width, height);
          const drawing = h("span", { class: "shape", style: { "--w": width / longest, "--h": height / longest } });
          return this.radio(item.id, [h("span", { class: "shape-box" }, drawing), h("span", { class: "shape-name" }, item.id)], {
            "data-tip": `${known(item.name)}: ${pixels(item)}`,
          });
        }),
      );
    }
    this.mark();
  }

  mark() {
    super.mark();
    const chosen = this.items.find((item) => item.id === this.value);
    setText(this.note, chosen ? pixels(chosen) : "");
    for (const field of document.querySelectorAll(SIDES.map((side) => `${side} likeness-number`).join())) field.draw?.();
  }

  // Width and height in pixels of what is chosen.
  sides() {
    return this.items.find((item) => item.id === this.value)?.size.split(" × ") ?? null;
  }

  valueWords() {
    const chosen = this.items.find((item) => item.id === this.value);
    return chosen ? `${known(chosen.name)} · ${chosen.size}` : "";
  }
}

const SIDES = ["#field-width", "#field-height"];
const pixels = ({ size }) => t("{size} pixels", { size });

class Cards extends Field {
  all = false;
  presets = [];
  most = MOST_CARDS;

  async ready() {
    this.more = h("button", { type: "button", class: "quiet more", "data-tip": t("All of them, or only the first ones"), onclick: () => ((this.all = !this.all), this.draw()) });
    // A finger has no hover: what the chosen one does is written under the cards.
    this.about = h("p", { class: "card-about" });
    this.append(this.about, this.more);
    try {
      this.presets = await presetsAndStyles();
    } catch {
      this.broken = true;
    }
    this.draw();
    this.sayValue();
  }

  // Styles have a row of their own; one that was chosen as a preset, as it could be once, stays to be seen here.
  offers(card) {
    return card.category !== "style" || card.id === this.value;
  }

  none() {
    return { id: "", name: t("None"), tooltip: t("No preset: your words and the model's own settings."), category: "" };
  }

  valueWords() {
    return this.value ? (this.preset(this.value)?.name ?? this.value) : t("None");
  }

  draw() {
    const said = new Map(this.items.map((item) => [item.id, item]));
    const runs = (card) => !said.get(card.id)?.why;
    const offered = this.presets.filter((card) => this.offers(card));
    const cards = [this.none(), ...offered.filter(runs), ...offered.filter((card) => !runs(card))];
    const at = cards.findIndex((card) => card.id === (this.value ?? ""));
    const few = cards.length <= this.most + 2;
    // The chosen one is always among those that are shown.
    const shown = this.all || few ? cards : cards.filter((_card, index) => index < this.most || index === at).slice(-this.most - 1);
    const focused = this.body.contains(document.activeElement);
    this.body.replaceChildren(
      ...shown.map((card) =>
        this.card(card, said.get(card.id) ?? {}),
      ),
    );
    this.mark();
    if (focused) this.body.querySelector("input:checked")?.focus();
    this.more.hidden = few;
    this.more.setAttribute("aria-expanded", this.all);
    setText(this.more, this.all ? t("Show fewer") : tn("Show all {count} presets", "Show all {count} presets", cards.length - 1));
    setText(this.note, this.broken ? t("Could not be read") : "");
  }

  // One that does not run with the chosen model stays to be seen: with the reason, and with what would do.
  card(card, lack) {
    const face = [lack.pictured ? example(card) : emblem(card), h("span", { class: "card-name" }, card.name)];
    if (!lack.why) return this.radio(card.id, face, { "data-tip": card.tooltip, "data-preset": card.id });
    const reason = h("span", { class: "visually-hidden" }, `${lack.why} ${lack.remedy}`);
    const refused = () => {
      const way = lack.link ? { action: t("Where it is"), act: () => window.open(lack.link, "_blank", "noopener") } : {};
      toast(lack.why, { kind: "warn", detail: lack.remedy, ms: 12_000, ...way });
    };
    const attributes = { "data-tip": `${card.tooltip} ${lack.why}`, "aria-description": card.tooltip, "data-preset": card.id, class: "option unfit" };
    return this.radio(card.id, [...face, reason], attributes, refused);
  }

  mark() {
    super.mark();
    const chosen = this.value ? this.preset(this.value) : this.none();
    if (this.about) setText(this.about, chosen?.tooltip ?? "");
  }

  preset(id) {
    return this.presets.find((item) => item.id === id) ?? null;
  }
}

// How it is drawn, beside what the preset says.
class Styles extends Cards {
  most = Infinity;

  offers(card) {
    return card.category === "style";
  }

  none() {
    return { id: "", name: t("None"), tooltip: t("No style: as the preset and your words say."), category: "" };
  }
}

// What a preset makes of its own example prompt, drawn by the studio itself.
function example(card) {
  const image = h("img", { class: "emblem", src: new URL(`presets/${encodeURIComponent(card.id)}.webp`, import.meta.url), alt: "", loading: "lazy", width: 34, height: 34 });
  image.addEventListener("error", () => image.replaceWith(emblem(card)));
  return image;
}

// A preset of one's own, or of a model that does not come along, has no example picture: its name makes its colours, the same every time.
function emblem(card) {
  if (!card.id) return h("span", { class: "emblem none" });
  let hash = 7;
  for (const letter of card.id) hash = (hash * 31 + letter.codePointAt(0)) % 9973;
  return h("span", { class: "emblem", style: { "--hue": (hash * 137.5) % 360, "--turn": `${(hash * 47) % 360}deg` } }, card.name.slice(0, 1));
}

class Stepper extends Field {
  role_ = "group";

  draw(changed) {
    const [least, most] = this.items.length ? this.items.map((item) => Number(item.id)) : [1, 1];
    if (!this.number) {
      this.number = h("input", {
        type: "number",
        inputmode: "numeric",
        step: 1,
        "aria-labelledby": `${this.name}-label`,
        onchange: () => this.set(Number(this.number.value)),
      });
      this.less = iconButton("minus", t("One less"), () => this.set(this.value - 1));
      this.plus = iconButton("plus", t("One more"), () => this.set(this.value + 1));
      this.body.append(this.less, this.number, this.plus);
    }
    if (changed !== "value") Object.assign(this, { least, most });
    this.number.min = this.least;
    this.number.max = this.most;
    this.show();
  }

  set(value) {
    this.pick(Math.max(this.least, Math.min(this.most, Math.round(value) || this.least)));
    this.show();
  }

  show() {
    this.number.value = this.value ?? this.least;
    this.less.disabled = this.value <= this.least;
    this.plus.disabled = this.value >= this.most;
  }
}

// A number that may be left open; its hint says what it is then.
class NumberField extends Field {
  role_ = "group";

  draw() {
    if (!this.number) {
      this.number = h("input", {
        type: "number",
        inputmode: "decimal",
        step: "any",
        "aria-labelledby": `${this.name}-label`,
        oninput: () => this.pick(this.number.value === "" ? null : Number(this.number.value)),
      });
      this.body.append(this.number, ...this.beside());
    }
    this.number.placeholder = this.hint();
    const shown = this.value === null ? "" : String(this.value);
    if (this.number.value !== shown && !(shown === "" && this.number.validity.badInput)) this.number.value = shown;
  }

  // What the studio says of a shape may come late, and be of the one before: its pixels are known here.
  hint() {
    const side = SIDES.findIndex((each) => this.closest(each));
    const sides = side < 0 ? null : document.querySelector("#field-shape likeness-shapes")?.sides?.();
    return sides ? sides[side] : known(this.items[0]?.hint ?? "");
  }

  beside() {
    return [];
  }

  valueWords() {
    return this.value === null ? this.hint() : String(this.value);
  }

  set(value) {
    this.pick(value);
    this.draw();
  }
}

class Seed extends NumberField {
  ready() {
    // Of a picture that was chosen anywhere on the page.
    document.addEventListener("likeness:use-seed", ({ detail: { seed } }) => {
      this.set(seed);
      this.unfold(true);
      requestAnimationFrame(() => {
        this.scrollIntoView({ block: "center" });
        this.number.focus({ preventScroll: true });
      });
    });
  }

  beside() {
    const button = (words, about, act) => h("button", { type: "button", class: "button", "data-tip": about, onclick: act }, words);
    return [
      button(t("Random"), t("A new seed each time"), () => this.set(null)),
      button(t("Keep last"), t("The seed of the newest job"), () => {
        const [newest] = [...feed.running, ...feed.ended.filter((job) => job.state === "done")].filter(paints);
        if (newest) this.set(newest.recipe.seed);
        else toast(t("There is no seed to keep yet"), { detail: t("Make a picture first.") });
      }),
    ];
  }
}

class Loras extends Field {
  role_ = "group";

  ready() {
    this.known = [];
    // Those of a ComfyUI come when it is connected or started.
    feed.addEventListener("models", () => this.look());
    somebody.addEventListener("change", () => this.draw());
    return this.look();
  }

  async look() {
    try {
      this.known = (await get("loras")).items;
      this.broken = false;
    } catch {
      this.broken = true;
    }
    this.draw();
  }

  // What the character was given by a training is used without being asked for; asked for at a strength of nothing it is left out.
  get own() {
    const { character } = somebody;
    return character?.lora ? { path: character.lora, strength: character.lora_strength ?? 1, name: character.name } : null;
  }

  draw() {
    const { own } = this;
    const said = new Map((this.value ?? []).map((use) => [use.path, use.strength]));
    const uses = new Map([...(own ? [[own.path, own.strength]] : []), ...said].filter(([, strength]) => strength));
    const missing = [...uses.keys()].filter((path) => !this.known.some((lora) => lora.path === path)).map((path) => ({ path, name: path, gone: true }));
    const rows = [...this.known, ...missing];
    const key = [own?.path, own?.name, ...rows.map((lora) => lora.path)].join("\n");
    if (this.drawn !== key || !this.body.childElementCount) {
      this.drawn = key;
      this.body.replaceChildren(...(rows.length ? rows.map((lora) => this.row(lora)) : [h("p", { class: "empty-line" }, this.emptyWords())]));
    }
    for (const row of this.body.querySelectorAll(".lora")) {
      const strength = uses.get(row.dataset.path);
      row.querySelector("[type=checkbox]").checked = strength !== undefined;
      row.classList.toggle("on", strength !== undefined);
      const range = row.querySelector("[type=range]");
      range.disabled = strength === undefined;
      range.value = strength ?? 1;
      setText(row.querySelector("output"), Number(strength ?? 1).toFixed(2));
    }
  }

  emptyWords() {
    return this.broken ? t("The list could not be read.") : t("None yet. Put .safetensors files into the folder “loras” of your data folder.");
  }

  row(lora) {
    const { own } = this;
    const change = () => {
      const uses = [...this.body.querySelectorAll(".lora")]
        .map((row) => ({ path: row.dataset.path, strength: row.querySelector("[type=checkbox]").checked ? Number(row.querySelector("[type=range]").value) : 0 }))
        .filter(({ path, strength }) => (path === own?.path ? strength !== own.strength : strength));
      this.pick(uses);
      this.draw();
    };
    const about = [lora.path === own?.path && t("how {name} was learned: used unless you take it out", { name: own.name }), lora.family, lora.trigger && t("trigger word: {word}", { word: lora.trigger }), lora.gone && t("not in the folder any more")].filter(Boolean).join(" · ");
    return h(
      "div",
      { class: "lora", dataset: { path: lora.path } },
      h("label", {}, h("input", { type: "checkbox", onchange: change }), h("span", { class: "lora-name" }, lora.name), h("small", {}, about)),
      h("input", { type: "range", min: -2, max: 2, step: 0.05, value: 1, "aria-label": t("Strength of {name}", { name: lora.name }), oninput: change }),
      h("output", {}, "1.00"),
    );
  }
}

customElements.define("likeness-segments", Segments);
customElements.define("likeness-shapes", Shapes);
customElements.define("likeness-cards", Cards);
customElements.define("likeness-styles", Styles);
customElements.define("likeness-stepper", Stepper);
customElements.define("likeness-number", NumberField);
customElements.define("likeness-seed", Seed);
customElements.define("likeness-loras", Loras);

