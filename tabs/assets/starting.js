// What a picture starts from: a picture of the library or the disk, a mask painted on it, and references that each make their own.

import { file, get, patch, post, send, thumbnail } from "./api.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { CaptionProgress, writeCaptions } from "./captioning.js";
import { Field, presetsAndStyles } from "./fields.js";
import { showTab } from "./header.js";
import { number, t, tn } from "./language.js";
import { paintMask } from "./mask.js";
import { complain, toast } from "./toast.js";

const VARIATION = 0.6;
let asked = 0;
const PAGE = 200;
const MOST_REFERENCES = 100;

class Source extends Field {
  static whole = true;
  static holds = true;
  role_ = "group";

  ready() {
    this.addEventListener("dragover", (event) => event.preventDefault());
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      const [dropped] = event.dataTransfer.files;
      if (dropped) this.upload(dropped);
    });
  }

  draw(changed) {
    if (changed === "items") return;
    const key = JSON.stringify([this.value?.image, this.value?.mask]);
    if (key !== this.drawn) {
      this.drawn = key;
      this.body.replaceChildren(...(this.value?.image ? this.chosen() : this.nothing()));
      this.told = null;
      this.dispatchEvent(new CustomEvent("likeness:drawn", { bubbles: true }));
    }
    this.tell();
    this.follow();
    if (this.value?.image) this.known();
  }

  // What is known of the picture comes later than its buttons, and never takes one away from under a finger.
  tell() {
    if (!this.value?.image) return;
    const mine = this.picture?.id === this.value.image ? this.picture : null;
    const key = JSON.stringify([mine?.id, this.value.real_person]);
    if (key === this.told) return;
    this.told = key;
    const words = this.value.mask ? h("p", { class: "soft small" }, keptWords(mine)) : null;
    const real = mine && mine.kind !== "generated" && !mine.character_id ? askReal(t("Does it show a real person?"), this.value, (more) => this.change(more)) : null;
    const answering = this.facts.contains(document.activeElement);
    this.facts.replaceChildren(...[words, real].filter(Boolean));
    if (answering) this.facts.querySelector("input:checked")?.focus();
  }

  nothing() {
    const choose = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp", "aria-label": t("Choose a picture to start from"), onchange: () => choose.files[0] && this.upload(choose.files[0]) });
    const gallery = h("button", { type: "button", class: "quiet", "data-tip": t("Open a picture there and choose “Start from this”"), onclick: () => showTab("gallery") }, t("From the gallery"));
    return [h("label", { class: "drop" }, choose, icon("picture"), h("span", {}, t("Drop a picture here, or choose one"))), gallery];
  }

  chosen() {
    const image = h("img", { src: thumbnail(this.value.image), alt: t("The picture to start from") });
    this.amount = h("input", { type: "range", min: 0.05, max: 1, step: 0.05, "aria-label": t("How much is drawn anew"), "data-tip": t("Low keeps the picture, high keeps only its idea."), oninput: () => this.change({ denoise: Number(this.amount.value) }) });
    this.amountWords = h("output");
    const paint = h("button", { type: "button", class: "button", "data-tip": t("Only what you paint over is drawn anew; the rest stays as it is, pixel for pixel"), onclick: () => this.paint() }, this.value.mask ? t("Change the mask") : t("Paint a mask"));
    this.facts = h("div", { class: "source-facts" });
    return [
      h("div", { class: "source" }, image, iconButton("close", t("Start from nothing again"), () => this.clear())),
      h("div", { class: "source-side" },
        h("label", { class: "amount" }, h("span", {}, t("Drawn anew")), this.amount, this.amountWords),
        h("div", { class: "row-of-buttons" }, paint, this.value.mask ? h("button", { type: "button", class: "quiet", "data-tip": t("Draw the whole picture anew again"), onclick: () => this.change({ mask: null }) }, t("No mask")) : null),
        this.facts,
      ),
    ];
  }

  follow() {
    if (!this.amount || !this.value) return;
    follow(this.amount, this.amountWords, this.value.denoise ?? (this.value.mask ? 1 : VARIATION));
  }

  change(more) {
    this.pick({ ...this.value, ...more });
    this.draw();
  }

  clear() {
    this.picture = null;
    this.pick(null);
    this.draw();
  }

  use(id) {
    this.picture = null;
    this.pick({ image: id });
    this.draw();
  }

  // The picture's row, asked for once; null where it is gone or another one was chosen meanwhile.
  async known() {
    const id = this.value?.image;
    if (this.picture?.id === id) return this.picture;
    if (this.asking?.id !== id) this.asking = { id, answer: this.look(id) };
    return this.asking.answer;
  }

  async look(id) {
    let found = null;
    let fault = null;
    try {
      found = await get(`images/${encodeURIComponent(id)}`);
    } catch (problem) {
      fault = problem;
    }
    this.asking = null;
    if (this.value?.image !== id) return null;
    if (fault) {
      complain(fault);
      this.clear();
      return null;
    }
    this.picture = found;
    this.draw();
    return found;
  }

  async upload(chosen) {
    setText(this.note, t("Sending …"));
    try {
      this.picture = await sendFile(chosen);
      this.pick({ image: this.picture.id });
      this.draw();
    } catch (problem) {
      complain(problem);
    } finally {
      setText(this.note, "");
    }
  }

  async paint() {
    const picture = await this.known();
    if (!picture) return;
    const painted = await paintMask(file(picture.id), picture.width, picture.height, this.value.mask ? file(this.value.mask) : null);
    if (!painted) return;
    try {
      const mask = await sendFile(new File([painted], "mask.png", { type: "image/png" }), { kind: "mask" });
      this.change({ mask: mask.id });
    } catch (problem) {
      complain(problem);
    }
  }
}

