// The active character in the header: a face and a name that lead to the Characters tab.

import { active, setActive } from "./active.js";
import { get } from "./api.js";
import { h, icon } from "./dom.js";
import { showTab } from "./header.js";
import { t } from "./language.js";
import { portrait } from "./portrait.js";

class Chip extends HTMLElement {
  connectedCallback() {
    if (this.button) return;
    this.button = h("button", { type: "button", class: "character-chip", onclick: () => this.open() });
    this.append(this.button);
    document.addEventListener("likeness:character", () => this.load());
    document.addEventListener("likeness:characters", () => this.load());
    this.draw(null);
    this.load();
  }

  async load() {
    const id = active();
    if (!id) return this.draw(null);
    try {
      const character = await get(`characters/${encodeURIComponent(id)}`);
      if (id !== active()) return;
      // One that went to the trash is not worked with any more.
      if (character.status === "trashed") setActive(null);
      else this.draw(character);
    } catch (problem) {
      if (problem.status === 404 && id === active()) setActive(null);
    }
  }

  draw(character) {
    this.character = character;
    const words = character ? t("{name} is active: pictures are made of this character. Open it.", { name: character.name }) : t("No character is active. Choose one.");
    this.button.setAttribute("aria-label", words);
    this.button.dataset.tip = character ? t("Active character: {name}", { name: character.name }) : t("Choose a character");
    this.button.classList.toggle("nobody", !character);
    this.button.replaceChildren(
      h("span", { class: "chip-face" }, character ? portrait(character) : icon("person")),
      h("span", { class: "chip-name" }, character?.name ?? t("No character")),
    );
  }

  open() {
    showTab("characters");
    if (this.character) document.dispatchEvent(new CustomEvent("likeness:open-character", { detail: { id: this.character.id } }));
  }
}

customElements.define("likeness-chip", Chip);
