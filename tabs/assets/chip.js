// The active character, wherever it is shown: a chip in the header, a card and a face in the sidebar. Asked for once for all of them.

import { active, setActive } from "./active.js";
import { get } from "./api.js";
import { h, icon, paced, setText, toggle } from "./dom.js";
import { feed } from "./feed.js";
import { showTab } from "./header.js";
import { t, tn } from "./language.js";
import { kindWords, portrait } from "./portrait.js";

// Who is active, as the studio knows them: tells `change` whenever that becomes somebody else, or they look different.
class Somebody extends EventTarget {
  character = null;

  start() {
    document.addEventListener("likeness:character", () => this.load());
    document.addEventListener("likeness:characters", () => this.load());
    feed.addEventListener("pictures", paced(() => active() && this.load(), 1));
    this.load();
  }

  async load() {
    const id = active();
    if (!id) return this.take(null);
    try {
      const character = await get(`characters/${encodeURIComponent(id)}`);
      if (id !== active()) return;
      // One that went to the trash is not worked with any more.
      if (character.status === "trashed") setActive(null);
      else this.take(character);
    } catch (problem) {
      if (problem.status === 404 && id === active()) setActive(null);
    }
  }

  take(character) {
    if (JSON.stringify(character) === JSON.stringify(this.character)) return;
    this.character = character;
    this.dispatchEvent(new Event("change"));
  }
}

export const somebody = new Somebody();
somebody.start();

export function openCharacter() {
  showTab("characters");
  if (somebody.character) document.dispatchEvent(new CustomEvent("likeness:open-character", { detail: { id: somebody.character.id } }));
}

function newCharacter() {
  showTab("characters");
  document.dispatchEvent(new CustomEvent("likeness:new-character"));
}

// What the chip and the folded sidebar show and say.
export function faceOf(character) {
  return h("span", { class: "chip-face" }, character ? portrait(character) : icon("person"));
}

export const faceWords = (character) =>
  character ? t("{name} is active: pictures are made of this character. Open it.", { name: character.name }) : t("No character is active. Choose one.");

class Chip extends HTMLElement {
  connectedCallback() {
    if (this.button) return;
    this.button = h("button", { type: "button", class: "character-chip", onclick: () => openCharacter() });
    this.append(this.button);
    somebody.addEventListener("change", () => this.draw());
    this.draw();
  }

  draw() {
    const { character } = somebody;
    this.button.setAttribute("aria-label", faceWords(character));
    this.button.dataset.tip = character ? t("Active character: {name}", { name: character.name }) : t("Choose a character");
    this.button.classList.toggle("nobody", !character);
    this.button.replaceChildren(faceOf(character), h("span", { class: "chip-name" }, character?.name ?? t("No character")));
  }
}

// The same at more length: who it is, how many pictures there are, and how to have somebody else.
export class ActiveCard extends HTMLElement {
  connectedCallback() {
    if (this.shown) return;
    this.shown = h("div", { class: "active-who" });
    this.switch = h(
      "button",
      { type: "button", class: "button", "aria-expanded": "false", "aria-controls": "active-choices", "data-tip": t("Make pictures of somebody else"), onclick: () => this.open(this.switch.getAttribute("aria-expanded") !== "true") },
      icon("swap"),
      h("span", {}),
    );
    this.more = h("button", { type: "button", class: "button", "data-tip": t("Their page: looks, photos, pictures"), onclick: () => (somebody.character ? openCharacter() : newCharacter()) });
    this.choices = h("ul", { class: "active-choices", id: "active-choices", "aria-label": t("Characters"), hidden: true });
    this.append(h("h2", { class: "visually-hidden" }, t("Active character")), this.shown, h("div", { class: "active-acts" }, this.switch, this.more), this.choices);
    this.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.choices.hidden) return;
      event.preventDefault();
      this.open(false);
      this.switch.focus();
    });
    somebody.addEventListener("change", () => this.draw());
    document.addEventListener("likeness:characters", () => this.choices.hidden || this.fill());
    this.draw();
  }

  draw() {
    const { character } = somebody;
    this.toggleAttribute("data-nobody", !character);
    this.shown.replaceChildren(
      h("span", { class: "active-face" }, character ? portrait(character) : icon("person")),
      character
        ? h(
            "div",
            { class: "active-words" },
            h("strong", {}, character.name),
            h("span", {}, [kindWords(character), character.lora && t("trained")].filter(Boolean).join(" · ")),
            h("span", {}, tn("{count} picture", "{count} pictures", character.pictures)),
          )
        : h("div", { class: "active-words" }, h("strong", {}, t("No character")), h("span", {}, t("Choose someone, and every picture is made of them."))),
    );
    setText(this.switch.lastElementChild, character ? t("Switch") : t("Choose"));
    this.switch.dataset.tip = t("Make pictures of somebody else");
    setText(this.more, character ? t("Open") : t("Create"));
    this.more.dataset.tip = character ? t("{name}'s page", { name: character.name }) : t("Make a character");
    if (!this.choices.hidden) this.mark();
  }

  open(open) {
    this.switch.setAttribute("aria-expanded", open);
    toggle(this.choices, "hidden", !open);
    if (open) this.fill();
  }

  async fill() {
    let people = [];
    try {
      people = (await get("characters")).items;
    } catch (problem) {
      return this.choices.replaceChildren(h("li", { class: "empty-line" }, `${problem.message} ${problem.remedy}`));
    }
    const one = (id, face, name) =>
      h("li", {}, h("button", { type: "button", class: "active-choice", dataset: { id: id ?? "" }, "data-tip": id ? t("Make pictures of {name}", { name }) : t("Make pictures of nobody in particular"), onclick: () => this.choose(id) }, h("span", { class: "chip-face" }, face), h("span", {}, name)));
    const add = h("li", {}, h("button", { type: "button", class: "active-choice", "data-tip": t("Invent somebody new"), onclick: () => (this.open(false), newCharacter()) }, h("span", { class: "chip-face" }, icon("plus")), h("span", {}, t("New character"))));
    this.choices.replaceChildren(...people.map((each) => one(each.id, portrait(each), each.name)), one(null, icon("person"), t("Nobody")), add);
    this.mark();
  }

  mark() {
    for (const button of this.choices.querySelectorAll("[data-id]")) button.setAttribute("aria-pressed", button.dataset.id === (active() ?? ""));
  }

  choose(id) {
    setActive(id);
    this.open(false);
    this.switch.focus();
  }
}

customElements.define("likeness-chip", Chip);
customElements.define("likeness-active", ActiveCard);