function follow(range, words, amount) {
  range.value = amount;
  setText(words, `${Math.round(amount * 100)} %`);
}

// Width and height are under More settings; the shape is for whole pictures.
function keptWords(picture) {
  if (!picture) return t("Only the painted part is drawn anew. The picture keeps its size; a width and height that you type change it.");
  return t("Only the painted part is drawn anew. The picture keeps its size of {width} × {height} pixels; a width and height that you type change it.", { width: picture.width, height: picture.height });
}

// Asked of every picture that came from outside; a real person must have agreed.
export function askReal(question, said, change) {
  const name = `real-${++asked}`;
  const option = (words, value) => {
    const input = h("input", { type: "radio", name, onchange: () => change({ real_person: value }) });
    input.checked = said.real_person === value;
    return h("label", { class: "inline" }, input, words);
  };
  const agreed = { who: "", what_for: "", ...said.consent };
  const line = (label, part) => {
    const write = (event) => {
      agreed[part] = event.target.value;
      change({ consent: agreed.who.trim() && agreed.what_for.trim() ? { ...agreed } : null });
    };
    return h("label", {}, label, h("input", { type: "text", value: agreed[part], maxlength: 400, oninput: write }));
  };
  const consent = said.real_person ? h("div", { class: "consent-line" }, line(t("Who is it?"), "who"), line(t("What did they agree to?"), "what_for")) : null;
  return h("fieldset", { class: "ask-real" }, h("legend", {}, question), option(t("No"), false), option(t("Yes"), true), consent);
}

// The reference library: chosen ones stand under the field, all of them in a dialog of their own.
class References extends Field {
  static whole = true;
  static holds = true;
  role_ = "group";
  known = new Map();

  ready() {
    const form = this.closest("#form");
    for (const event of ["pick", "likeness:drawn"]) form?.addEventListener(event, ({ target }) => target !== this && target.matches("likeness-source") && this.draw());
  }

