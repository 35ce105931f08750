// The Characters tab: the library of characters, and the way to one's page or form.

import { active, setActive } from "./active.js";
import { get, patch, post, remove, send } from "./api.js";
import { CharacterForm, draftKept } from "./character_form.js";
import { CharacterPage } from "./character_page.js";
import { h, icon, paced, setText, toggle } from "./dom.js";
import { feed } from "./feed.js";
import { showTab } from "./header.js";
import { hasConsent, KINDS, portrait, real, templateCard } from "./portrait.js";
import { complain, toast } from "./toast.js";
import { plural } from "./words.js";

const SHELVES = { active: "Active", archived: "Archived", trashed: "Trash" };
const PLACE = "likeness-characters-place";

class Characters extends HTMLElement {
  shelf = "active";
  items = null;
  words = "";
  view = null;

  connectedCallback() {
    if (this.childElementCount) return;
    this.body = h("div", { class: "people-body" });
    this.append(this.body);
    document.addEventListener("likeness:character", () => this.mark());
    const refresh = paced(() => this.visible() && this.refresh(), 1);
    feed.addEventListener("pictures", refresh);
    feed.addEventListener("ended", refresh);
    // Whoever comes back to the tab sees what happened meanwhile.
    let shown = false;
    new ResizeObserver(() => {
      const now = this.visible();
      if (now && !shown && this.drawn) this.refresh();
      shown = now;
    }).observe(this);
    addEventListener("beforeunload", (event) => this.form?.dirty() && event.preventDefault());
    this.begin();
    this.drawn = true;
  }

  visible() {
    return this.offsetParent !== null || this.clientHeight > 0;
  }

  // Where the person was before the reload.
  begin() {
    const draft = draftKept();
    if (draft) return this.showForm(draft.id, { draft });
    if (wanted) return this.follow(wanted);
    const place = this.place();
    return place?.id ? this.showPage(place.id, { quiet: true }) : this.showLibrary({ quiet: true });
  }

  follow(go) {
    wanted = null;
    return go(this);
  }

  place(value) {
    try {
      if (value === undefined) return JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
      sessionStorage.setItem(PLACE, JSON.stringify(value));
    } catch {
      // A browser that keeps nothing begins with the library.
    }
    return value ?? null;
  }

  async leave(go) {
    if (this.form && !(await this.form.mayLeave())) return;
    go();
  }

  show(view, node, { quiet = false } = {}) {
    this.view = view;
    this.body.replaceChildren(node);
    this.scrollTop = 0;
    if (!quiet && this.visible()) node.querySelector("h2")?.focus({ preventScroll: true });
  }

  refresh() {
    if (this.view === "library") this.load();
    if (this.view === "page") this.page.refresh();
  }

  // The library

