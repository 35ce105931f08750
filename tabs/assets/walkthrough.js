// The first run, step by step: what this is, check-up, first character, first picture. It can be left at any time.

import { setActive } from "./active.js";
import { get, patch, post } from "./api.js";
import { checklist, doctorWords } from "./checks.js";
import { h, icon, setText, store } from "./dom.js";
import { Easel } from "./easel.js";
import { t } from "./language.js";
import { likenessToday, looks, photosAreFor, portrait, templateFace } from "./portrait.js";
import { complain } from "./toast.js";
import { faultWords, lacksWords } from "./words.js";

const STEPS = [t("What this is"), t("Check-up"), t("First character"), t("First picture")];
const PROMPT = "portrait of a person, smiling, light blue background, cartoon style";
const READY_MADE = "nova";
const POINTS = [
  { icon: "person", title: t("Describe someone once"), words: t("A name and how they look. No account, no code, no long prompts.") },
  { icon: "sparkle", title: t("They stay themselves"), words: t("What you said of them goes into every prompt, so nobody is described twice.") },
  { icon: "lock", title: t("It stays with you"), words: t("Pictures are made and kept on this computer. Nothing is sent anywhere.") },
];

export class Walkthrough {
  step = 0;
  character = null;

  // `goOn` takes up a walk that a reload or a closed browser broke off.
  constructor({ leave, goOn = false }) {
    this.leave = leave;
    this.steps = h("ol", { class: "walk-steps", "aria-label": t("Steps of the walkthrough") });
    this.page = h("div", { class: "walk-page" });
    this.skip = h(
      "button",
      { type: "button", class: "quiet walk-skip", "data-tip": t("Straight to the studio. The walkthrough waits on the Setup tab."), onclick: () => this.finish(true) },
      t("Skip for now"),
    );
    this.node = h("section", { class: "walk", "aria-label": t("First steps") }, h("div", { class: "walk-top" }, this.steps, this.skip), this.page);
    const left = goOn ? whereItWas() : null;
    this.go(0, { quiet: true });
    if (left?.step) this.resume(left);
  }

  async resume({ step, character }) {
    if (character) this.character = await get(`characters/${encodeURIComponent(character)}`).catch(() => null);
    // Whoever went on meanwhile is not taken elsewhere.
    if (this.step !== 0 || !this.node.isConnected) return;
    this.go(step === 3 && character && !this.character ? 2 : step);
  }

  go(step, { quiet = false } = {}) {
    this.easel?.close();
    this.easel = null;
    this.mark(step);
    this.page.dataset.step = step;
    this.page.replaceChildren(...[() => this.what(), () => this.checkup(), () => this.someone(), () => this.picture()][step]());
    if (!quiet) this.arrive();
  }

  mark(step) {
    this.step = step;
    store("walk", step ? JSON.stringify({ step, character: this.character?.id ?? null }) : null);
    this.steps.replaceChildren(
      ...STEPS.map((name, index) =>
        h(
          "li",
          { class: index < step ? "past" : index === step ? "now" : "", "aria-current": index === step ? "step" : null },
          h("span", { class: "walk-dot", "aria-hidden": "true" }, index < step ? icon("check") : String(index + 1)),
          h("span", { class: "walk-name" }, name),
        ),
      ),
    );
  }

  arrive() {
    this.node.scrollIntoView({ block: "start" });
    this.page.querySelector("h2")?.focus({ preventScroll: true });
  }

  async finish(skipped = false) {
    this.easel?.close();
    store("walk", null);
    this.leave(skipped);
    try {
      await patch("settings", { walked_through: true });
    } catch (problem) {
      // Fixed from outside, the setting says by itself what the next visit shows.
      if (problem.status !== 409) complain(problem);
    }
  }

  // 1

  what() {
    const show = h("button", { type: "button", class: "button", "data-tip": t("One click: a ready-made character and a first picture of her"), onclick: () => this.justShow(show) }, icon("sparkle"), t("Just show me"));
    return [
      h("span", { class: "brand-mark large", "aria-hidden": "true" }),
      title(t("Pictures of someone who stays the same")),
      h("p", { class: "walk-lead" }, t("Likeness is a studio for characters. You invent a person once and don't describe them again: another light, another outfit, another place, and their looks come along.")),
      h("ul", { class: "walk-points" }, ...POINTS.map((point) => h("li", {}, icon(point.icon), h("div", {}, h("strong", {}, point.title), h("span", {}, point.words))))),
      h(
        "div",
        { class: "walk-acts" },
        h("button", { type: "button", class: "button primary", "data-tip": t("A check of this computer, a character of your own, a first picture"), onclick: () => this.go(1) }, t("Show me around")),
        show,
      ),
      h("p", { class: "walk-note" }, t("The walk takes about two minutes. “Just show me” makes a picture right away.")),
    ];
  }