  draw(changed) {
    if (changed === "items") return;
    const ids = this.value?.ids ?? [];
    const beside = Boolean(document.querySelector("likeness-source")?.value?.image);
    const key = JSON.stringify([ids, this.value?.real_person, beside]);
    if (key === this.drawn) return this.follow();
    this.drawn = key;
    const thumbs = ids.slice(0, 8).map((id) => h("img", { class: "ref-thumb", src: thumbnail(id), alt: this.known.get(id)?.caption || t("Reference"), loading: "lazy" }));
    const rest = ids.length > 8 ? [h("span", { class: "soft" }, `+ ${ids.length - 8}`)] : [];
    const open = h("button", { type: "button", class: "button", "data-tip": t("Open your library of poses, places and outfits"), onclick: () => this.open() }, ids.length ? t("Change") : t("Choose references"));
    const clear = ids.length ? [h("button", { type: "button", class: "quiet", "data-tip": t("Take all references out; they stay in the library"), onclick: () => this.choose([]) }, tn("{count} selected · clear all", "{count} selected · clear all", ids.length))] : [];
    const about = !ids.length ? null : beside ? t("The pictures start from the picture above; each of these makes one, and gives its caption.") : tn("The picture starts from it and takes its caption.", "Each of them is the start of a picture of its own, with its own caption.", ids.length);
    const question = ids.length && !beside ? askReal(t("Do they show real people?"), this.value, (more) => this.change(more)) : null;
    this.amount = ids.length && !beside ? h("input", { type: "range", min: 0.05, max: 1, step: 0.05, "aria-label": t("How much is drawn anew"), "data-tip": t("Low keeps the picture, high keeps only its idea."), oninput: () => this.change({ denoise: Number(this.amount.value) }) }) : null;
    this.amountWords = h("output");
    const amount = this.amount && h("label", { class: "amount" }, h("span", {}, t("Drawn anew")), this.amount, this.amountWords);
    const words = about && h("p", { class: "soft small" }, about);
    this.body.replaceChildren(...[h("div", { class: "ref-row" }, ...thumbs, ...rest), h("div", { class: "row-of-buttons" }, open, ...clear), words, amount, question].filter(Boolean));
    this.follow();
  }

  follow() {
    if (this.amount) follow(this.amount, this.amountWords, this.value.denoise ?? VARIATION);
  }

  choose(ids) {
    this.change({ ids });
  }

  use(id) {
    const ids = [...new Set([...(this.value?.ids ?? []), id])];
    if (ids.length > MOST_REFERENCES) toast(tooMany(ids.length), { kind: "warn", detail: t("Take one out before you add another.") });
    else this.choose(ids);
  }

  change(more) {
    const next = { ...this.value, ...more };
    this.pick(next.ids?.length ? next : null);
    this.draw();
  }

