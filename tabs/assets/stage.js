// The stage: the picture that is being made, large; then what was made; below it the newest of the library.

import { file, get, patch, preview, thumbnail } from "./api.js";
import { somebody } from "./chip.js";
import { h, icon, iconButton, paced, setText, store, toggle } from "./dom.js";
import { ended, feed, paints } from "./feed.js";
import { say } from "./form.js";
import { number, t, tn } from "./language.js";
import { complain, toast } from "./toast.js";
import { lookAt } from "./viewer.js";
import { endWords, nameOf, progressWords } from "./words.js";

const STRIP = 24;
// What a grid can vary, as its labels say it.
const VARIED = [["steps", t("Steps")], ["cfg", t("CFG")], ["sampler", ""], ["scheduler", ""], ["denoise", t("Denoise")], ["preset", ""], ["style", ""], ["seed", t("Seed")]];
const IDEAS = [
  "portrait of a person with long red hair, tan skin, round glasses, smiling, wearing a green hoodie, light blue background, flat avatar style",
  "portrait of a person with short curly black hair, dark skin, wearing a yellow hoodie, pink background, cartoon style",
  "portrait of a person with a white beard, pale skin, wearing a navy suit, gray background, ink comic style",
];
// Of a character nobody says the looks again: only what is new in the picture.
const IDEAS_OF_SOMEBODY = [
  "smiling, wearing a green hoodie, light blue background, cartoon style",
  "laughing, wearing a yellow t-shirt, pink background, flat avatar style",
  "serious, wearing a navy blazer, soft evening light, gray background, ink comic style",
];

class Stage extends HTMLElement {
  pinned = null;

  connectedCallback() {
    if (this.childElementCount) return;
    this.crisp = h("button", { type: "button", class: "quiet", onclick: () => this.setCrisp(store("crisp") !== "1") });
    this.words = h("p", { class: "stage-words", role: "status" });
    this.live = h("button", { type: "button", class: "quiet", hidden: true, "data-tip": t("Show what is being made, or was made last"), onclick: () => ((this.pinned = null), this.draw()) }, t("Back to the newest"));
    // On a phone the stage is a strip above the form, and grows when there is something to watch.
    this.size = h("button", { type: "button", class: "icon-button stage-size", onclick: () => this.setLarge(!this.hasAttribute("data-large"), true) }, icon("down"));
    this.easel = h("div", { class: "easel" });
    this.bar = h("div", { class: "bar", hidden: true }, h("i"));
    this.strip = h("ul", { class: "strip", "aria-label": t("Newest pictures") });
    this.append(h("div", { class: "stage-bar" }, this.words, this.live, this.crisp, this.size), this.easel, this.bar, this.strip);
    this.setCrisp(store("crisp") === "1");
    this.setLarge(false);
    feed.addEventListener("change", () => this.draw());
    somebody.addEventListener("change", () => this.draw());
    const refill = paced(() => this.fillStrip(), 1);
    feed.addEventListener("pictures", refill);
    document.addEventListener("likeness:look", (event) => {
      const job = feed.job(event.detail);
      if (job && !paints(job)) return; // Train's
      this.pinned = event.detail;
      this.setLarge(true);
      this.draw();
      this.scrollIntoView({ block: "nearest", behavior: calm() });
    });
    document.addEventListener("likeness:accepted", () => {
      this.pinned = null;
      this.setLarge(true);
      const { top } = this.getBoundingClientRect();
      if (top < 0 || top > innerHeight - 120) this.scrollIntoView({ block: "start", behavior: calm() });
    });
    this.draw();
  }

  // Whoever made it small wants it so until the next picture.
  setLarge(large, byHand = false) {
    toggle(this, "data-large", large);
    this.small = byHand && !large ? this.job()?.id : null;
    const words = large ? t("Make the picture small") : t("Show the picture large");
    this.size.setAttribute("aria-label", words);
    this.size.setAttribute("aria-expanded", large);
    this.size.dataset.tip = words;
  }

  // What somebody is reading below must not be pushed away.
  grow(job) {
    if (!this.hasAttribute("data-large") && this.small !== job.id && this.getBoundingClientRect().bottom > 0) this.setLarge(true);
  }

  setCrisp(on) {
    store("crisp", on ? "1" : null);
    document.documentElement.toggleAttribute("data-crisp", on);
    this.crisp.replaceChildren(icon(on ? "grain" : "smooth"), on ? t("Crisp") : t("Smooth"));
    this.crisp.setAttribute("aria-pressed", on);
    this.crisp.dataset.tip = t("How small pictures are enlarged: every pixel crisp, or smoothed");
  }

  // What deserves the stage: what the person picked, what runs, what was made last.
  job() {
    if (this.pinned) {
      const job = feed.job(this.pinned);
      if (job && paints(job)) return job;
      this.pinned = null;
    }
    return feed.running.find(paints) ?? feed.ended.find((job) => paints(job) && (job.state === "done" || feed.pictures(job)?.length)) ?? feed.queued.find(paints) ?? null;
  }