  async justShow(button) {
    button.disabled = true;
    try {
      const found = (await get("characters")).items;
      this.character = found[0] ?? (await this.create(await template(READY_MADE)));
    } catch (problem) {
      button.disabled = false;
      return complain(problem);
    }
    setActive(this.character.id);
    this.mark(3);
    this.page.dataset.step = "show";
    this.page.replaceChildren(...this.stage({ after: h("button", { type: "button", class: "button", "data-tip": t("Invent somebody: a name and a few words are enough"), onclick: () => this.go(2) }, icon("plus"), t("Make my own character")) }));
    this.arrive();
    this.make();
  }

  // 2

  checkup() {
    const list = h("div", { class: "walk-checks" });
    const words = h("p", { class: "walk-lead", role: "status" }, t("Looking at this computer …"));
    const on = h("button", { type: "button", class: "button primary", "data-tip": t("On to your first character"), onclick: () => this.go(2) }, t("Continue"));
    const again = h("button", { type: "button", class: "button", "data-tip": t("Look at this computer once more"), onclick: () => look() }, icon("retry"), t("Check again"));
    const look = async () => {
      again.disabled = true;
      list.replaceChildren(h("div", { class: "waiting", "aria-hidden": "true" }));
      setText(words, t("Looking at this computer …"));
      try {
        const { checks } = await get("doctor");
        list.replaceChildren(...checklist(checks, { folded: true }));
        setText(words, doctorWords(checks));
        setText(on, checks.some((check) => check.status === "fail") ? t("Continue anyway") : t("Continue"));
      } catch (problem) {
        setText(words, `${problem.message} ${problem.remedy}`);
        list.replaceChildren();
      }
      again.disabled = false;
    };
    look();
    return [title(t("A quick check-up")), words, list, h("div", { class: "walk-acts" }, this.back(0), again, on)];
  }

  // 3

  someone() {
    const cards = h("ul", { class: "walk-people", "aria-label": t("Characters to start from") });
    const name = h("input", { id: "walk-name", type: "text", maxlength: 80, autocomplete: "off", placeholder: t("For example Mara"), "data-tip": t("As you call them; it can be changed later"), oninput: () => choose(null) });
    const said = h("textarea", { id: "walk-looks", rows: 2, maxlength: 400, placeholder: t("For example: short black hair, brown skin, green eyes, round glasses"), "data-tip": t("What stays the same in every picture: hair, skin, eyes, marks"), oninput: () => choose(null) });
    const fault = h("p", { class: "field-error", role: "alert", hidden: true });
    const on = h("button", { type: "button", class: "button primary", disabled: true, "data-tip": t("Make this character and go on to the first picture"), onclick: () => take() }, t("Continue"));
    let chosen = null;

    const choose = (one) => {
      chosen = one;
      for (const card of cards.querySelectorAll("button")) card.setAttribute("aria-pressed", card.dataset.id === (one?.key ?? ""));
      const ready = one || name.value.trim();
      on.disabled = !ready;
      setText(on, one || name.value.trim() ? t("Continue with {name}", { name: one?.name ?? name.value.trim() }) : t("Continue"));
      fault.hidden = true;
    };
    const card = (one) =>
      h(
        "li",
        {},
        h(
          "button",
          { type: "button", class: "template", "aria-pressed": "false", dataset: { id: one.key }, onclick: () => choose(one) },
          h("span", { class: "template-face" }, portrait(one)),
          h("span", { class: "template-words" }, h("strong", {}, one.name), h("span", {}, one.about)),
          icon("tick"),
        ),
      );
    const take = async () => {
      on.disabled = true;
      try {
        this.character = chosen?.there ?? (await this.create(chosen ? { fields: chosen.fields } : { fields: { name: name.value, ...looksOf(said.value) } }));
        setActive(this.character.id);
        this.go(3);
      } catch (problem) {
        on.disabled = false;
        const input = problem.field?.startsWith("name") ? name : said;
        fault.replaceChildren(faultWords(problem, input.labels[0].textContent));
        fault.hidden = false;
        input.focus();
      }
    };
    Promise.all([get("characters/templates"), get("characters")]).then(
      ([templates, there]) => {
        const known = there.items.map((one) => ({ ...one, key: one.id, there: one, about: t("Already here. {looks}", { looks: looks(one.appearance) }) }));
        const ready = templates.items.map((one) => ({ key: `template-${one.id}`, name: one.name, about: one.about, fields: one.fields, portrait_url: templateFace(one.id) }));
        cards.replaceChildren(...[...known.slice(0, 3), ...ready].map(card));
        if (this.character) choose(known.find((one) => one.id === this.character.id) ?? null);
      },
      (problem) => cards.replaceChildren(h("li", { class: "walk-note" }, `${problem.message} ${problem.remedy}`)),
    );
    cards.append(...Array.from({ length: 6 }, () => h("li", { class: "ghost", "aria-hidden": "true" }, h("div", { class: "waiting" }))));
    return [
      title(t("Who should it be?")),
      h("p", { class: "walk-lead" }, t("Take someone ready-made, or describe your own. Everything can be changed later.")),
      cards,
      h("p", { class: "walk-or" }, h("span", {}, t("or someone of your own"))),
      h(
        "div",
        { class: "walk-own" },
        h("div", { class: "walk-field" }, h("label", { for: "walk-name" }, t("Name")), name),
        h("div", { class: "walk-field" }, h("label", { for: "walk-looks" }, t("Looks, in a few words")), said),
      ),
      fault,
      h(
        "div",
        { class: "walk-acts" },
        this.back(1),
        h("button", { type: "button", class: "button", "data-tip": t("A first picture of nobody in particular"), onclick: () => ((this.character = null), this.go(3)) }, t("Skip this step")),
        on,
      ),
    ];
  }