  showLibrary(options = {}) {
    this.form = this.page = null;
    this.place(null);
    let waiting = 0;
    this.box = h("input", {
      type: "search",
      placeholder: "Search by name",
      "aria-label": "Search characters by name",
      value: this.words,
      oninput: () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => ((this.words = this.box.value.trim()), this.draw()), 120);
      },
    });
    this.shelves = h(
      "div",
      { class: "switch", role: "group", "aria-label": "Which characters" },
      ...Object.entries(SHELVES).map(([id, name]) =>
        h("button", { type: "button", "aria-pressed": id === this.shelf, dataset: { shelf: id }, onclick: () => this.showShelf(id) }, name),
      ),
    );
    this.count = h("p", { class: "soft people-count", role: "status" });
    this.importer = h("input", { type: "file", class: "file-input", accept: ".zip,application/zip", "aria-label": "Character file", tabindex: "-1", onchange: () => this.importFile() });
    const tip = "Bring in a character that was exported here or by someone else: one zip file with photos, words and settings";
    this.importButton = h("button", { type: "button", class: "button", "data-tip": tip, onclick: () => this.importer.click() }, icon("upload"), "Import a file");
    const bar = h(
      "div",
      { class: "people-bar" },
      h("h2", { tabindex: "-1", class: "people-title" }, "Characters"),
      this.count,
      h(
        "div",
        { class: "people-acts" },
        this.importer,
        this.importButton,
        h("button", { type: "button", class: "button primary", "data-tip": "Describe someone new", onclick: () => this.showForm(null) }, icon("plus"), "New character"),
      ),
    );
    this.filters = h("div", { class: "people-filters" }, h("label", { class: "search" }, icon("search"), this.box), this.shelves);
    this.list = h("ul", { class: "people", "aria-label": "Characters" });
    this.empty = h("div", { class: "people-empty", hidden: true });
    this.show("library", h("section", { class: "people-library", "aria-label": "Library of characters" }, bar, this.filters, this.list, this.empty), options);
    if (this.items) this.draw();
    else this.list.replaceChildren(...Array.from({ length: 4 }, () => h("li", { class: "person-card ghost", "aria-hidden": "true" }, h("div", { class: "waiting" }))));
    this.load();
  }

  showShelf(shelf) {
    this.shelf = shelf;
    this.items = null;
    for (const button of this.shelves.children) button.setAttribute("aria-pressed", button.dataset.shelf === shelf);
    this.load();
  }

  async load() {
    const { shelf } = this;
    let items;
    try {
      ({ items } = await get("characters", { status: shelf }));
    } catch (problem) {
      if (this.items === null && this.view === "library") this.say("warn", problem.message, problem.remedy);
      return;
    }
    if (shelf !== this.shelf) return;
    this.items = items;
    if (this.view === "library") this.draw();
  }

  draw() {
    if (!this.items) return;
    const wanted = this.words.toLowerCase();
    const found = this.items.filter((one) => !wanted || one.name.toLowerCase().includes(wanted) || one.slug.includes(wanted));
    // A card that did not change stays: hover and focus with it.
    const known = new Map([...this.list.children].map((node) => [node.dataset.key, node]));
    this.list.replaceChildren(
      ...found.map((one) => {
        const key = [one.id, one.version, one.status, one.photos, one.pictures, one.portrait_url].join("|");
        return known.get(key) ?? this.card(one, key);
      }),
    );
    this.mark();
    const total = this.items.length;
    setText(this.count, wanted ? `${plural(found.length, "character")} found` : total ? plural(total, "character") : "");
    const first = !total && this.shelf === "active";
    toggle(this.empty, "hidden", found.length > 0);
    toggle(this.list, "hidden", found.length === 0);
    if (found.length) return;
    if (total) this.say("search", "Nobody by that name", `No character here is called “${this.words}”.`);
    else if (first) this.welcome();
    else if (this.shelf === "archived") this.say("archive", "Nobody is archived", "Archive characters you are not working with: they keep everything and stay out of the way.");
    else this.say("trash", "The trash is empty", "Characters you delete wait here and can be brought back.");
  }

  say(name, title, words) {
    this.empty.dataset.shows = "words";
    this.empty.replaceChildren(h("div", { class: "empty" }, icon(name), h("h3", {}, title), h("p", { class: "soft" }, words ?? "")));
    toggle(this.empty, "hidden", false);
    toggle(this.list, "hidden", true);
  }

  async welcome() {
    if (this.empty.dataset.shows === "welcome") return;
    this.empty.dataset.shows = "welcome";
    const cards = h("ul", { class: "templates", "aria-label": "Templates" });
    this.empty.replaceChildren(
      h(
        "div",
        { class: "people-welcome" },
        h("span", { class: "brand-mark large", "aria-hidden": "true" }),
        h("h3", {}, "Your first character"),
        h(
          "p",
          { class: "soft" },
          "A character is a person with a face that stays the same: you say once how they look, and every picture you make of them starts from it. Add photos later, and the studio can keep the likeness even closer.",
        ),
        h("h4", {}, "Start from someone"),
        cards,
        h("button", { type: "button", class: "button primary", onclick: () => this.showForm(null) }, icon("plus"), "Start blank"),
      ),
    );
    for (const template of await templates()) cards.append(h("li", {}, templateCard(template, () => this.showForm(null, { template }))));
    cards.hidden = cards.previousElementSibling.hidden = !cards.childElementCount;
  }

  card(one, key) {
    const trashed = one.status === "trashed";
    const facts = [`${plural(one.photos, "photo")}`, `${plural(one.pictures, "picture")}`].join(" · ");
    const lacks = real(one) && !hasConsent(one);
    const open = h(
      "button",
      { type: "button", class: "person-open", onclick: () => this.showPage(one.id) },
      h("span", { class: "person-face" }, portrait(one)),
      h(
        "span",
        { class: "person-words" },
        h("span", { class: "person-name" }, one.name),
        h("span", { class: "person-kind" }, KINDS[one.kind].name, lacks ? h("span", { class: "tag warn" }, "Consent missing") : null),
        h("span", { class: "person-facts" }, facts),
      ),
    );
    const use = trashed
      ? h("button", { type: "button", class: "quiet", "data-tip": "Back among the active characters", "aria-label": `Restore ${one.name}`, onclick: () => this.restore(one) }, icon("restore"), "Restore")
      : h("button", { type: "button", class: "quiet person-use", "aria-pressed": "false", onclick: () => setActive(active() === one.id ? null : one.id) });
    const node = h("li", { class: "person-card", dataset: { key, character: one.id } }, open, use);
    node.character = one;
    return node;
  }

  mark() {
    for (const node of this.list?.querySelectorAll("[data-character]") ?? []) {
      const on = node.dataset.character === active();
      node.classList.toggle("on", on);
      const use = node.querySelector(".person-use");
      if (!use || use.getAttribute("data-on") === String(on)) continue;
      use.dataset.on = on;
      use.setAttribute("aria-pressed", on);
      use.setAttribute("aria-label", on ? `${node.character.name} is active` : `Make ${node.character.name} active`);
      use.dataset.tip = on ? "Pictures are made of this character. Press to stop that." : "Make pictures of this character from now on";
      use.replaceChildren(...(on ? [icon("tick"), "Active"] : ["Use"]));
    }
    if (this.view === "page") this.page.mark();
  }

  async restore(one) {
    try {
      await patch(`characters/${encodeURIComponent(one.id)}`, { status: "active" });
      toast(`${one.name} is back`, { ms: 3000 });
      this.changed();
      this.load();
    } catch (problem) {
      complain(problem);
    }
  }

  async importFile() {
    const [chosen] = this.importer.files;
    this.importer.value = "";
    if (!chosen) return;
    const form = new FormData();
    form.append("file", chosen, chosen.name);
    this.importButton.disabled = true;
    setText(this.count, `Importing ${chosen.name} …`);
    try {
      const one = await send("characters/import", form);
      toast(`${one.name} has moved in`, { ms: 4000 });
      this.changed();
      this.showPage(one.id);
    } catch (problem) {
      complain(problem);
      this.draw();
    } finally {
      this.importButton.disabled = false;
    }
  }

  // The form

  async showForm(id, { template = null, draft = null } = {}) {
    let character = null;
    if (id) {
      try {
        character = await get(`characters/${encodeURIComponent(id)}`);
      } catch (problem) {
        complain(problem);
        if (!draft) return;
      }
    }
    this.page = null;
    this.form = new CharacterForm({
      character,
      template,
      draft: id && !character ? null : draft,
      templates,
      done: (saved) => ((this.form = null), this.changed(), this.showPage(saved.id)),
      leave: () => this.leave(() => (id && character ? this.showPage(id) : this.showLibrary())),
    });
    this.show("form", this.form.node, { quiet: Boolean(draft) });
    this.form.start();
  }

  // `template` is the id of a ready-made character.
  async openForm(template = null) {
    const found = template ? (await templates()).find((one) => one.id === template) : null;
    return this.showForm(null, { template: found ?? null });
  }

  // One character

  async showPage(id, options = {}) {
    let character;
    try {
      character = await get(`characters/${encodeURIComponent(id)}`);
    } catch (problem) {
      if (!options.quiet) complain(problem);
      return this.showLibrary(options);
    }
    this.form = null;
    this.place({ id: character.id });
    this.page = new CharacterPage(character, {
      back: () => this.showLibrary(),
      edit: (section) => this.showForm(character.id).then(() => section && this.form?.goTo(section)),
      changed: () => this.changed(),
      make: () => this.makeWith(character),
      copy: () => this.duplicate(character),
      trash: () => this.trash(this.page.character),
      archive: () => this.archive(this.page.character),
    });
    this.show("page", this.page.node, options);
    this.page.start();
    return undefined;
  }

  makeWith(character) {
    setActive(character.id);
    showTab("generate");
  }

  async duplicate(character) {
    try {
      const copy = await post(`characters/${encodeURIComponent(character.id)}/duplicate`);
      toast(`${copy.name} was made from ${character.name}`, { ms: 4000 });
      this.changed();
      this.showPage(copy.id);
    } catch (problem) {
      complain(problem);
    }
  }

  async archive(character) {
    const away = character.status === "active";
    if (await this.setStatus(character, away ? "archived" : "active")) {
      toast(away ? `${character.name} is archived` : `${character.name} is active again`, {
        action: "Undo",
        act: () => this.setStatus(character, character.status),
        ms: 10_000,
      });
    }
  }

  async trash(character) {
    const before = character.status;
    try {
      await remove(`characters/${encodeURIComponent(character.id)}`);
    } catch (problem) {
      complain(problem);
      return;
    }
    const wasActive = active() === character.id;
    if (wasActive) setActive(null);
    this.changed();
    this.items = null;
    this.showLibrary();
    toast(`${character.name} moved to the trash`, {
      action: "Undo",
      act: async () => {
        if (!(await this.setStatus(character, before))) return;
        if (wasActive) setActive(character.id);
        toast(`${character.name} is back`, { ms: 3000 });
      },
      ms: 10_000,
    });
  }

  async setStatus(character, status) {
    try {
      await patch(`characters/${encodeURIComponent(character.id)}`, { status });
    } catch (problem) {
      complain(problem);
      return false;
    }
    this.changed();
    this.refresh();
    return true;
  }

  changed() {
    this.items = null;
    document.dispatchEvent(new CustomEvent("likeness:characters"));
  }
}

// Other tabs lead here: `likeness:open-character` with {id} shows one, `likeness:new-character` the form, with {template} filled from it.
// The tab is drawn when it is first shown, so what was asked before then waits for it.
let wanted = null;

function lead(go) {
  const tab = document.querySelector("likeness-characters");
  if (tab?.drawn) tab.leave(() => go(tab));
  else wanted = go;
}

document.addEventListener("likeness:open-character", (event) => lead((tab) => tab.showPage(event.detail.id)));
document.addEventListener("likeness:new-character", (event) => lead((tab) => tab.openForm(event.detail?.template)));

let known = null;

// What ships to start from; an empty list where it could not be read, and asked again the next time.
async function templates() {
  if (known) return known;
  try {
    known = (await get("characters/templates")).items;
  } catch {
    return [];
  }
  return known;
}

customElements.define("likeness-characters", Characters);