  draw() {
    if (!feed.synced) return this.scene("wait", () => [h("div", { class: "waiting", "aria-label": t("Loading") })]);
    const job = this.job();
    toggle(this.live, "hidden", !this.pinned);
    if (!job) return this.drawEmpty();
    const batch = batchOf(job);
    const pictures = feed.pictures(job) ?? [];
    toggle(this.bar, "hidden", job.state !== "running");
    this.bar.firstElementChild.style.setProperty("--done", job.progress);
    toggle(this.bar, "data-unsure", job.state === "running" && job.progress === 0);
    if (!ended(job)) {
      this.grow(job);
      return this.drawLive(job, pictures);
    }
    if (batch.length > 1) return this.drawBatch(batch);
    setText(this.words, endWords(job, pictures.length));
    if (pictures.length) return this.drawPictures(job, pictures);
    // Whether there are none is known only after asking; until then the last preview stays.
    if (job.state === "done" && !feed.knows(job)) return;
    if (job.error) return this.drawTrouble(job);
    this.scene(`gone-${job.id}-${job.state}`, () => [
      h("div", { class: "empty" }, icon("picture"), h("p", {}, job.state === "done" ? t("These pictures are in the trash.") : t("Cancelled before a picture was finished."))),
    ]);
  }

  drawEmpty() {
    setText(this.words, "");
    toggle(this.bar, "hidden", true);
    const { character } = somebody;
    this.scene(`empty ${character?.id ?? ""}`.trim(), () => [
      h(
        "div",
        { class: "empty welcome" },
        h("span", { class: "brand-mark large", "aria-hidden": "true" }),
        h("h2", {}, t("Your first picture starts with a sentence")),
        h("p", { class: "soft" }, character ? t("Say what {name} does, wears and where; the looks are added for you. Or begin with one of these:", { name: character.name }) : t("Describe someone and press Generate. Or begin with one of these:")),
        h("div", { class: "ideas", lang: "en" }, ...(character ? IDEAS_OF_SOMEBODY : IDEAS).map((idea) => h("button", { type: "button", class: "idea", onclick: () => say(idea) }, idea))),
      ),
    ]);
  }

  drawLive(job, pictures) {
    const { count } = job.recipe;
    // Several are often drawn together, and come at once.
    const which = count > 1 && (pictures.length ? t("{made} of {count}", { made: pictures.length, count }) : tn("{count} picture", "{count} pictures", count));
    setText(this.words, [progressWords(job), which].filter(Boolean).join(" · "));
    this.scene(`live-${job.id}-${job.attempt}`, () => {
      this.shown = null;
      this.canvas = h("img", { class: "picture live", alt: t("The picture as it is being made"), decoding: "async", hidden: true });
      this.blank = h("div", { class: "blank" }, h("div", { class: "waiting" }));
      const frame = h("div", { class: "frame", style: { "--ratio": job.recipe.width / job.recipe.height } }, this.blank, this.canvas);
      this.made = h("div", { class: "made" });
      return [frame, this.made];
    });
    this.showPreview(job);
    const key = pictures.map((picture) => picture.id).join();
    if (this.made.dataset.key !== key) {
      this.made.dataset.key = key;
      this.made.replaceChildren(...pictures.map((picture, index) => this.tile(pictures, picture, index, thumbnail(picture.id))));
    }
  }

  showPreview(job) {
    const wanted = job.preview > 0 ? preview(job) : null;
    if (!wanted || wanted === this.shown || this.loading) return;
    const canvas = this.canvas;
    const next = new Image();
    this.loading = true;
    this.shown = wanted;
    next.src = wanted;
    next
      .decode()
      .then(
        () => {
          canvas.src = wanted;
          canvas.hidden = false;
          this.blank.hidden = true;
        },
        () => {},
      )
      .finally(() => {
        this.loading = false;
        const now = feed.job(job.id);
        if (now?.state === "running" && this.canvas === canvas) this.showPreview(now);
      });
  }

  // The jobs of one request together: a grid of settings as it was asked for, anything else in order.
  drawBatch(jobs) {
    const all = jobs.flatMap((job) => feed.pictures(job) ?? []);
    const cells = jobs[0].recipe.cell ? Math.max(...jobs.map((job) => job.recipe.cell?.[0] ?? 0)) + 1 : 0;
    const left = jobs.filter((job) => !ended(job)).length;
    const still = [tn("{count} picture of this batch", "{count} pictures of this batch", all.length), tn("{count} job left", "{count} jobs left", left)].join(", ");
    setText(this.words, left ? still : tn("{count} picture of {jobs} jobs", "{count} pictures of {jobs} jobs", all.length, { jobs: number(jobs.length) }));
    this.scene(`batch-${all.map((picture) => picture.id).join()}-${jobs.length}`, () => {
      const { width, height } = jobs[0].recipe;
      const columns = cells || Math.max(1, Math.ceil(Math.sqrt(all.length)));
      const grid = h("div", { class: "results batch", style: { "--ratio": width / height, "--columns": columns, "--rows": Math.max(1, Math.ceil(all.length / columns)) } });
      const varied = cells ? VARIED.filter(([key]) => new Set(all.map((picture) => String(picture.recipe[key]))).size > 1) : [];
      const words = (recipe) => varied.map(([key, name]) => `${name} ${nameOf(`${key}s`, recipe[key])}`).join(" · ");
      grid.append(...all.map((picture, index) => this.tile(all, picture, index, thumbnail(picture.id), words(picture.recipe))));
      return [grid];
    });
  }

