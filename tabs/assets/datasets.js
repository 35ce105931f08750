// The datasets of the active character: what it is learned from. A window onto a list of any length, with captions edited in place.

import { active } from "./active.js";
import { address, get, patch, post, remove, send, thumbnail } from "./api.js";
import { CaptionProgress, writeCaptions } from "./captioning.js";
import { batches } from "./character_page.js";
import { cropPicture } from "./dataset_crop.js";
import { askNew, askText, askVersion, changeCaptions } from "./dataset_dialogs.js";
import { DatasetCheck } from "./dataset_check.js";
import { h, icon, iconButton, paced, setText, toggle } from "./dom.js";
import { onTab, showTab } from "./header.js";
import { known, number, t, tn } from "./language.js";
import { saveFile } from "./library.js";
import { complain, toast } from "./toast.js";
import { confirmed } from "./tray.js";

const PAGE = 100;
const PAGES_KEPT = 40;
const ROWS_AHEAD = 2;
const GAP = 8;
const WISHED = 190;
const CAPTION_REM = 4.25;
const MOST_SELECTED = 10_000;
// The pictures of several datasets at once: of the active character, or of everybody.
const EVERY = "all";
const EVERYBODY = "everybody";
const TAKEN = "image/png,image/jpeg,image/webp,image/heic,image/heif,.png,.jpg,.jpeg,.webp,.heic,.heif,.txt,.caption,.zip";
const TEXT = /\.(txt|caption)$/i;
const PICTURE = /\.(png|jpe?g|webp|hei[cf]|bmp|gif|tiff?|avif)$/i;
const LANES = 2;
const PHOTOS_SHOWN = 14;

const DONE = {
  added: (count) => tn("{count} picture added", "{count} pictures added", count),
  removed: (count) => tn("{count} picture removed", "{count} pictures removed", count),
  moved: (count) => tn("{count} picture moved", "{count} pictures moved", count),
  captioned: (count) => tn("{count} caption changed", "{count} captions changed", count),
  tagged: (count) => tn("Tags of {count} picture changed", "Tags of {count} pictures changed", count),
  cropped: (count) => tn("{count} picture cropped", "{count} pictures cropped", count),
  renamed: () => t("Dataset renamed"),
  deleted: () => t("Dataset deleted"),
};

class Datasets extends HTMLElement {
  datasets = [];
  everybodys = [];
  current = null;
  total = null;
  pages = new Map();
  asking = new Map();
  cells = new Map();
  selected = new Map();
  filters = { search: "", caption: "", tag: "", flag: "", whose: "" };
  focusAt = 0;
  anchor = null;
  turn = 0;

  connectedCallback() {
    if (this.childElementCount) {
      this.resizing.observe(this.scroller);
      return;
    }
    this.build();
    this.resizing = new ResizeObserver(() => this.layout());
    this.resizing.observe(this.scroller);
    document.addEventListener("likeness:character", () => this.load());
    // What another tab or program changed is seen when one comes back.
    onTab((tab) => tab === "train" && this.load());
    this.load();
  }

  disconnectedCallback() {
    this.resizing?.disconnect();
  }

  get path() {
    return `datasets/${encodeURIComponent(this.current)}`;
  }

  get dataset() {
    return this.datasets.find((one) => one.id === this.current) ?? null;
  }

  get wide() {
    return this.current === EVERY || this.current === EVERYBODY;
  }

  of(id) {
    return this.everybodys.find((one) => one.id === id) ?? null;
  }

  // Drawn once

