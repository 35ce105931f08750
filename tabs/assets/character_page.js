// One character: who it is, its photos, its pictures, its jobs, and what can be done with it.

import { active } from "./active.js";
import { address, get, patch, remove, send, thumbnail } from "./api.js";
import { orderSheet, SheetReview } from "./character_sheet.js";
import { VariantsPart } from "./character_variants.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { ended, feed, paints } from "./feed.js";
import { showTab } from "./header.js";
import { day, number, t, tn } from "./language.js";
import { saveFile } from "./library.js";
import { hasConsent, kindWords, likenessToday, looks, photosAreFor, portrait, real } from "./portrait.js";
import { listOf } from "./stage.js";
import { complain, toast } from "./toast.js";
import { copyText, fromTrash, lookAt } from "./viewer.js";
import { endWords, jobTitle, progressWords } from "./words.js";

const AT_ONCE = 8;
const BYTES_AT_ONCE = 24 * 2 ** 20;
const LANES = 2;
const PICTURES = 24;
const JOBS = 8;
const TAKEN = "image/png,image/jpeg,image/webp,image/heic,image/heif,.png,.jpg,.jpeg,.webp,.heic,.heif";

export class CharacterPage {
  photos = [];
  chosen = new Set();

  constructor(character, acts) {
    Object.assign(this, { character, acts });
    this.build();
    this.drawHead();
  }

  get path() {
    return `characters/${encodeURIComponent(this.character.id)}`;
  }

  build() {
    this.head = h("div", { class: "page-head" });
    this.notice = h("div", { class: "page-notice", role: "status", hidden: true });
    this.node = h(
      "article",
      { class: "character-page", "aria-label": this.character.name },
      h("button", { type: "button", class: "quiet page-back", "data-tip": t("Back to all characters"), onclick: () => this.acts.back() }, icon("left"), t("All characters")),
      this.head,
      this.notice,
      (this.sheets = h("div", { class: "page-sheets" })),
      this.buildPhotos(),
      (this.variants = new VariantsPart(this)).node,
      this.buildPictures(),
      this.buildJobs(),
    );
  }

  start() {
    this.mark();
    this.loadSheets();
    this.loadPhotos();
    this.loadPictures();
    this.loadJobs();
  }

  async refresh() {
    await this.reread();
    this.start();
  }

  async reread() {
    try {
      this.character = await get(this.path);
    } catch {
      return;
    }
    this.drawHead();
    this.mark();
  }

  // Who it is

  drawHead() {
    const one = this.character;
    const trashed = one.status === "trashed";
    const key = JSON.stringify(one);
    if (this.shown === key) return;
    this.shown = key;
    const about = looks(one.appearance);
    const word = h("code", {}, one.trigger_word);
    const fact = (count, name) => h("div", { class: "number" }, h("dd", {}, number(count)), h("dt", {}, name));
    this.makeButton = h("button", { type: "button", class: "button primary", "data-tip": t("Makes this character the active one and opens Generate"), onclick: () => this.acts.make() }, icon("sparkle"), t("Make pictures"));
    const button = (name, words, tip, act, extra = "") => h("button", { type: "button", class: `button ${extra}`, "data-tip": tip, onclick: act }, icon(name), words);
    const focused = this.head.contains(document.activeElement) ? document.activeElement.textContent : null;
    this.head.replaceChildren(
      h("div", { class: "page-face" }, portrait(one, { large: true })),
      h(
        "div",
        { class: "page-words" },
        h("div", { class: "page-name" }, h("h2", { tabindex: "-1" }, one.name), (this.activeTag = h("span", { class: "tag on", hidden: true }, icon("tick"), t("Active")))),
        h(
          "p",
          { class: "page-kind" },
          kindWords(one),
          one.status === "archived" ? h("span", { class: "tag" }, t("Archived")) : null,
          trashed ? h("span", { class: "tag warn" }, t("In the trash")) : null,
          real(one) ? h("span", { class: `tag ${hasConsent(one) ? "good" : "warn"}` }, consentWords(one)) : null,
        ),
        h(
          "p",
          { class: "page-trigger" },
          h("span", { class: "soft" }, t("Trigger word")),
          word,
          iconButton("copy", t("Copy the trigger word"), () => this.copyWord()),
        ),
        about ? h("p", { class: "page-looks" }, about) : h("p", { class: "page-looks soft" }, t("Nothing is said about the looks yet.")),
        one.wardrobe ? h("p", { class: "page-looks" }, h("span", { class: "soft" }, t("Usually wears")), " ", one.wardrobe) : null,
        one.personality ? h("p", { class: "page-looks soft" }, one.personality) : null,
        h("dl", { class: "numbers" }, fact(one.photos, tn("photo", "photos", one.photos)), fact(one.pictures, tn("picture", "pictures", one.pictures)), fact(one.jobs, tn("job", "jobs", one.jobs))),
        h(
          "div",
          { class: "page-acts" },
          trashed ? button("restore", t("Restore"), t("Back among the active characters"), () => this.acts.archive(), "primary") : this.makeButton,
          trashed ? null : button("variations", t("Character sheet …"), t("From one portrait: other sides, moods, light and clothes, to be kept as photos"), () => this.newSheet()),
          trashed || !one.photos ? null : button("person", t("Train"), t("Teach a model this face, from the photos"), () => this.acts.train()),
          button("pencil", t("Edit"), t("Change looks, words and settings"), () => this.acts.edit()),
          button("copy", t("Duplicate"), t("A new character with the same words and settings"), () => this.acts.copy()),
          h("a", { class: "button", href: address(`${this.path}/export`), download: "", "data-tip": t("Everything about this character in one zip file"), onclick: (event) => this.export(event) }, icon("download"), t("Export")),
          trashed ? null : button("archive", one.status === "archived" ? t("Bring back") : t("Archive"), one.status === "archived" ? t("Among the active characters again") : t("Keeps everything, out of the way"), () => this.acts.archive()),
          trashed ? null : button("trash", t("Delete"), t("To the trash; can be undone"), () => this.acts.trash(), "danger"),
        ),
      ),
    );
    this.variants.draw();
    if (focused) [...this.head.querySelectorAll("button, a")].find((node) => node.textContent === focused)?.focus();
    this.drawNotice();
  }