  drawPictures(job, pictures) {
    this.scene(`done-${job.id}-${pictures.map((picture) => picture.id).join()}`, () => {
      const { width, height } = job.recipe;
      const grid = h("div", { class: "results", style: { "--ratio": width / height } });
      grid.dataset.count = Math.min(pictures.length, 9);
      grid.append(...pictures.map((picture, index) => this.tile(pictures, picture, index, file(picture.id))));
      return [grid];
    });
  }

  drawTrouble(job) {
    this.scene(`trouble-${job.id}-${job.attempt}`, () => [
      h("div", { class: "empty trouble-card" }, icon("warn"), h("h2", {}, job.error.message), h("p", { class: "soft" }, job.error.remedy), h("code", {}, job.error.code)),
    ]);
  }

  tile(pictures, picture, index, source, label = "") {
    const words = t("Picture {number} of {count}, seed {seed}. Open it.", { number: index + 1, count: pictures.length, seed: picture.seed });
    const image = h("img", { class: "picture", src: source, alt: picture.recipe?.prompt ?? "", width: picture.width, height: picture.height, decoding: "async" });
    const open = h("button", { type: "button", class: "tile", "aria-label": words, onclick: () => lookAt(listOf(pictures), index) }, image);
    return h("div", { class: "result" }, open, label ? h("span", { class: "result-label" }, label) : null, acts(picture, index + 1));
  }

  // A scene is drawn once and then only brought up to date.
  scene(key, make) {
    if (this.easel.dataset.scene === key) return;
    this.easel.dataset.scene = key;
    this.easel.replaceChildren(...make());
  }

  async fillStrip() {
    let page;
    try {
      page = await get("images", { limit: STRIP });
    } catch {
      return;
    }
    const items = page.items;
    this.strip.hidden = items.length === 0;
    const known = new Map([...this.strip.children].map((node) => [node.dataset.picture, node]));
    this.strip.replaceChildren(
      ...items.map(
        (picture, index) =>
          known.get(picture.id) ??
          h(
            "li",
            { dataset: { picture: picture.id } },
            h(
              "button",
              { type: "button", class: "tile", "aria-label": t("Open: {prompt}", { prompt: (picture.recipe?.prompt ?? t("picture")).slice(0, 80) }), onclick: () => this.openFromStrip(picture.id) },
              h("img", { src: thumbnail(picture.id), alt: "", loading: index < 12 ? "eager" : "lazy", decoding: "async" }),
            ),
          ),
      ),
    );
    this.stripItems = items;
    this.stripTotal = page.total ?? items.length;
  }

  openFromStrip(id) {
    const at = this.stripItems.findIndex((picture) => picture.id === id);
    lookAt(listOf(this.stripItems), Math.max(0, at));
  }
}

// What can be done with a picture without opening it.
function acts(picture, place) {
  const act = (name, words, run) => iconButton(name, words, run, { "aria-label": t("{action}: picture {number}", { action: words, number: place }) });
  return h(
    "div",
    { class: "result-acts" },
    act("sliders", t("Use these settings"), () => tell("likeness:reuse", picture.id)),
    act("sparkle", t("Make variations"), () => tell("likeness:variations", { id: picture.id })),
    act("picture", t("Start from this picture"), () => tell("likeness:use-image", { id: picture.id })),
    act("reference", t("Use as reference"), () => tell("likeness:use-reference", { id: picture.id })),
    picture.character_id ? act("person", t("Set as portrait"), () => makePortrait(picture)) : null,
  );
}

const tell = (type, detail) => document.dispatchEvent(new CustomEvent(type, { detail }));

export async function makePortrait(picture) {
  try {
    const one = await patch(`characters/${encodeURIComponent(picture.character_id)}`, { portrait: picture.id });
    toast(t("This is {name}'s portrait now", { name: one.name }));
    document.dispatchEvent(new CustomEvent("likeness:characters"));
  } catch (problem) {
    complain(problem);
  }
}

function batchOf(job) {
  const all = [...feed.running, ...feed.queued, ...feed.ended].filter((one) => one.batch_id === job.batch_id);
  return all.sort((one, other) => (one.id < other.id ? -1 : 1));
}

const calm = () => (matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth");

export const listOf = (pictures) => ({ total: pictures.length, at: async (index) => pictures[index] ?? null, countWords: tn("{count} picture", "{count} pictures", pictures.length) });

customElements.define("likeness-stage", Stage);