  // 4

  picture() {
    const make = h("button", { type: "button", class: "button primary", "data-tip": t("Takes a few seconds on most computers"), onclick: () => ((make.hidden = true), this.make()) }, icon("sparkle"), t("Make the picture"));
    return this.stage({ before: make });
  }

  // The picture's place and what surrounds it: for the last step and for “Just show me”.
  stage({ before = null, after = null }) {
    const who = this.character;
    const heading = title(who ? t("A first picture of {name}", { name: who.name }) : t("A first picture"));
    const about = h("p", { class: "walk-lead" }, who ? looks(who.appearance) || t("Made from what you wrote.") : t("Of nobody in particular: you can choose a character later."));
    const written = h("p", { class: "walk-written" });
    const kept = h("dl", { class: "walk-kept", hidden: true }, ...(who ? [h("dt", {}, t("What keeps {name} the same", { name: who.name })), h("dd", {}, likenessToday(who)), h("dt", {}, t("What photos are for")), h("dd", {}, photosAreFor())] : []));
    const open = h("button", { type: "button", class: "button primary", hidden: true, "data-tip": t("Go on with pictures of your own"), onclick: () => this.finish() }, t("Open Generate"));
    const again = h("button", { type: "button", class: "button", hidden: true, "data-tip": t("Start the picture once more"), onclick: () => ((again.hidden = true), (open.hidden = true), this.make()) }, icon("retry"), t("Try again"));
    const others = [after].filter(Boolean);
    for (const one of others) one.hidden = true;
    let shown = false;
    this.easel = new Easel({
      done: ([picture]) => {
        // Whoever asked for another one meant that one.
        if (who && shown && picture) patch(`characters/${encodeURIComponent(who.id)}`, { portrait: picture.id }).then(() => document.dispatchEvent(new CustomEvent("likeness:characters")), complain);
        shown = true;
        setText(heading, who ? t("This is {name}", { name: who.name }) : t("There it is"));
        setText(about, who ? t("From now on, pictures are made of {name} until you choose someone else.", { name: who.name }) : t("Describe what you like on Generate, and make as many as you want."));
        written.hidden = true;
        kept.hidden = !who;
        again.lastChild.data = t("Another one");
        again.dataset.tip = t("The same words with another seed: each picture comes out differently");
        for (const one of [open, again, ...others]) one.hidden = false;
        open.focus({ preventScroll: true });
      },
      failed: () => (again.hidden = false),
    });
    if (before && who) this.easel.frame.append(h("div", { class: "easel-face" }, portrait(who, { large: true })));
    if (before) {
      this.easel.bar.hidden = this.easel.waiting.hidden = true;
    }
    post("compose", this.request()).then(
      ({ prompt, left_out: lacks = [] }) =>
        written.replaceChildren(
          h("span", {}, t("What the engine will read")),
          prompt,
          lacks.length ? h("small", {}, lacksWords(lacks)) : "",
          who ? h("small", {}, t("{word} is the trigger word: a made-up name for {name}, for models that are taught this face later.", { word: who.trigger_word, name: who.name })) : "",
        ),
      () => {},
    );
    const acts = h("div", { class: "walk-acts" }, before ? this.back(2) : null, again, before, ...others, open);
    return [heading, about, this.easel.node, written, kept, acts];
  }