  drawNotice() {
    const missing = real(this.character) && !hasConsent(this.character);
    toggle(this.notice, "hidden", !missing);
    if (!missing) return;
    const over = Boolean(this.character.consent);
    this.notice.replaceChildren(
      icon("warn"),
      h("div", {}, h("strong", {}, over ? t("The consent has run out") : t("The consent is missing")), h("p", {}, t("This is a real person: photos and pictures wait until you have written down that they agreed."))),
      h("button", { type: "button", class: "button", "data-tip": t("Who agreed, to what, and until when"), onclick: () => this.acts.edit("consent") }, over ? t("Renew it") : t("Write it down")),
    );
  }

  mark() {
    if (this.activeTag) toggle(this.activeTag, "hidden", active() !== this.character.id);
  }

  async copyWord() {
    try {
      await copyText(this.character.trigger_word, this.node);
      toast(t("Trigger word copied"), { ms: 2000 });
    } catch (problem) {
      complain(problem);
    }
  }

  // Character sheets: those that still wait for a decision stand above the photos, also after a closed tab.

  async loadSheets() {
    const found = await get(`${this.path}/sheets`).catch(() => null);
    if (!found) return;
    const open = found.items.filter((sheet) => sheet.open);
    this.sheets.replaceChildren(...open.map((sheet) => this.openSheet(sheet)));
  }

  // The link stays a link for whoever copies it; a plain click counts the bytes as they come.
  export(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const { name } = this.character;
    saveFile(`${this.path}/export`, event.currentTarget, { name: "character.zip", words: t("Packing {name} …", { name }), done: t("{name} in one file", { name }) });
  }

  openSheet(sheet) {
    const made = sheet.shots.filter((shot) => shot.picture).length;
    const words = h("p", {}, h("strong", {}, t("A character sheet is waiting for you")), h("span", { class: "soft" }, t("{made} of {count} views are made", { made, count: sheet.shots.length })));
    const faces = sheet.shots.filter((shot) => shot.picture && shot.verdict !== "thrown").slice(0, 4);
    return h("div", { class: "page-sheet" }, h("span", { class: "page-sheet-faces" }, ...faces.map((shot) => h("img", { src: thumbnail(shot.picture), alt: "" })), faces.length ? null : icon("variations")), words, h("button", { type: "button", class: "button", onclick: () => this.review(sheet) }, t("Look through it")));
  }

  newSheet() {
    return orderSheet(
      this.character,
      {
        photos: () => this.files.click(),
        consent: () => this.acts.edit("consent"),
        make: () => this.acts.make(),
      },
      (sheet) => this.review(sheet),
    );
  }

  review(sheet) {
    const changed = () => (this.acts.changed(), this.refresh());
    return new SheetReview(sheet, this.character, { changed, closed: () => this.refresh() });
  }