  async open() {
    const chosen = new Set(this.value?.ids ?? []);
    const grid = h("div", { class: "ref-grid", role: "group", "aria-label": t("References") });
    const words = h("button", { type: "button", class: "quiet", "data-tip": t("Untick all of them"), onclick: () => (chosen.clear(), show()) });
    const category = h("select", { "aria-label": t("Category"), "data-tip": t("Show the references of one category"), onchange: () => load() }, h("option", { value: "" }, t("Every category")));
    const adding = h("input", { type: "file", multiple: true, accept: "image/png,image/jpeg,image/webp", onchange: () => add([...adding.files]) });
    const folder = h("input", { type: "file", webkitdirectory: true, onchange: () => add([...folder.files].filter((one) => one.type.startsWith("image/"))) });
    const state = h("p", { class: "soft", role: "status" });
    const writing = new CaptionProgress(() => dialog.open && load());
    const write = h("button", { type: "button", class: "button", "data-tip": t("A vision model describes the chosen ones, or all that are shown"), onclick: () => writeCaptions({ references: true, category: category.value, ...(chosen.size ? { pictures: [...chosen] } : {}) }, done(false)).then((job) => job && writing.begun(job)) }, t("Write captions …"));
    const done = (keep) => () => {
      if (keep && chosen.size > MOST_REFERENCES) return;
      if (keep) this.choose([...chosen]);
      dialog.close();
    };
    const more = h("button", { type: "button", class: "button ref-more", hidden: true, "data-tip": t("The next older ones"), onclick: () => load(true) }, t("Show more"));
    const most = h("p", { class: "ref-most", id: "references-most", role: "status", hidden: true });
    const useThese = h("button", { type: "button", class: "button primary", "data-tip": t("Each of them makes pictures of its own"), onclick: done(true) }, t("Use these"));
    let next = null;
    const dialog = h("dialog", { class: "library-dialog", "aria-labelledby": "references-title", onclose: (event) => event.target === dialog && (writing.follow(null), dialog.remove()) },
      h("div", { class: "panel-head" }, h("h2", { id: "references-title" }, t("References")), category, h("label", { class: "button", "data-tip": t("PNG, JPEG or WebP from this device; they are chosen at once") }, adding, t("Add pictures")), h("label", { class: "button", "data-tip": t("Every picture of a folder; they are chosen at once") }, folder, t("Add a folder")), write, iconButton("close", t("Close"), done(false))),
      writing.node,
      state,
      h("div", { class: "ref-scroll" }, grid, more),
      most,
      h("div", { class: "ask-acts" }, words, h("button", { type: "button", class: "button", "data-tip": t("Leave the choice as it was"), onclick: done(false) }, t("Cancel")), useThese),
    );
    const show = () => {
      setText(words, tn("{count} selected · clear all", "{count} selected · clear all", chosen.size));
      toggle(words, "hidden", !chosen.size);
      // More than one order takes is said here, before anything is left out.
      const over = chosen.size > MOST_REFERENCES;
      toggle(most, "hidden", !over);
      setText(most, over ? `${tooMany(chosen.size)} ${t("Take some out.")}` : "");
      useThese.setAttribute("aria-disabled", over);
      if (over) useThese.setAttribute("aria-describedby", most.id);
      else useThese.removeAttribute("aria-describedby");
      for (const card of grid.children) card.querySelector("input[type=checkbox]").checked = chosen.has(card.dataset.id);
    };
    const card = (picture) => {
      this.known.set(picture.id, picture);
      const tick = h("input", { type: "checkbox", "aria-label": picture.caption || picture.name || t("Reference"), "data-tip": t("Choose it, or take it out"), onchange: () => (tick.checked ? chosen.add(picture.id) : chosen.delete(picture.id), show()) });
      const change = async (what) => {
        try {
          this.known.set(picture.id, await patchImage(picture.id, what));
        } catch (problem) {
          complain(problem);
        }
      };
      const caption = h("input", { type: "text", value: picture.caption, placeholder: t("What it shows"), "data-tip": t("Its caption: jobs take it into their prompt"), "aria-label": picture.name ? t("Caption of {name}", { name: picture.name }) : t("Caption of this reference"), onchange: () => change({ caption: caption.value }) });
      const kind = h("input", { type: "text", value: picture.category, placeholder: t("Category"), "data-tip": t("Poses, places, outfits or a word of your own; the list above shows one category alone"), maxlength: 60, list: "reference-categories", "aria-label": picture.name ? t("Category of {name}", { name: picture.name }) : t("Category of this reference"), onchange: () => change({ category: kind.value }) });
      return h("div", { class: "ref-card", dataset: { id: picture.id } }, h("label", {}, tick, h("img", { src: thumbnail(picture.id), alt: "", loading: "lazy" })), caption, kind);
    };
    let turn = 0;
    const load = async (onward = false) => {
      const mine = ++turn;
      try {
        const found = await get("images", { kind: "reference", category: category.value, limit: PAGE, ...(onward === true ? { cursor: next } : {}) });
        if (onward === true) {
          if (mine !== turn) return;
          const there = new Set([...grid.children].map((one) => one.dataset.id));
          const fresh = found.items.filter((one) => !there.has(one.id)).map(card);
          grid.append(...fresh);
          fresh[0]?.querySelector("input")?.focus();
        } else {
          // What was chosen elsewhere stands here too, to be taken out again.
          const missing = category.value ? [] : [...chosen].filter((id) => found.items.every((one) => one.id !== id));
          const others = (await Promise.all(missing.slice(0, PAGE).map((id) => this.known.get(id) ?? get(`images/${encodeURIComponent(id)}`).catch(() => null)))).filter(Boolean);
          // An answer that a newer question overtook is not shown.
          if (mine !== turn) return;
          found.items = [...others, ...found.items];
          grid.replaceChildren(...found.items.map(card));
        }
        next = found.next;
        toggle(more, "hidden", !next);
        setText(state, found.items.length ? "" : t("No references yet. Add pictures of poses, places or outfits; give each a caption, and jobs take it into their prompt."));
        const names = [...new Set([...category.options].map((one) => one.value).concat(found.items.map((one) => one.category)))].filter(Boolean).sort();
        const now = category.value;
        category.replaceChildren(h("option", { value: "" }, t("Every category")), ...names.map((name) => h("option", { value: name }, name)));
        category.value = now;
        dialog.querySelector("datalist")?.remove();
        dialog.append(h("datalist", { id: "reference-categories" }, ...[t("Poses"), t("Places"), t("Outfits"), ...names].map((name) => h("option", { value: name }))));
        show();
      } catch (problem) {
        complain(problem);
      }
    };
    const add = async (files) => {
      let count = 0;
      for (const one of files) {
        setText(state, t("Taking in {number} of {count} …", { number: ++count, count: files.length }));
        try {
          const kept = await sendFile(one, { kind: "reference", category: category.value });
          this.known.set(kept.id, kept);
          chosen.add(kept.id);
        } catch (problem) {
          toast(`${one.name}: ${problem.message}`, { kind: "warn", detail: problem.remedy });
        }
      }
      await load();
    };
    document.body.append(dialog);
    dialog.showModal();
    writing.follow({ references: true });
    await load();
  }
}