  build() {
    const button = (name, words, tip, act, extra = "") => h("button", { type: "button", class: `button ${extra}`, "data-tip": tip, onclick: act }, name ? icon(name) : null, h("span", {}, words));
    this.choice = h("select", { "data-tip": t("A character can have several; versions and captions are of each its own"), onchange: () => this.open(this.choice.value) });
    this.trainButton = button("sparkle", t("Train with this"), t("Teaches the character from these pictures"), () => this.train(), "primary");
    this.newButton = button("plus", t("New"), t("Another dataset of this character"), () => this.make());
    this.renameButton = iconButton("pencil", t("Rename the dataset"), () => this.rename());
    this.exportLink = h("a", { class: "icon-button", download: "", "aria-label": t("Download as a ZIP"), "data-tip": t("Download as a ZIP: pictures, with a caption file beside each"), onclick: (event) => this.export(event) }, icon("parcel"));
    this.deleteButton = iconButton("trash", t("Delete the dataset"), () => this.delete());
    this.facts = h("p", { class: "soft", role: "status" });
    this.head = h("div", { class: "dataset-head" }, h("label", { class: "dataset-choice" }, h("span", {}, t("Dataset")), this.choice), this.renameButton, this.exportLink, this.deleteButton, this.newButton, this.facts, this.trainButton);
    this.check = new DatasetCheck({
      show: (code) => this.filter({ caption: "", tag: "", search: "", flag: code }),
      fixed: (change) => this.told(this.current, change),
      looked: () => (this.refresh(), this.learn()),
      ways: this.waysOut(),
    });

    let waiting = 0;
    this.box = h("input", {
      type: "search",
      placeholder: t("Search"),
      "aria-label": t("Search captions, names and tags"),
      "data-tip": t("Shows the pictures whose caption, name or tags have these words"),
      oninput: () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => this.filter({ search: this.box.value.trim() }), 250);
      },
    });
    const select = (name, words, first, tip) => h("label", { class: "filter", "data-filter": name, "data-tip": tip }, h("span", {}, words), h("select", { onchange: (event) => this.filter({ [name]: event.target.value }) }, h("option", { value: "" }, first)));
    this.captionFilter = select("caption", t("Caption"), t("Any"), t("With a caption, or without one"));
    this.whoseFilter = select("whose", t("Character"), t("Anyone"), t("Whose datasets"));
    this.captionFilter.lastChild.append(h("option", { value: "missing" }, t("Missing")), h("option", { value: "present" }, t("Present")));
    this.tagFilter = select("tag", t("Tag"), t("Any"), t("With a tag that you gave"));
    this.flagFilter = select("flag", t("Check"), t("Anything"), t("With something that the check found"));
    this.files = h("input", { type: "file", class: "file-input", multiple: true, accept: TAKEN, tabindex: "-1", "aria-label": t("Picture files"), onchange: () => (this.addFiles([...this.files.files]), (this.files.value = "")) });
    this.addButton = button("upload", t("Add pictures"), t("Pictures, .txt files with captions, or a ZIP; they can be dropped here, too"), () => this.files.click());
    this.folder = h("input", { type: "file", class: "file-input", webkitdirectory: true, tabindex: "-1", "aria-label": t("Folder of pictures"), onchange: () => (this.addFolder([...this.folder.files].map((file) => [file.webkitRelativePath || file.name, file])), (this.folder.value = "")) });
    this.folderButton = button("upload", t("Add a folder"), t("A folder as kohya or AI-Toolkit keep it: pictures with a text file beside each"), () => this.folder.click(), "dataset-folder");
    this.captionsButton = button("pencil", t("Captions …"), t("Find and replace, put something before or behind many captions, with a preview"), () => this.editCaptions());
    this.writeButton = button("sparkle", t("Write captions …"), t("A vision model describes the pictures"), () => this.writeCaptions());
    this.undoButton = iconButton("restore", t("Undo"), () => this.undo());
    this.historyButton = iconButton("clock", t("Earlier versions"), () => this.history());
    this.allAct = h("button", { type: "button", class: "quiet", "data-tip": t("All that the filters show (Ctrl+A)"), onclick: () => this.selectAll() }, t("Select all"));
    this.count = h("p", { class: "soft", role: "status" });
    this.bar = h("div", { class: "dataset-bar" }, h("label", { class: "search" }, icon("search"), this.box), this.whoseFilter, this.captionFilter, this.tagFilter, this.flagFilter, this.count, this.allAct, h("span", { class: "dataset-acts" }, this.historyButton, this.undoButton, this.captionsButton, this.writeButton, this.folderButton, this.folder, this.addButton, this.files));
    this.writing = new CaptionProgress(() => this.captionsCame());

    this.progressWords = h("p", { role: "status", "aria-live": "polite" });
    this.progressBar = h("div", { class: "bar", role: "progressbar", "aria-label": t("Pictures being added"), "aria-valuemin": 0 }, h("i"));
    this.progress = h("div", { class: "drop-progress", hidden: true }, this.progressWords, this.progressBar);
    this.refusals = h("div", { class: "refusals", role: "alert", hidden: true });

    this.sheet = h("div", { class: "sheet", role: "listbox", "aria-multiselectable": "true", "aria-label": t("Pictures of the dataset") });
    this.editor = h("textarea", { class: "dataset-editor", hidden: true, "aria-label": t("Caption"), maxlength: 10_000, spellcheck: "true" });
    this.scroller = h("div", { class: "gallery-scroll dataset-scroll" }, this.sheet, this.editor);
    this.empty = h("div", { class: "empty", hidden: true });
    this.keys = h("p", { class: "soft dataset-keys" }, t("Arrow keys move, Enter edits the caption and goes on to the next one, Space selects, C crops, Delete removes."));
    this.selectionWords = h("p", { role: "status" });
    this.cropAct = button("pencil", t("Crop …"), t("Crop or turn the picture (C)"), () => this.crop());
    this.moveAct = button("right", t("Move …"), t("Into another dataset"), () => this.move());
    this.selectionBar = h(
      "div",
      { class: "selection-bar dataset-selection", role: "group", "aria-label": t("Selected pictures"), hidden: true },
      this.selectionWords,
      this.cropAct,
      button("pencil", t("Captions …"), t("Change the captions of the selected ones"), () => this.editCaptions([...this.selected.keys()])),
      button("sparkle", t("Write captions …"), t("A vision model describes the selected ones"), () => this.writeCaptions([...this.selected.keys()])),
      button("plus", t("Tags …"), t("Give them tags, or take them away"), () => this.tag()),
      this.moveAct,
      button("trash", t("Remove"), t("Out of the dataset; can be undone (Delete)"), () => this.removeSelected(), "danger"),
      h("button", { type: "button", class: "quiet", "data-tip": t("Select nothing (Esc)"), onclick: () => this.clearSelection() }, t("Clear")),
    );
    this.body = h("div", { class: "dataset-body" }, this.check.node, this.bar, this.writing.node, this.progress, this.refusals, this.scroller, this.keys, this.selectionBar);
    this.append(this.head, this.body, this.empty);

    this.scroller.addEventListener("scroll", paced(() => this.draw(), 60), { passive: true });
    this.sheet.addEventListener("click", (event) => this.onClick(event));
    this.sheet.addEventListener("focusin", (event) => (this.focusAt = event.target.closest(".cell")?.index ?? this.focusAt));
    this.sheet.addEventListener("keydown", (event) => this.onKey(event));
    this.editor.addEventListener("keydown", (event) => this.onEditorKey(event));
    this.editor.addEventListener("blur", () => this.saveCaption());
    this.takeDrops();
  }

  // What a person can do about a finding that no click mends by itself.
  waysOut() {
    const add = [t("Add pictures"), t("Other ones than these: they are what is missing"), () => this.files.click()];
    const captions = [t("Change captions …"), t("Change many at once, with a preview"), () => this.editCaptions()];
    const each = (code) => [t("Describe them …"), t("One after the other: Enter goes on to the next"), () => this.describe(code)];
    const consent = [t("Open Characters"), t("There it is written down who agreed to what"), () => showTab("characters")];
    return {
      ...Object.fromEntries(["too_few", "one_angle", "one_framing", "one_background", "one_light", "small"].map((code) => [code, add])),
      caption_long: captions,
      ...Object.fromEntries(["captions_alike", "caption_unreadable"].map((code) => [code, each(code)])),
      consent_missing: consent,
    };
  }

  takeDrops() {
    let over = 0;
    const lit = (on) => toggle(this, "data-over", on);
    const files = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files") && Boolean(this.dataset);
    const listeners = {
      dragenter: () => ((over += 1), lit(true)),
      dragover: () => {},
      dragleave: () => lit((over = Math.max(0, over - 1)) > 0),
      drop: (event) => {
        over = 0;
        lit(false);
        this.addDropped(event.dataTransfer);
      },
    };
    for (const [type, act] of Object.entries(listeners)) {
      this.addEventListener(type, (event) => {
        if (!files(event)) return;
        event.preventDefault();
        act(event);
      });
    }
  }

  // Which dataset

  async load() {
    const whose = active();
    if (!whose) return this.welcome(null);
    let found;
    try {
      const [character, list] = await Promise.all([get(`characters/${encodeURIComponent(whose)}`), get("datasets")]);
      if (whose !== active()) return;
      this.character = character;
      found = this.take(list.items);
    } catch (problem) {
      if (whose === active()) this.say("warn", problem.message, problem.remedy);
      return;
    }
    const before = this.dataset;
    if (this.current === EVERYBODY && this.everybodys.length) return this.drawAll();
    if (!found.length) return this.welcome(this.character);
    const still = this.current === EVERY ? found.length > 1 && before === null : found.some((one) => one.id === this.current);
    this.drawChoice();
    if (!still) return this.open(found[0].id);
    this.drawHead();
    if (before?.version !== this.dataset?.version) this.refresh();
  }

  // The datasets of everybody; gives those of the active character.
  take(items) {
    this.everybodys = items;
    this.datasets = items.filter((one) => one.character_id === this.character?.id);
    return this.datasets;
  }

  drawAll() {
    this.drawChoice();
    this.drawHead();
    this.refresh();
  }

  welcome(character) {
    this.current = null;
    this.datasets = [];
    if (!character) return this.say("person", t("Nobody is active"), t("Choose a character first: a dataset is what one character is learned from."), t("Open Characters"), () => showTab("characters"));
    const name = { name: character.name };
    if (character.photos) {
      this.say("picture", t("No dataset of {name} yet", name), tn("A dataset is what a character is learned from: pictures, each with its caption. {name} has {count} photo.", "A dataset is what a character is learned from: pictures, each with its caption. {name} has {count} photos.", character.photos, name), t("Make one of the photos"), () => this.create({ photos: true }));
      return this.showPhotos(character);
    }
    return this.say("picture", t("No dataset of {name} yet", name), t("A dataset is what a character is learned from. Fifteen to twenty-five different pictures are a good number."), t("Choose pictures"), async () => {
      if (await this.create({})) this.files.click();
    });
  }

  // What a dataset would be made of.
  async showPhotos(character) {
    const { items } = await get(`characters/${encodeURIComponent(character.id)}/images`).catch(() => ({ items: [] }));
    if (character !== this.character || this.empty.hidden || !items.length) return;
    const shown = items.slice(0, PHOTOS_SHOWN);
    const rest = items.length - shown.length;
    this.empty.querySelector(".button").before(h("div", { class: "empty-photos", role: "img", "aria-label": t("Photos of {name}", { name: character.name }) }, ...shown.map((one) => h("img", { src: thumbnail(one.id), alt: "", loading: "lazy", decoding: "async" })), rest ? h("span", { class: "soft" }, t("and {count} more", { count: number(rest) })) : ""));
  }

  say(name, title, words, action = null, act = null) {
    const others = this.character && this.everybodys.length ? h("button", { type: "button", class: "quiet", "data-tip": t("The pictures that all characters are learned from"), onclick: () => this.open(EVERYBODY) }, t("See everybody's datasets")) : "";
    this.empty.replaceChildren(icon(name), h("h2", {}, title), h("p", { class: "soft" }, words ?? ""), action ? h("button", { type: "button", class: "button primary", onclick: act }, action) : "", others);
    toggle(this.empty, "hidden", false);
    toggle(this.head, "hidden", true);
    toggle(this.body, "hidden", true);
  }

  open(id) {
    this.current = id;
    this.filters = { search: "", caption: "", tag: "", flag: "", whose: "" };
    this.box.value = "";
    this.drawChoice();
    toggle(this.empty, "hidden", true);
    toggle(this.head, "hidden", false);
    toggle(this.body, "hidden", false);
    this.drawHead();
    this.reset();
  }

  drawChoice() {
    const options = this.datasets.map((one) => h("option", { value: one.id }, `${one.name} (${number(one.pictures)})`));
    if (this.datasets.length > 1) options.push(h("option", { value: EVERY }, t("All datasets of {name}", { name: this.character.name })));
    if (this.everybodys.length > this.datasets.length) options.push(h("option", { value: EVERYBODY }, t("Everybody's datasets")));
    this.choice.replaceChildren(...options);
    this.choice.value = this.current ?? "";
  }

  drawHead() {
    const one = this.dataset;
    for (const node of [this.renameButton, this.exportLink, this.deleteButton, this.trainButton, this.addButton, this.folderButton, this.captionsButton, this.writeButton, this.undoButton, this.historyButton]) toggle(node, "hidden", !one);
    toggle(this.check.node, "hidden", !one);
    for (const label of [this.tagFilter, this.flagFilter, this.whoseFilter]) toggle(label, "hidden", true);
    // While captions come in, what the check says would be old with the next one.
    if (!this.writing.job) this.check.follow(one);
    this.writing.follow(one && { dataset: one.id });
    if (!one) {
      const shown = this.current === EVERYBODY ? this.everybodys : this.datasets;
      setText(this.facts, tn("{count} dataset", "{count} datasets", shown.length));
      toggle(this.moveAct, "hidden", shown.length < 2);
      return this.learn();
    }
    setText(this.facts, one.pictures ? t("{captioned} of {pictures} have a caption", { captioned: number(one.captioned), pictures: number(one.pictures) }) : t("Nothing in it yet"));
    this.exportLink.href = address(`${this.path}/export`);
    this.trainButton.disabled = !one.pictures;
    this.writeButton.disabled = !one.pictures;
    this.undoButton.disabled = !one.undo;
    this.historyButton.disabled = !one.undo;
    this.undoButton.dataset.tip = one.undo ? t("Take back: {change}", { change: DONE[one.undo.kind](one.undo.count) }) : t("Nothing to undo");
    toggle(this.moveAct, "hidden", this.datasets.length < 2);
    return this.learn();
  }

  async learn() {
    const id = this.current;
    const everybody = id === EVERYBODY;
    const [found, people] = await Promise.all([
      (this.wide ? get("datasets/facets", everybody ? {} : { character: this.character.id }) : get(`${this.path}/facets`)).catch(() => null),
      everybody ? get("characters").then((said) => said.items, () => []) : [],
    ]);
    if (!found || id !== this.current) return;
    this.people = people;
    const fill = (label, items, named) => {
      const choice = label.lastChild;
      const chosen = this.filters[label.dataset.filter];
      choice.replaceChildren(choice.firstChild, ...items.map((one) => h("option", { value: one.id }, `${named(one.id)} (${number(one.count)})`)));
      if (chosen && !items.some((one) => one.id === chosen)) choice.append(h("option", { value: chosen }, named(chosen)));
      choice.value = chosen;
      toggle(label, "hidden", choice.options.length < 2);
    };
    const counts = new Map();
    for (const one of this.everybodys) counts.set(one.character_id, (counts.get(one.character_id) ?? 0) + one.pictures);
    fill(this.whoseFilter, people.filter((one) => counts.has(one.id)).map((one) => ({ id: one.id, count: counts.get(one.id) })), (who) => people.find((one) => one.id === who)?.name ?? who);
    for (const cell of this.cells.values()) this.mark(cell);
    fill(this.tagFilter, found.tags, (tag) => tag);
    for (const one of found.flags) this.check.names[one.id] ??= known(one.name);
    fill(this.flagFilter, found.flags, (code) => this.check.named(code));
  }

  async create(fields) {
    try {
      const made = await post("datasets", { character: this.character.id, ...fields });
      this.tellRefused(made.refused);
      this.current = null;
      await this.load();
      this.open(made.id);
      return made;
    } catch (problem) {
      complain(problem);
      return null;
    }
  }

  async make() {
    const fields = await askNew(this.character);
    if (fields) await this.create(fields);
  }

  async rename() {
    const name = await askText(t("Rename the dataset"), t("Name"), this.dataset.name, t("What the dataset is called, here and in its ZIP"));
    if (!name || name === this.dataset.name) return;
    await this.act(this.current, () => patch(this.path, { name }), { quiet: true });
  }

  async delete() {
    const { id, name, pictures } = this.dataset;
    const question = t("Delete the dataset “{name}”?", { name });
    if (pictures && !(await confirmed(question, t("Photos and pictures of the gallery stay. This can be undone until the trash is emptied."), t("Delete")))) return;
    try {
      await remove(this.path);
    } catch (problem) {
      return complain(problem);
    }
    this.current = null;
    await this.load();
    toast(t("Dataset deleted"), { action: t("Undo"), act: async () => (await this.undo(id), this.open(id)), ms: 10_000 });
  }

  train() {
    document.dispatchEvent(new CustomEvent("likeness:train", { detail: { dataset: this.current, character: this.dataset.character_id } }));
  }

  // The list

  query() {
    const { whose, ...filters } = this.filters;
    return { ...filters, ...(this.current === EVERY ? { character: this.character.id } : whose ? { character: whose } : {}) };
  }

  filter(change) {
    Object.assign(this.filters, change);
    this.box.value = this.filters.search;
    for (const label of [this.whoseFilter, this.captionFilter, this.tagFilter, this.flagFilter]) {
      const value = this.filters[label.dataset.filter];
      const choice = label.lastChild;
      if (value && ![...choice.options].some((one) => one.value === value)) choice.append(h("option", { value }, label === this.flagFilter ? this.check.named(value) : value));
      choice.value = value;
      toggle(label, "data-on", Boolean(value));
      if (value) toggle(label, "hidden", false);
    }
    this.reset();
  }

  reset() {
    this.turn += 1;
    this.pages.clear();
    this.asking.clear();
    this.clearSelection();
    this.closeEditor();
    this.total = null;
    this.focusAt = 0;
    this.scroller.scrollTop = 0;
    this.page(0);
  }

  refresh() {
    if (this.total === null) return;
    this.turn += 1;
    this.asking.clear();
    for (const page of this.pages.values()) page.old = true;
    const [from, to] = this.range();
    for (let number = Math.floor(from / PAGE); number <= Math.floor(Math.max(from, to - 1) / PAGE); number++) this.page(number);
  }

  page(number) {
    const known = this.pages.get(number);
    if (known && !known.old) return Promise.resolve(known.items);
    if (this.asking.has(number)) return this.asking.get(number);
    const turn = this.turn;
    const where = this.wide ? "datasets/images" : `${this.path}/images`;
    const asking = get(where, { ...this.query(), offset: number * PAGE, limit: PAGE }).then(
      (found) => {
        if (turn !== this.turn) return found.items;
        this.asking.delete(number);
        this.pages.delete(number);
        this.pages.set(number, { items: found.items, old: false });
        for (const far of this.pages.keys()) {
          if (this.pages.size <= PAGES_KEPT) break;
          this.pages.delete(far);
        }
        this.setTotal(found.total);
        return found.items;
      },
      (problem) => {
        if (turn === this.turn) {
          this.asking.delete(number);
          if (this.total === null) complain(problem);
        }
        return [];
      },
    );
    this.asking.set(number, asking);
    return asking;
  }

  async at(index) {
    return (await this.page(Math.floor(index / PAGE)))[index % PAGE] ?? null;
  }

  known(index) {
    return this.pages.get(Math.floor(index / PAGE))?.items[index % PAGE] ?? null;
  }

  setTotal(total) {
    this.total = total;
    const filtered = Object.values(this.filters).some(Boolean);
    setText(this.count, filtered ? tn("{count} picture found", "{count} pictures found", total) : tn("{count} picture", "{count} pictures", total));
    toggle(this.allAct, "hidden", !total);
    toggle(this.keys, "hidden", !total);
    this.focusAt = Math.max(0, Math.min(this.focusAt, total - 1));
    this.sheet.dataset.none = total ? "" : filtered ? t("Nothing fits") : t("Drop pictures here, .txt files with captions, or a ZIP");
    this.layout();
  }

  // The window

  layout() {
    const style = getComputedStyle(this.scroller);
    const pad = parseFloat(style.paddingLeft) || 0;
    const width = this.scroller.clientWidth - 2 * pad;
    if (width <= 0 || this.total === null) return;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const columns = Math.max(width < 520 ? 2 : 1, Math.floor((width + GAP) / ((WISHED * rem) / 16 + GAP)));
    const side = (width - GAP * (columns - 1)) / columns;
    const tall = side + CAPTION_REM * rem;
    if (columns !== this.columns || side !== this.side) {
      const top = this.columns ? Math.floor(this.scroller.scrollTop / (this.tall + GAP)) * this.columns : 0;
      Object.assign(this, { columns, side, tall });
      this.sheet.style.setProperty("--side", `${side}px`);
      this.sheet.style.setProperty("--tall", `${tall}px`);
      if (top) this.scroller.scrollTop = Math.floor(top / columns) * (tall + GAP);
    }
    this.sheet.style.height = this.total ? `${Math.ceil(this.total / columns) * (tall + GAP) - GAP}px` : "";
    this.draw();
  }

  range() {
    if (!this.columns || !this.total) return [0, 0];
    const row = this.tall + GAP;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / row) - ROWS_AHEAD);
    const last = Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / row) + ROWS_AHEAD;
    return [first * this.columns, Math.min(this.total, last * this.columns)];
  }

  draw() {
    const [from, to] = this.range();
    for (const [index, cell] of this.cells) {
      const focused = index === this.focusAt && cell.contains(document.activeElement);
      if (((index < from || index >= to) && !focused) || index >= (this.total ?? 0)) {
        cell.remove();
        this.cells.delete(index);
      }
    }
    const missing = new Set();
    for (let index = from; index < to; index++) {
      const picture = this.known(index);
      if (!picture || this.pages.get(Math.floor(index / PAGE)).old) missing.add(Math.floor(index / PAGE));
      this.drawCell(index, picture);
    }
    if (!missing.size) return;
    // Flying past a thousand rows asks for few of them.
    clearTimeout(this.asked);
    const ask = () => {
      this.lastAsked = performance.now();
      missing.forEach((number) => this.page(number));
    };
    if (performance.now() - (this.lastAsked ?? 0) > 300) ask();
    else this.asked = setTimeout(ask, 60);
  }

  place(index) {
    return [(index % this.columns) * (this.side + GAP), Math.floor(index / this.columns) * (this.tall + GAP)];
  }

  drawCell(index, picture) {
    let cell = this.cells.get(index);
    if (!cell) {
      cell = h("div", { class: "cell dataset-cell", role: "option", tabindex: "-1" }, h("img", { alt: "", decoding: "async", draggable: "false" }), h("span", { class: "tick", "aria-hidden": "true" }, icon("check")), h("span", { class: "dataset-flag", "aria-hidden": "true", hidden: true }, icon("warn")), h("span", { class: "dataset-whose", "aria-hidden": "true", hidden: true }), h("p", { class: "dataset-caption" }));
      cell.index = index;
      cell.firstElementChild.addEventListener("load", () => cell.removeAttribute("data-empty"));
      this.cells.set(index, cell);
      this.sheet.append(cell);
    }
    const [x, y] = this.place(index);
    cell.style.transform = `translate(${x}px, ${y}px)`;
    cell.tabIndex = index === this.focusAt ? 0 : -1;
    cell.setAttribute("aria-posinset", index + 1);
    cell.setAttribute("aria-setsize", this.total);
    const image = cell.firstElementChild;
    const source = picture ? new URL(picture.thumbnail_url.replace(/^\/api\/v1\//, ""), address("")).href : "";
    if ((cell.dataset.source ?? "") !== source) {
      cell.dataset.source = source;
      cell.toggleAttribute("data-empty", true);
      if (source) image.src = source;
      else image.removeAttribute("src");
      if (image.complete && image.naturalWidth) cell.removeAttribute("data-empty");
    }
    this.mark(cell);
  }

  mark(cell) {
    const picture = this.known(cell.index);
    cell.dataset.picture = picture?.id ?? "";
    const caption = cell.querySelector(".dataset-caption");
    setText(caption, picture ? picture.caption || t("No caption") : "");
    toggle(caption, "data-missing", picture && !picture.caption);
    const flags = picture?.flags.filter((code) => this.check.loud.has(code)).map((code) => this.check.named(code)).join(", ") ?? "";
    const flag = cell.querySelector(".dataset-flag");
    toggle(flag, "hidden", !flags);
    flag.dataset.tip = flags;
    const whose = picture && this.wide ? this.whose(picture) : "";
    const badge = cell.querySelector(".dataset-whose");
    toggle(badge, "hidden", !whose);
    setText(badge, whose);
    const label = picture ? [picture.name, whose, picture.caption || t("No caption"), flags, picture.tags.join(", ")].filter(Boolean).join(". ") : t("Loading");
    if (cell.getAttribute("aria-label") !== label) cell.setAttribute("aria-label", label);
    cell.setAttribute("aria-selected", this.selected.has(cell.dataset.picture));
  }

  // Of which dataset a picture is, where several are shown.
  whose(picture) {
    const dataset = this.of(picture.dataset_id);
    if (!dataset) return "";
    const name = this.current === EVERYBODY ? this.people?.find((one) => one.id === dataset.character_id)?.name : "";
    return [name, dataset.name].filter(Boolean).join(" · ");
  }

  // Choosing

  onClick(event) {
    const cell = event.target.closest(".cell");
    if (!cell?.dataset.picture) return;
    this.focusAt = cell.index;
    if (event.target.closest(".dataset-caption") && !event.shiftKey) this.edit(cell.index);
    else if (event.shiftKey && this.anchor !== null) this.selectRange(this.anchor, cell.index);
    else this.toggleSelected(cell.index);
  }

  onKey(event) {
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / (this.tall + GAP))) * this.columns;
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key in moves) {
      event.preventDefault();
      const before = this.focusAt;
      this.moveTo(this.focusAt + moves[event.key]);
      if (event.shiftKey) this.selectRange((this.anchor ??= before), this.focusAt);
    } else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.selectAll();
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.edit(this.focusAt);
    } else if (event.key === " ") {
      event.preventDefault();
      this.toggleSelected(this.focusAt);
    } else if (event.key.toLowerCase() === "c" && plain) {
      event.preventDefault();
      this.crop(this.known(this.focusAt));
    } else if (event.key === "Delete") {
      event.preventDefault();
      this.removeSelected();
    } else if (event.key === "Escape" && this.selected.size) this.clearSelection();
  }

  moveTo(index) {
    this.focusAt = Math.max(0, Math.min(this.total - 1, index));
    this.show(this.focusAt);
    this.cells.get(this.focusAt)?.focus({ preventScroll: true });
  }

  show(index) {
    const [, top] = this.place(index);
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + this.tall > this.scroller.scrollTop + this.scroller.clientHeight - 24) this.scroller.scrollTop = top + this.tall - this.scroller.clientHeight + 24;
    this.draw();
  }

  toggleSelected(index) {
    const picture = this.known(index);
    if (!picture) return;
    if (this.selected.has(picture.id)) this.selected.delete(picture.id);
    else this.selected.set(picture.id, picture);
    this.anchor = index;
    this.showSelection();
  }

  async selectRange(one, other) {
    const [from, to] = one < other ? [one, other] : [other, one];
    for (let index = from; index <= to; index++) {
      const picture = this.known(index) ?? (await this.at(index));
      if (picture) this.selected.set(picture.id, picture);
    }
    this.showSelection();
  }

  async selectAll() {
    this.allAct.disabled = true;
    await this.selectRange(0, Math.min(this.total, MOST_SELECTED) - 1);
    this.allAct.disabled = false;
  }

  clearSelection() {
    this.selected.clear();
    this.anchor = null;
    this.showSelection();
  }

  showSelection() {
    const count = this.selected.size;
    toggle(this.selectionBar, "hidden", count === 0);
    toggle(this, "data-selecting", count > 0);
    setText(this.selectionWords, tn("{count} selected", "{count} selected", count));
    toggle(this.cropAct, "hidden", count !== 1);
    for (const cell of this.cells.values()) this.mark(cell);
  }

  // The selected ones by their datasets: in “All datasets” they may be of several.
  groups(pictures = [...this.selected.values()]) {
    const found = new Map();
    for (const one of pictures) found.set(one.dataset_id, [...(found.get(one.dataset_id) ?? []), one.id]);
    return [...found];
  }

  // The first picture of a finding, ready to be described. All are shown: with each caption the finding has fewer.
  async describe(code) {
    this.filter({ caption: "", tag: "", search: "", flag: "" });
    const shown = await this.page(0);
    this.edit(Math.max(0, shown.findIndex((one) => one.flags.includes(code))));
  }

  // Captions, in place: Enter and Tab save and go on to the next one.

  async edit(index) {
    const picture = this.known(index) ?? (await this.at(index));
    if (!picture) return;
    this.focusAt = index;
    this.show(index);
    const [x, y] = this.place(index);
    const pad = parseFloat(getComputedStyle(this.scroller).paddingLeft) || 0;
    const top = parseFloat(getComputedStyle(this.scroller).paddingTop) || 0;
    this.editing = { index, picture };
    Object.assign(this.editor.style, { left: `${x + pad}px`, top: `${y + this.side + top}px`, width: `${this.side}px` });
    this.editor.value = picture.caption;
    this.editor.setAttribute("aria-label", t("Caption of {name}", { name: picture.name }));
    toggle(this.editor, "hidden", false);
    this.editor.focus({ preventScroll: true });
    this.editor.setSelectionRange(this.editor.value.length, this.editor.value.length);
  }

  onEditorKey(event) {
    const { index } = this.editing ?? {};
    const next = (step) => {
      event.preventDefault();
      this.saveCaption();
      const to = index + step;
      if (to >= 0 && to < this.total) this.edit(to);
      else this.moveTo(index);
    };
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) next(1);
    else if (event.key === "Tab") next(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.closeEditor();
      this.moveTo(index);
    }
  }

  closeEditor() {
    this.editing = null;
    toggle(this.editor, "hidden", true);
  }

  async saveCaption() {
    if (!this.editing) return;
    const { picture, index } = this.editing;
    const caption = this.editor.value.trim();
    this.closeEditor();
    if (caption === picture.caption) return;
    const show = (text) => {
      const page = this.pages.get(Math.floor(index / PAGE));
      const place = page?.items.findIndex((one) => one.id === picture.id) ?? -1;
      if (place >= 0) page.items[place] = { ...page.items[place], caption: text };
      for (const cell of this.cells.values()) this.mark(cell);
    };
    // Shown at once; if the studio can't keep it, it is taken back.
    show(caption);
    try {
      await patch(`datasets/${encodeURIComponent(picture.dataset_id)}/images`, { ids: [picture.id], change: { caption } });
      await this.reread();
    } catch (problem) {
      show(picture.caption);
      complain(problem);
    }
  }

  async editCaptions(ids = null) {
    if (ids && this.wide) {
      const groups = this.groups();
      if (groups.length > 1) return toast(t("These are of several datasets"), { kind: "warn", detail: t("Open one dataset to change its captions together.") });
      const [[id, chosen]] = groups;
      const of = this.of(id)?.character_id ?? this.character.id;
      const character = of === this.character.id ? this.character : await get(`characters/${encodeURIComponent(of)}`).catch(complain);
      if (!character) return;
      return this.done(id, await changeCaptions(`datasets/${encodeURIComponent(id)}`, character, chosen));
    }
    return this.done(this.current, await changeCaptions(this.path, this.character, ids));
  }

  async writeCaptions(pictures = null) {
    const groups = pictures ? this.groups() : [[this.current, null]];
    if (groups.length > 1) return toast(t("These are of several datasets"), { kind: "warn", detail: t("Open one dataset to change its captions together.") });
    const [[dataset, ids]] = groups;
    const job = await writeCaptions({ dataset, ...(ids ? { pictures: ids } : {}) });
    if (!job) return;
    if (dataset === this.current) this.writing.begun(job);
    this.clearSelection();
  }

  // Some were written: what stands in the list is looked at again, while nobody writes there.
  async captionsCame() {
    if (this.clientHeight === 0 || !this.character) return;
    await this.reread();
    this.refresh();
  }

  done(id, changed) {
    if (changed) this.told(id);
  }

  // What is done to many

  async act(id, act, { quiet = false } = {}) {
    try {
      await act();
    } catch (problem) {
      complain(problem);
      return false;
    }
    await this.told(id, null, quiet);
    return true;
  }

  // Something was changed: shown, and said with the way back.
  async told(id, change = null, quiet = false) {
    await this.reread();
    this.clearSelection();
    this.refresh();
    const last = change ?? this.of(id)?.undo;
    if (last && !quiet) toast(DONE[last.kind](last.count), { action: t("Undo"), act: () => this.undo(id, last.id), ms: 10_000 });
  }

  async reread() {
    const found = await get("datasets").catch(() => null);
    if (!found) return;
    this.take(found.items);
    this.drawChoice();
    this.drawHead();
  }

  async undo(id = this.current, change = null, withNewer = false) {
    try {
      const taken = await post(`datasets/${encodeURIComponent(id)}/undo`, change ? { change, with_newer: withNewer } : {});
      toast(t("Undone: {change}", { change: DONE[taken.kind](taken.count) }), { ms: 3000 });
    } catch (problem) {
      complain(problem);
    }
    await this.reread();
    this.clearSelection();
    this.refresh();
  }

  // Every change that can still be taken back, and the way to how the dataset was before any of them.
  async history() {
    const id = this.current;
    const found = await get(`${this.path}/changes`).catch(complain);
    if (!found) return;
    const change = await askVersion(found.items, (one) => DONE[one.kind](one.count));
    if (change) await this.undo(id, change, true);
  }

  async removeSelected() {
    const pictures = this.selected.size ? [...this.selected.values()] : [this.known(this.focusAt)].filter(Boolean);
    for (const [id, ids] of this.groups(pictures)) await this.act(id, () => remove(`datasets/${encodeURIComponent(id)}/images`, { ids }));
    if (this.total) this.cells.get(this.focusAt)?.focus({ preventScroll: true });
  }

  async tag() {
    const there = [...new Set([...this.selected.values()].flatMap((one) => one.tags))];
    const said = await askText(t("Tags"), t("Tags to give, with commas between; a minus before one takes it away"), "", t("Tags find pictures again; they are not learned"), there.length ? t("There are: {tags}", { tags: there.join(", ") }) : "");
    const tags = (said ?? "").split(",").map((one) => one.trim()).filter(Boolean);
    if (!tags.length) return;
    const change = { add_tags: tags.filter((one) => !one.startsWith("-")), remove_tags: tags.filter((one) => one.startsWith("-")).map((one) => one.slice(1).trim()).filter(Boolean) };
    for (const [id, ids] of this.groups()) await this.act(id, () => patch(`datasets/${encodeURIComponent(id)}/images`, { ids, change }));
  }

  async move() {
    // Somebody's pictures go into datasets of the same character.
    const of = new Set([...this.selected.values()].map((one) => this.of(one.dataset_id)?.character_id));
    if (of.size > 1) return toast(t("These are of several characters"), { kind: "warn", detail: t("Choose pictures of one character to move them.") });
    const others = this.everybodys.filter((one) => of.has(one.character_id) && one.id !== this.current);
    if (!others.length || (this.wide && others.length < 2)) return toast(t("There is no other dataset to move them into"), { kind: "warn", detail: t("Make one first: “New”, above.") });
    const to = await askText(t("Move to another dataset"), t("Dataset"), others[0].id, t("They leave this dataset, with captions and tags"), "", others.map((one) => [one.id, one.name]));
    if (!to) return;
    for (const [id, ids] of this.groups()) if (id !== to) await this.act(id, () => patch(`datasets/${encodeURIComponent(id)}/images`, { ids, change: { to } }));
  }

  async crop(picture = [...this.selected.values()][0]) {
    if (!picture) return;
    const where = `datasets/${encodeURIComponent(picture.dataset_id)}/images/${encodeURIComponent(picture.id)}`;
    const cut = await cropPicture(address(`${where}/file`, { v: picture.sha256.slice(0, 12) }), picture);
    if (cut) await this.act(picture.dataset_id, () => post(`${where}/crop`, cut));
    this.cells.get(this.focusAt)?.focus({ preventScroll: true });
  }

  // The link stays a link for whoever copies it; a plain click counts the bytes as they come.
  export(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const { name } = this.dataset;
    saveFile(`${this.path}/export`, event.currentTarget, { name: "dataset.zip", words: t("Packing {name} …", { name }), done: t("{name} in one file", { name }) });
  }

  // Adding files: pictures first, so that the captions find theirs.

  addFiles(files) {
    const kind = (file) => (/\.zip$/i.test(file.name) ? "zip" : TEXT.test(file.name) ? "text" : "picture");
    const sorted = { picture: [], text: [], zip: [] };
    for (const file of files) sorted[kind(file)].push(file);
    const named = (one) => one.map((file) => [file.name, file]);
    return this.add(files.length, [[batches(sorted.picture).map(named), "images"], [batches(sorted.text).map(named), "images"], [sorted.zip.map((one) => named([one])), "import"]]);
  }

  // A folder's files, each with its path in it: every picture goes together with the text beside it. What is neither is not sent.
  addFolder(files) {
    const folders = new Map();
    for (const [path, file] of files) {
      if (!PICTURE.test(path) && !TEXT.test(path)) continue;
      const place = path.slice(0, path.lastIndexOf("/") + 1);
      folders.set(place, [...(folders.get(place) ?? []), [path, file]]);
    }
    const parts = [];
    for (const [place, inside] of folders) {
      const stem = (path) => path.slice(place.length).replace(/\.[^.]*$/, "").toLowerCase();
      const texts = new Map(inside.filter(([path]) => TEXT.test(path)).map((one) => [stem(one[0]), one]));
      const fallback = texts.get("default");
      const pictures = inside.filter(([path]) => PICTURE.test(path));
      for (const some of batches(pictures.map(([, file]) => file)).map((sent) => pictures.splice(0, sent.length))) {
        const beside = some.map(([path]) => texts.get(stem(path)) ?? texts.get(path.slice(place.length).toLowerCase())).filter(Boolean);
        parts.push([...some, ...new Set([...beside, ...(fallback ? [fallback] : [])])]);
      }
    }
    const count = parts.flat().length;
    if (!count) return toast(t("There are no pictures in this folder"), { kind: "warn", detail: t("PNG, JPEG, WebP and HEIC can be learned from.") });
    return this.add(count, [[parts, "import"]]);
  }

  // What is dropped may be files, folders, or both.
  async addDropped(dropped) {
    const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const loose = [...dropped.files];
    const folders = entries.filter((one) => one.isDirectory);
    if (!folders.length) return this.addFiles(loose);
    const found = (await Promise.all(folders.map(filesOf))).flat();
    const names = new Set(folders.map((one) => one.name));
    const files = loose.filter((file) => !names.has(file.name));
    if (files.length) await this.addFiles(files);
    await this.addFolder(found);
  }

  async add(total, steps) {
    if (!total || !this.dataset) return;
    const id = this.current;
    const adding = { total, done: 0, kept: 0, refused: [] };
    this.refusals.hidden = true;
    this.tellProgress(adding);
    const base = `datasets/${encodeURIComponent(id)}`;
    for (const [some, path] of steps) {
      await Promise.all(Array.from({ length: path === "import" ? 1 : LANES }, () => this.lane(some, `${base}/${path}`, adding)));
    }
    this.progress.hidden = true;
    this.tellRefused(adding.refused);
    await this.told(id, null, true);
    if (adding.kept) toast(DONE.added(adding.kept), { ms: 3000 });
  }

  async lane(waiting, path, adding) {
    while (waiting.length) {
      const batch = waiting.shift();
      const form = new FormData();
      for (const [name, file] of batch) form.append("file", file, name);
      try {
        const answer = await send(path, form);
        adding.kept += answer.items.length;
        adding.refused.push(...answer.refused);
        const others = { message: t("It lies in a folder of pictures that a class is learned by, not this character: it is left out."), remedy: "" };
        adding.refused.push(...(answer.left_out ?? []).map((name) => ({ name, error: others })));
        this.refresh();
      } catch (problem) {
        // Too much for one request is no fault of any one file.
        const texts = batch.filter(([name]) => TEXT.test(name));
        const pictures = batch.filter((one) => !texts.includes(one));
        const alone = pictures.length ? pictures.map((one) => [one, ...texts]) : texts.map((one) => [one]);
        if (problem.status === 413 && alone.length > 1) {
          waiting.push(...alone);
          continue;
        }
        adding.refused.push(...batch.map(([name]) => ({ name, error: problem })));
        // Without consent, or without a studio, the others would only hear the same.
        if (problem.code === "CONSENT_MISSING" || problem.code === "UNREACHABLE") adding.refused.push(...waiting.splice(0).flat().map(([name]) => ({ name, error: problem })));
      }
      adding.done += batch.length;
      this.tellProgress(adding);
    }
  }

  tellProgress({ done, total }) {
    this.progress.hidden = false;
    setText(this.progressWords, t("Adding files: {done} of {total}", { done: Math.min(done, total), total }));
    this.progressBar.setAttribute("aria-valuemax", total);
    this.progressBar.setAttribute("aria-valuenow", done);
    this.progressBar.firstElementChild.style.setProperty("--done", done / total);
    toggle(this.progressBar, "data-unsure", done === 0);
  }

  tellRefused(refused) {
    this.refusals.hidden = !refused.length;
    if (!refused.length) return;
    this.refusals.replaceChildren(
      h("div", { class: "refusals-head" }, icon("warn"), h("strong", {}, tn("{count} file could not be added", "{count} files could not be added", refused.length)), iconButton("close", t("Dismiss"), () => (this.refusals.hidden = true))),
      h("ul", {}, ...refused.map(({ name, error }) => h("li", {}, h("b", {}, name || t("A file without a name")), h("span", {}, [error.message, error.remedy].filter(Boolean).join(" "))))),
    );
  }
}

// Every file in a dropped folder with its path, as a chosen folder gives them.
async function filesOf(entry) {
  if (entry.isFile) return [[entry.fullPath.replace(/^\//, ""), await new Promise((done, failed) => entry.file(done, failed))]];
  const reader = entry.createReader();
  const inside = [];
  for (;;) {
    // It gives a hundred at a time, and none when there are no more.
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break;
    inside.push(...some);
  }
  return (await Promise.all(inside.map(filesOf))).flat();
}

customElements.define("likeness-datasets", Datasets);