  // Photos

  buildPhotos() {
    this.files = h("input", { type: "file", class: "file-input", multiple: true, accept: TAKEN, tabindex: "-1", "aria-label": t("Photo files"), onchange: () => (this.addFiles([...this.files.files]), (this.files.value = "")) });
    this.drop = h(
      "div",
      { class: "drop" },
      icon("upload"),
      h("p", {}, h("strong", {}, t("Drop photos here")), h("span", { class: "soft" }, t("PNG, JPEG, WebP or HEIC, fifty at once if you like. They are turned upright, and where they were taken is removed."))),
      this.files,
      h("button", { type: "button", class: "button", "data-tip": t("Pick photos from this device"), onclick: () => this.files.click() }, t("Choose photos")),
    );
    let over = 0;
    const lit = (on) => toggle(this.drop, "data-over", on);
    const listeners = {
      dragenter: (event) => (event.preventDefault(), (over += 1), lit(true)),
      dragover: (event) => event.preventDefault(),
      dragleave: () => lit((over = Math.max(0, over - 1)) > 0),
      drop: (event) => {
        event.preventDefault();
        over = 0;
        lit(false);
        this.addFiles([...event.dataTransfer.files]);
      },
    };
    this.progressWords = h("p", { role: "status", "aria-live": "polite" });
    this.progressBar = h("div", { class: "bar", role: "progressbar", "aria-label": t("Photos being added"), "aria-valuemin": 0 }, h("i"));
    this.progress = h("div", { class: "drop-progress", hidden: true }, this.progressWords, this.progressBar);
    this.refusals = h("div", { class: "refusals", role: "alert", hidden: true });
    this.grid = h("ul", { class: "photos", "aria-label": t("Photos") });
    this.grid.addEventListener("keydown", (event) => event.key === "Delete" && this.chosen.size && this.deletePhotos());
    this.selectionWords = h("p", { role: "status" });
    this.portraitButton = h("button", { type: "button", class: "button", "data-tip": t("Shown wherever this character is"), onclick: () => this.setPortrait([...this.chosen][0]) }, icon("person"), t("Set as portrait"));
    this.selection = h(
      "div",
      { class: "photo-selection", hidden: true },
      this.selectionWords,
      this.portraitButton,
      h("button", { type: "button", class: "button danger", "data-tip": t("To the trash; can be undone"), onclick: () => this.deletePhotos() }, icon("trash"), t("Delete")),
      h("button", { type: "button", class: "quiet", "data-tip": t("Select every photo"), onclick: () => this.choose(this.photos.map((photo) => photo.id)) }, t("Select all")),
      h("button", { type: "button", class: "quiet", "data-tip": t("Select none"), onclick: () => this.choose([]) }, t("Clear")),
    );
    const about = h("dl", { class: "photo-words" }, h("dt", {}, t("What photos are for")), h("dd", {}, photosAreFor()), h("dt", {}, t("What keeps them the same today")), h("dd", {}, likenessToday(this.character)));
    const section = this.section("photos", t("Photos"), about, this.drop, this.progress, this.refusals, this.selection, this.grid);
    for (const [type, listener] of Object.entries(listeners)) section.addEventListener(type, listener);
    return section;
  }

  section(id, name, ...content) {
    this[`${id}Note`] = h("span", { class: "soft section-note" });
    return h("section", { class: "page-section", "aria-labelledby": `character-page-${id}` }, h("div", { class: "section-head" }, h("h3", { id: `character-page-${id}` }, name), this[`${id}Note`]), ...content);
  }

  async loadPhotos() {
    let items;
    try {
      ({ items } = await get(`${this.path}/images`));
    } catch (problem) {
      setText(this.photosNote, problem.message);
      return;
    }
    this.photos = items;
    const there = new Set(items.map((photo) => photo.id));
    this.chosen = new Set([...this.chosen].filter((id) => there.has(id)));
    this.drawPhotos();
  }

  drawPhotos() {
    const known = new Map([...this.grid.children].map((node) => [node.dataset.photo, node]));
    this.grid.replaceChildren(...this.photos.map((photo, index) => known.get(photo.id) ?? this.photo(photo, index)));
    this.grid.hidden = !this.photos.length;
    setText(this.photosNote, this.photos.length ? "" : t("None yet. Ten to thirty different ones, alone in the picture, are a good start."));
    this.markPhotos();
  }