const tooMany = (count) => tn("{count} is chosen; {most} at most go into one order.", "{count} are chosen; {most} at most go into one order.", count, { most: number(MOST_REFERENCES) });

export function sendFile(one, query = {}) {
  const form = new FormData();
  form.append("file", one, one.name);
  return send(`images?${new URLSearchParams(query)}`, form);
}

const patchImage = (id, change) => patch(`images/${encodeURIComponent(id)}`, change);

// A picture that was chosen anywhere on the page. The field is there only once its part of the form was opened.
for (const [type, name] of [["likeness:use-image", "likeness-source"], ["likeness:use-reference", "likeness-references"]]) {
  document.addEventListener(type, async (event) => {
    showTab("generate");
    openStarting();
    for (let tries = 0; tries < 100; tries++) {
      const field = document.querySelector(name);
      // Only once it was told its value is anybody listening to what it says.
      if (field?.body && field.hasAttribute("value")) {
        field.use(event.detail.id);
        field.scrollIntoView({ block: "nearest" });
        return;
      }
      await new Promise((next) => setTimeout(next, 30));
    }
  });
}

// Other takes on a picture: its own prompt and settings, drawn from itself with new seeds.
document.addEventListener("likeness:variations", async (event) => {
  try {
    const picture = await get(`images/${encodeURIComponent(event.detail.id)}`);
    const { recipe, id } = picture;
    if (!recipe) return toast(t("This picture was not made here"), { kind: "warn", detail: t("Start from it instead, and say what it should become.") });
    const kept = Object.fromEntries(["prompt", "negative_prompt", "model", "loras", "width", "height", "steps", "cfg", "sampler", "scheduler", "character"].map((name) => [name, recipe[name]]));
    // What was painted stays painted: such a picture may be larger than any model draws as a whole.
    if (recipe.mask) Object.assign(kept, await sameMask(recipe.mask, picture));
    // A style that is gone would be refused; its words are in the prompt anyway.
    const styles = await presetsAndStyles().catch(() => []);
    if (styles.some((one) => one.id === recipe.style)) kept.style = recipe.style;
    await post("generate", { ...kept, preset: "none", as_written: true, wildcards: false, image: id, denoise: VARIATION, count: 4 });
    showTab("generate");
    document.dispatchEvent(new CustomEvent("likeness:accepted"));
    toast(t("4 variations on the way"), { ms: 2500 });
  } catch (problem) {
    complain(problem);
  }
});

async function sameMask(id, picture) {
  const mask = await get(`images/${encodeURIComponent(id)}`);
  return mask.width === picture.width && mask.height === picture.height ? { mask: id, width: null, height: null } : {};
}

export function openStarting() {
  const button = document.querySelector("#starting button.label-wrap");
  if (button && !button.classList.contains("open")) button.click();
  return Boolean(button);
}

customElements.define("likeness-source", Source);
customElements.define("likeness-references", References);
