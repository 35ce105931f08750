// The Characters tab: the library of characters, and the way to one's page or form.

import { active, setActive } from "./active.js";
import { get, patch, post, remove, sendWatched } from "./api.js";
import { CharacterForm, draftKept, draftLeft, forgetDraft } from "./character_form.js";
import { CharacterPage } from "./character_page.js";
import { h, icon, paced, setText, toggle } from "./dom.js";
import { feed } from "./feed.js";
import { showTab } from "./header.js";
import { t, tn } from "./language.js";
import { hasConsent, kindWords, lacksConsent, portrait, real, templateCard } from "./portrait.js";
import { complain, toast, working } from "./toast.js";

const SHELVES = { active: t("Active"), archived: t("Archived"), trashed: t("Trash") };
const SHELF_TIPS = { active: t("Those that you make pictures of"), archived: t("Out of the way, with everything kept"), trashed: t("Deleted ones; they can be restored") };
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
      placeholder: t("Search by name"),
      "aria-label": t("Search characters by name"),
      "data-tip": t("Any part of a name"),
      value: this.words,
      oninput: () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => ((this.words = this.box.value.trim()), this.draw()), 120);
      },
    });
    this.shelves = h(
      "div",
      { class: "switch", role: "group", "aria-label": t("Which characters") },
      ...Object.entries(SHELVES).map(([id, name]) =>
        h("button", { type: "button", "aria-pressed": id === this.shelf, dataset: { shelf: id }, "data-tip": SHELF_TIPS[id], onclick: () => this.showShelf(id) }, name),
      ),
    );
    this.count = h("p", { class: "soft people-count", role: "status" });
    this.importer = h("input", { type: "file", class: "file-input", accept: ".zip,application/zip", "aria-label": t("Character file"), tabindex: "-1", onchange: () => this.importFile() });
    const tip = t("Bring in a character that was exported here or by someone else: one zip file with photos, words and settings");
    this.importButton = h("button", { type: "button", class: "button", "data-tip": tip, onclick: () => this.importer.click() }, icon("upload"), t("Import a file"));
    const bar = h(
      "div",
      { class: "people-bar" },
      h("h2", { tabindex: "-1", class: "people-title" }, t("Characters")),
      this.count,
      h(
        "div",
        { class: "people-acts" },
        this.importer,
        this.importButton,
        h("button", { type: "button", class: "button primary", "data-tip": t("Describe someone new"), onclick: () => this.showForm(null) }, icon("plus"), t("New character")),
      ),
    );
    this.filters = h("div", { class: "people-filters" }, h("label", { class: "search" }, icon("search"), this.box), this.shelves);
    this.list = h("ul", { class: "people", "aria-label": t("Characters") });
    this.empty = h("div", { class: "people-empty", hidden: true });
    this.show("library", h("section", { class: "people-library", "aria-label": t("Library of characters") }, bar, this.unfinished(), this.filters, this.list, this.empty), options);
    if (this.items) this.draw();
    else this.list.replaceChildren(...Array.from({ length: 4 }, () => h("li", { class: "person-card ghost", "aria-hidden": "true" }, h("div", { class: "waiting" }))));
    this.load();
  }

  // What was being written when the browser was closed waits here; nobody is taken back to it unasked.
  unfinished() {
    const draft = draftLeft();
    if (!draft?.values) return null;
    const name = draft.values.name?.trim();
    const words = name ? t("What you were writing about {name} was not saved. It is still here.", { name }) : t("What you were writing about a new character was not saved. It is still here.");
    const notice = h(
      "div",
      { class: "form-notice people-unfinished", role: "status" },
      h("p", {}, words),
      h("button", { type: "button", class: "button", "data-tip": t("Opens the form as it was"), onclick: () => this.showForm(draft.id, { draft }) }, t("Go on writing")),
      h("button", { type: "button", class: "quiet", "data-tip": t("For good"), onclick: () => (forgetDraft(draft.key), notice.remove(), this.box.focus()) }, t("Discard it")),
    );
    return notice;
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
    setText(this.count, wanted ? tn("{count} character found", "{count} characters found", found.length) : total ? tn("{count} character", "{count} characters", total) : "");
    const first = !total && this.shelf === "active";
    toggle(this.empty, "hidden", found.length > 0);
    toggle(this.list, "hidden", found.length === 0);
    if (found.length) return;
    if (total) this.say("search", t("Nobody by that name"), t("No character here is called “{words}”.", { words: this.words }));
    else if (first) this.welcome();
    else if (this.shelf === "archived") this.say("archive", t("Nobody is archived"), t("Archive characters you are not working with: they keep everything and stay out of the way."));
    else this.say("trash", t("The trash is empty"), t("Characters you delete wait here and can be brought back."));
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
    const cards = h("ul", { class: "templates", "aria-label": t("Templates") });
    this.empty.replaceChildren(
      h(
        "div",
        { class: "people-welcome" },
        h("span", { class: "brand-mark large", "aria-hidden": "true" }),
        h("h3", {}, t("Your first character")),
        h(
          "p",
          { class: "soft" },
          t("A character is a person with a face that stays the same: you say once how they look, and every picture you make of them starts from it. Add photos later, and the studio can keep the likeness even closer."),
        ),
        h("h4", {}, t("Start from someone")),
        cards,
        h("button", { type: "button", class: "button primary", "data-tip": t("An empty form"), onclick: () => this.showForm(null) }, icon("plus"), t("Start blank")),
      ),
    );
    for (const template of await templates()) cards.append(h("li", {}, templateCard(template, () => this.showForm(null, { template }))));
    cards.hidden = cards.previousElementSibling.hidden = !cards.childElementCount;
  }

  card(one, key) {
    const trashed = one.status === "trashed";
    const facts = [tn("{count} photo", "{count} photos", one.photos), tn("{count} picture", "{count} pictures", one.pictures)].join(" · ");
    const lacks = real(one) && !hasConsent(one);
    const open = h(
      "button",
      { type: "button", class: "person-open", onclick: () => this.showPage(one.id) },
      h("span", { class: "person-face" }, portrait(one)),
      h(
        "span",
        { class: "person-words" },
        h("span", { class: "person-name" }, one.name),
        h("span", { class: "person-kind" }, kindWords(one), lacks ? h("span", { class: "tag warn" }, lacksConsent(one)) : null),
        h("span", { class: "person-facts" }, facts),
      ),
    );
    const use = trashed
      ? h("button", { type: "button", class: "quiet", "data-tip": t("Back among the active characters"), "aria-label": t("Restore {name}", { name: one.name }), onclick: () => this.restore(one) }, icon("restore"), t("Restore"))
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
      use.setAttribute("aria-label", on ? t("{name} is active", { name: node.character.name }) : t("Make {name} active", { name: node.character.name }));
      use.dataset.tip = on ? t("Pictures are made of this character. Press to stop that.") : t("Make pictures of this character from now on");
      use.replaceChildren(...(on ? [icon("tick"), t("Active")] : [t("Use")]));
    }
    if (this.view === "page") this.page.mark();
  }

  async restore(one) {
    try {
      await patch(`characters/${encodeURIComponent(one.id)}`, { status: "active" });
      toast(t("{name} is back", { name: one.name }), { ms: 3000 });
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
    const work = working(t("Importing {file} …", { file: chosen.name }));
    try {
      const one = await sendWatched("characters/import", form, (sent, total) => {
        work.on(sent, total);
        if (sent === total) work.then(t("Unpacking …"));
      });
      toast(t("{name} has moved in", { name: one.name }), { ms: 4000 });
      this.changed();
      this.showPage(one.id);
    } catch (problem) {
      complain(problem);
    } finally {
      work.leave();
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
      make: () => this.workWith(character, "generate"),
      train: () => this.workWith(character, "train"),
      copy: () => this.duplicate(character),
      trash: () => this.trash(this.page.character),
      archive: () => this.archive(this.page.character),
    });
    this.show("page", this.page.node, options);
    this.page.start();
    return undefined;
  }

  workWith(character, tab) {
    setActive(character.id);
    showTab(tab);
  }

  async duplicate(character) {
    try {
      const copy = await post(`characters/${encodeURIComponent(character.id)}/duplicate`);
      toast(t("{copy} was made from {original}", { copy: copy.name, original: character.name }), { ms: 4000 });
      this.changed();
      this.showPage(copy.id);
    } catch (problem) {
      complain(problem);
    }
  }

  async archive(character) {
    const away = character.status === "active";
    if (await this.setStatus(character, away ? "archived" : "active")) {
      toast(away ? t("{name} is archived", { name: character.name }) : t("{name} is back", { name: character.name }), {
        action: t("Undo"),
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
    toast(t("{name} moved to the trash", { name: character.name }), {
      action: t("Undo"),
      act: async () => {
        if (!(await this.setStatus(character, before))) return;
        if (wasActive) setActive(character.id);
        toast(t("{name} is back", { name: character.name }), { ms: 3000 });
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