  photo(photo, index) {
    const name = photo.name || t("Photo {number}", { number: index + 1 });
    const tick = h("input", { type: "checkbox", class: "photo-tick", "aria-label": t("Select {name}", { name }), onchange: () => (tick.checked ? this.chosen.add(photo.id) : this.chosen.delete(photo.id), this.markPhotos()) });
    const image = h("img", { src: thumbnail(photo.id), alt: "", loading: "lazy", decoding: "async" });
    const look = () => lookAt(listOf(this.photos), Math.max(0, this.photos.findIndex((one) => one.id === photo.id)));
    return h(
      "li",
      { class: "photo", dataset: { photo: photo.id } },
      h("button", { type: "button", class: "tile", "aria-label": t("Open {name}", { name }), "data-tip": t("Open {name}", { name }), onclick: look }, image),
      tick,
      h("span", { class: "tag on photo-mark" }, t("Portrait")),
      photo.recipe ? h("span", { class: "tag photo-made", "data-tip": photo.caption || null }, t("Generated")) : null,
      iconButton("person", t("Set as portrait"), () => this.setPortrait(photo.id), { class: "icon-button photo-portrait", "aria-label": t("Set {name} as portrait", { name }) }),
    );
  }

  choose(ids) {
    this.chosen = new Set(ids);
    this.markPhotos();
  }

  markPhotos() {
    for (const node of this.grid.children) {
      const on = this.chosen.has(node.dataset.photo);
      node.querySelector(".photo-tick").checked = on;
      node.classList.toggle("chosen", on);
      node.classList.toggle("portrayed", node.dataset.photo === this.character.portrait);
    }
    toggle(this.selection, "hidden", this.chosen.size === 0);
    toggle(this.grid, "data-selecting", this.chosen.size > 0);
    toggle(this.portraitButton, "hidden", this.chosen.size !== 1);
    setText(this.selectionWords, tn("{count} selected", "{count} selected", this.chosen.size));
  }

  async setPortrait(id) {
    try {
      this.character = await patch(this.path, { portrait: id });
    } catch (problem) {
      complain(problem);
      return;
    }
    this.chosen.clear();
    this.drawHead();
    this.mark();
    this.markPhotos();
    this.acts.changed();
    toast(t("This is the portrait now"), { ms: 2500 });
  }

  async deletePhotos() {
    const ids = [...this.chosen];
    try {
      await remove(`${this.path}/images`, { ids });
    } catch (problem) {
      complain(problem);
      return;
    }
    this.chosen.clear();
    this.acts.changed();
    this.refresh();
    this.files.nextElementSibling.focus({ preventScroll: true });
    toast(tn("{count} photo moved to the trash", "{count} photos moved to the trash", ids.length), {
      action: t("Undo"),
      act: async () => {
        if (await fromTrash(ids, (count) => tn("{count} picture back", "{count} pictures back", count))) this.refresh();
        this.acts.changed();
      },
      ms: 10_000,
    });
  }

  // Adding photos: a few requests side by side, each small enough to be sent again; a bad one never holds back the others.

  async addFiles(files) {
    if (!files.length) return;
    if (this.adding) {
      this.adding.waiting.push(...batches(files));
      this.adding.total += files.length;
      this.tellProgress();
      return;
    }
    this.adding = { waiting: batches(files), total: files.length, done: 0, kept: 0, refused: [] };
    this.refusals.hidden = true;
    this.tellProgress();
    await Promise.all(Array.from({ length: LANES }, () => this.lane()));
    const { kept, refused } = this.adding;
    this.adding = null;
    this.progress.hidden = true;
    this.tellRefused(refused);
    if (kept) {
      toast(tn("{count} photo added", "{count} photos added", kept), { ms: 3000 });
      this.acts.changed();
    }
    await this.reread();
    await this.loadPhotos();
  }

  async lane() {
    const { adding } = this;
    while (adding.waiting.length) {
      const batch = adding.waiting.shift();
      const form = new FormData();
      for (const file of batch) form.append("file", file, file.name);
      try {
        const answer = await send(`${this.path}/images`, form);
        adding.kept += answer.items.length;
        adding.refused.push(...answer.refused);
        this.loadPhotos();
      } catch (problem) {
        // Too much for one request is no fault of any one file.
        if (problem.status === 413 && batch.length > 1) {
          adding.waiting.push(...batch.map((file) => [file]));
          continue;
        }
        adding.refused.push(...batch.map((file) => ({ name: file.name, error: problem })));
        // Without consent, or without a studio, the others would only hear the same.
        if (problem.code === "CONSENT_MISSING" || problem.code === "UNREACHABLE") {
          adding.refused.push(...adding.waiting.splice(0).flat().map((file) => ({ name: file.name, error: problem })));
        }
      }
      adding.done += batch.length;
      this.tellProgress();
    }
  }