  make() {
    this.easel.frame.querySelector(".easel-face")?.remove();
    this.easel.make(this.request());
  }

  request() {
    return { prompt: PROMPT, ...(this.character ? { character: this.character.id } : {}) };
  }

  async create({ fields }) {
    const made = await post("characters", fields);
    document.dispatchEvent(new CustomEvent("likeness:characters"));
    return made;
  }

  back(step) {
    return h("button", { type: "button", class: "quiet walk-back", "data-tip": t("One step back; nothing is lost"), onclick: () => this.go(step) }, icon("left"), t("Back"));
  }
}

const title = (words) => h("h2", { tabindex: "-1" }, words);

async function template(id) {
  const { items } = await get("characters/templates");
  return items.find((one) => one.id === id) ?? items[0] ?? { fields: { name: "Nova", appearance: { hair: "long wavy red hair", skin: "tan" } } };
}

// Where this browser was in a walk that nobody ended; null when there is none.
export function whereItWas() {
  try {
    const { step, character } = JSON.parse(store("walk") ?? "{}");
    return [1, 2, 3].includes(step) ? { step, character } : null;
  } catch {
    return null;
  }
}

const KINDS_OF_WORDS = [
  ["hair", /\bhair|\bbald|\bafro\b|\bbob\b|\bbun\b/i],
  ["skin", /\bskin/i],
  ["eyes", /\beye(s|d)?\b/i],
  ["gender", /^(an? )?(woman|man|female|male|non-binary person)$/i],
  ["age", /^\d+([ -]years?[ -]old)?$/i],
  ["wardrobe", /^wearing (?!.*glasses)|\b(blazer|blouse|coat|dress|gown|hoodie|jacket|jeans|jumper|overalls|pullover|shirt|skirt|suit|sweater|t-shirt|top|trousers|turtleneck)$/i],
];

const PERSON = /\b(woman|man|female|male|lady|gentleman|non-binary person)\b/i;
const SAME_PERSON = { lady: "woman", gentleman: "man" };
const YEARS = /\b(?:(?:aged?|of|about|around)\s+)*(\d{1,3})(?:[ -]?years?[ -]?olds?\b|[ -]?years? of age\b|\b)/i;
const kindOf = (part) => KINDS_OF_WORDS.find(([, sign]) => sign.test(part))?.[0];

// “A woman of 45 with curly brown hair and red glasses” taken apart as one who lists would write it.
function listOf(words) {
  const compounds = [];
  const parts = words
    .replace(/\b(\p{L}+)-(?:(hair)ed|(skin)ned|(eye)d)\b/giu, (_, colour, hair, skin) => (compounds.push(`${colour} ${hair ?? skin ?? "eyes"}`), ""))
    .split(/[,;.\n]+|\s+(?:with|who has|has)\s+|\s+(?=wearing\b)/i)
    .flatMap((part) =>
      // “black and white hair” is one thing, “blue eyes and red glasses” are two.
      part.split(/\s+and\s+/i).reduce((apart, piece) => (apart.length && !kindOf(apart.at(-1)) ? [...apart.slice(0, -1), `${apart.at(-1)} and ${piece}`] : [...apart, piece]), []),
    );
  return [...parts, ...compounds].map((part) => part.trim()).filter(Boolean).flatMap((part) => {
    const person = part.match(PERSON);
    if (!person || kindOf(part)) return [part];
    const age = part.match(YEARS);
    const rest = part.replace(PERSON, " ").replace(age ? YEARS : "", " ").replace(/\b(an?|the|is|he|she|it)\b/gi, " ").replace(/\s+/g, " ").trim();
    const gender = person[0].toLowerCase();
    return [SAME_PERSON[gender] ?? gender, age?.[1], rest].filter(Boolean);
  });
}

// “short black hair, brown skin, green eyes, freckles, red hoodie” sorted into a character's fields.
export function looksOf(words) {
  const found = { hair: [], skin: [], eyes: [], gender: [], age: [], wardrobe: [], marks: [] };
  for (const part of listOf(words)) {
    const kind = kindOf(part) ?? "marks";
    found[kind].push(kind === "skin" || kind === "eyes" ? part.replace(/\s*\b(skin|eyes)\b/i, "") || part : part.replace(/^wearing /i, "").replace(kind === "gender" ? /^an? /i : "", ""));
  }
  const { wardrobe, age, ...looks } = found;
  const said = ([kind, parts]) => [kind, parts.join(", ").slice(0, 200)];
  return { appearance: { ...Object.fromEntries(Object.entries(looks).map(said)), ...(age.length ? { age: parseInt(age[0], 10) } : {}) }, wardrobe: wardrobe.join(", ") };
}