  tellProgress() {
    const { done, total } = this.adding;
    this.progress.hidden = false;
    setText(this.progressWords, t("Adding photos: {done} of {total}", { done, total }));
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

  // Pictures and jobs

  buildPictures() {
    this.pictureGrid = h("ul", { class: "photos", "aria-label": t("Newest pictures") });
    this.pictureEmpty = h("p", { class: "soft", hidden: true }, t("None yet. Press “Make pictures” and describe the first one."));
    return this.section("pictures", t("Pictures"), this.pictureEmpty, this.pictureGrid);
  }

  async loadPictures() {
    const { id } = this.character;
    let items;
    try {
      ({ items } = await get("images", { character: id, limit: PICTURES }));
    } catch (problem) {
      setText(this.picturesNote, problem.message);
      return;
    }
    // A studio that can't look by character yet answers with everybody's.
    items = items.filter((picture) => picture.character_id === id);
    const known = new Map([...this.pictureGrid.children].map((node) => [node.dataset.picture, node]));
    const look = (picture) => lookAt(listOf(items), Math.max(0, items.findIndex((one) => one.id === picture.id)));
    this.openPicture = look;
    this.pictureGrid.replaceChildren(
      ...items.map(
        (picture) =>
          known.get(picture.id) ??
          h(
            "li",
            { class: "photo", dataset: { picture: picture.id } },
            h(
              "button",
              { type: "button", class: "tile", "aria-label": t("Open: {prompt}", { prompt: (picture.recipe?.prompt ?? t("picture")).slice(0, 80) }), onclick: () => this.openPicture(picture) },
              h("img", { src: thumbnail(picture.id), alt: "", loading: "lazy", decoding: "async" }),
            ),
            iconButton("person", t("Set as portrait"), () => this.setPortrait(picture.id), { class: "icon-button photo-portrait" }),
          ),
      ),
    );
    this.pictureEmpty.hidden = items.length > 0;
    this.pictureGrid.hidden = !items.length;
    setText(this.picturesNote, this.character.pictures > items.length && items.length ? t("The newest {count} of {total}", { count: items.length, total: number(this.character.pictures) }) : "");
  }

  buildJobs() {
    this.jobList = h("ul", { class: "page-jobs", "aria-label": t("Newest jobs") });
    this.jobEmpty = h("p", { class: "soft", hidden: true }, t("No jobs yet."));
    return this.section("jobs", t("Jobs"), this.jobEmpty, this.jobList);
  }

  async loadJobs() {
    let page;
    try {
      page = await get("jobs", { character: this.character.id, limit: JOBS });
    } catch {
      return;
    }
    this.jobList.replaceChildren(
      ...page.items.map((job) => {
        const pictures = paints(job) && ended(job) ? feed.pictures(job) : null;
        return h(
          "li",
          {},
          h(
            "button",
            { type: "button", class: "page-job", "data-tip": paints(job) ? t("Show it on Generate") : t("Show it on Train"), onclick: () => (showTab(paints(job) ? "generate" : "train"), document.dispatchEvent(new CustomEvent("likeness:look", { detail: job.id }))) },
            h("span", { class: "page-job-face" }, pictures?.length ? h("img", { src: thumbnail(pictures[0].id), alt: "", loading: "lazy" }) : icon("picture")),
            h("span", { class: "page-job-words" }, h("strong", {}, jobTitle(job, this.character.name)), h("span", { class: "soft" }, ended(job) ? endWords(job, pictures?.length) : progressWords(job))),
          ),
        );
      }),
    );
    this.jobEmpty.hidden = page.items.length > 0;
    this.jobList.hidden = !page.items.length;
  }
}

function consentWords({ consent }) {
  if (!consent) return t("Consent missing");
  const last = consent.until && day(new Date(`${consent.until}T12:00`), { day: "numeric", month: "short", year: "numeric" });
  return hasConsent({ consent }) ? (last ? t("Consent until {day}", { day: last }) : t("Consent given")) : t("Consent ran out on {day}", { day: last });
}

// At most eight files and not too many bytes a request.
export function batches(files) {
  const found = [];
  let bytes = 0;
  for (const file of files) {
    const last = found.at(-1);
    if (!last || last.length >= AT_ONCE || bytes + file.size > BYTES_AT_ONCE) {
      found.push([file]);
      bytes = file.size;
    } else {
      last.push(file);
      bytes += file.size;
    }
  }
  return found;
}
