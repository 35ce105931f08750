// The lightbox: one picture, large, with everything that made it.

import { file, get, patch, post } from "./api.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { enlarge } from "./enlarge.js";
import { feed } from "./feed.js";
import { showTab } from "./header.js";
import { day, known, number, t, tn } from "./language.js";
import { favour } from "./library.js";
import { complain, place, toast } from "./toast.js";
import { bytes, duration, knowsNames, learnMore, learnNames, moment, nameOf } from "./words.js";

let viewer = null;
const TONES = { reinhard: t("Reinhard") };
// Longer than it takes to open the next one.
const BACK_MS = 150;

// `list` is {total, at(index) -> picture or null}; one that changes also has find(id) -> index or -1, left(id), and calls `changed`
// when it did. Resolves with the index that was shown last.
export function lookAt(list, index) {
  viewer ??= new Viewer();
  return viewer.open(list, index);
}

class Viewer {
  constructor() {
    this.image = h("img", { class: "picture", alt: "" });
    this.image.addEventListener("load", () => this.frame.removeAttribute("data-loading"));
    this.frame = h("div", { class: "viewer-frame" }, this.image);
    this.back = iconButton("left", t("Previous picture (←)"), () => this.step(-1), { class: "icon-button viewer-step back" });
    this.next = iconButton("right", t("Next picture (→)"), () => this.step(1), { class: "icon-button viewer-step next" });
    this.count = h("p", { class: "soft viewer-count" });
    this.heart = iconButton("heart", t("Favourite (F)"), () => this.favour(), { class: "icon-button viewer-heart", "aria-pressed": "false", "aria-keyshortcuts": "F" });
    document.addEventListener("likeness:picture-changed", (event) => this.changed(event.detail));
    this.sheet = h("div", { class: "viewer-facts" });
    this.acts = h("div", { class: "viewer-acts" });
    this.dialog = h(
      "dialog",
      { class: "viewer", "aria-label": t("Picture"), onclose: () => this.closed() },
      h("div", { class: "viewer-stage" }, this.back, this.frame, this.next),
      h(
        "aside",
        { class: "viewer-side", "aria-label": t("Parameters") },
        h("div", { class: "panel-head" }, this.count, this.heart, iconButton("close", t("Close (Esc)"), () => this.dialog.close(), { autofocus: true })),
        this.sheet,
        this.acts,
      ),
    );
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
    this.dialog.addEventListener("click", (event) => event.target.classList.contains("viewer-stage") && this.dialog.close());
    this.swipes();
    addEventListener("popstate", () => this.dialog.open && history.state?.likeness !== "viewer" && this.dialog.close());
    document.body.append(this.dialog);
  }

  open(list, index) {
    // Another list in the place of the one that was looked at: who opened that one is told.
    this.resolve?.(this.index);
    Object.assign(this, { list, index, wanted: null });
    list.changed = () => this.relist();
    if (!this.dialog.open) this.dialog.showModal();
    // The way back leads out of the large picture, not out of the tab.
    if (history.state?.likeness !== "viewer") history.pushState({ likeness: "viewer" }, "");
    document.documentElement.toggleAttribute("data-still", true);
    place();
    this.show();
    return new Promise((resolve) => (this.resolve = resolve));
  }

  closed() {
    document.documentElement.toggleAttribute("data-still", false);
    place();
    this.resolve?.(this.index);
    this.resolve = null;
    // The step that was made for the way back goes too, unless another picture was opened at once.
    setTimeout(() => !this.dialog.open && history.state?.likeness === "viewer" && history.back(), BACK_MS);
  }

  // Closed for another place: the way back leads to the tab that the picture was looked at on.
  leave() {
    if (history.state?.likeness === "viewer") history.replaceState(null, "");
    this.dialog.close();
  }

  onKey(event) {
    if (event.target.matches("input, textarea")) return;
    const act = {
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
      Home: () => this.go(0),
      End: () => this.go(this.list.total - 1),
      f: () => this.favour(),
      F: () => this.favour(),
      Delete: () => this.picture && !this.picture.trashed_at && this.trash(),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  swipes() {
    let from = null;
    this.frame.addEventListener("touchstart", (event) => (from = event.touches.length === 1 ? event.touches[0] : null), { passive: true });
    this.frame.addEventListener("touchend", (event) => {
      if (!from) return;
      const [to] = event.changedTouches;
      const across = to.clientX - from.clientX;
      if (Math.abs(across) > 50 && Math.abs(across) > 2 * Math.abs(to.clientY - from.clientY)) this.step(across < 0 ? 1 : -1);
      from = null;
    });
  }

  step(by) {
    this.go(this.index + by);
  }

  go(index) {
    const at = Math.max(0, Math.min(this.list.total - 1, index));
    if (at === this.index) return;
    this.index = at;
    this.show();
  }

  async show() {
    const index = this.index;
    const picture = await this.list.at(index);
    if (index !== this.index || !this.dialog.open) return;
    if (!picture) {
      this.dialog.close();
      return;
    }
    this.picture = picture;
    this.frame.dataset.loading = "";
    this.frame.style.setProperty("--ratio", picture.width / picture.height);
    this.image.width = picture.width;
    this.image.height = picture.height;
    this.image.src = file(picture.id);
    this.image.alt = picture.recipe?.prompt || picture.caption || picture.name || t("Uploaded picture");
    this.place();
    this.showHeart();
    this.sheet.replaceChildren(...facts(picture));
    this.drawActs();
    for (const near of [index + 1, index - 1]) this.fetchAhead(near);
    this.addNames(picture);
  }

  place() {
    const { index } = this;
    const { total } = this.list;
    setText(this.count, total > 1 ? t("{number} of {count}", { number: number(index + 1), count: number(total) }) : "");
    // A disabled button would drop the focus it has.
    for (const [button, end] of [[this.back, index <= 0], [this.next, index >= total - 1]]) button.toggleAttribute("data-end", end);
  }

  // The list moved under the picture that is shown: pictures came, went, or came back.
  relist() {
    if (!this.dialog.open || !this.picture) return;
    const back = this.wanted === null ? -1 : this.list.find(this.wanted);
    if (back >= 0) {
      Object.assign(this, { index: back, wanted: null });
      this.show();
      return;
    }
    const at = this.list.find(this.picture.id);
    if (at >= 0) this.index = at;
    this.place();
  }

  async fetchAhead(index) {
    if (index < 0 || index >= this.list.total) return;
    const picture = await this.list.at(index);
    if (picture) new Image().src = file(picture.id);
  }

  // Presets, styles and models are shown by the names they have today.
  async addNames(picture) {
    const kinds = { preset: "presets", style: "presets", model: "models" };
    for (const [field, kind] of Object.entries(kinds)) {
      const id = picture.recipe?.[field];
      if (!id) continue;
      if (nameOf(kind, id) === id) {
        const found = await get(kind).catch(() => null);
        if (found) learnNames({ [kind]: Object.fromEntries(found.items.map((item) => [item.id, item.name])) });
      }
      const shown = this.picture?.id === picture.id && this.sheet.querySelector(`[data-fact=${field}]`);
      if (shown) setText(shown, nameOf(kind, id));
    }
    this.addWorkflow(picture);
    const whose = picture.character_id;
    if (!whose) return;
    // A picture that was made keeps the consent it was made with; of a photo, the character's own holds.
    let consent = null;
    if (nameOf("characters", whose) === whose || !picture.recipe) {
      const found = await get(`characters/${encodeURIComponent(whose)}`).catch(() => null);
      if (found) learnMore("characters", { [whose]: found.name });
      consent = found?.consent ?? null;
    }
    if (this.picture?.id !== picture.id) return;
    const shown = this.sheet.querySelector("[data-fact=character]");
    setText(shown, nameOf("characters", whose));
    if (!picture.recipe && consent) shown.after(...fact([t("Consent"), consentWords(consent), "consent"]));
  }

  // A workflow and what can be set in it are called as they are today; one that is gone keeps its id.
  async addWorkflow({ id, recipe }) {
    const workflow = recipe?.workflow;
    if (!workflow) return;
    // Its name alone may be known from the menus.
    if (!knowsNames(`set in ${workflow}`)) {
      const found = await get(`workflows/${encodeURIComponent(workflow)}`).catch(() => null);
      if (!found) return;
      learnMore("workflows", { [workflow]: found.name });
      learnMore(`set in ${workflow}`, Object.fromEntries(found.parameters.map((one) => [one.name, known(one.label)])));
    }
    if (this.picture?.id !== id) return;
    setText(this.sheet.querySelector("[data-fact=workflow]"), nameOf("workflows", workflow));
    for (const node of this.sheet.querySelectorAll("[data-value]")) setText(node, nameOf(`set in ${workflow}`, node.dataset.value));
  }

  drawActs() {
    const { picture } = this;
    const button = (name, words, act, extra = "", more = {}) => h("button", { type: "button", class: `button ${extra}`, onclick: act, ...more }, icon(name), words);
    const inTrash = Boolean(picture.trashed_at);
    // The buttons keep their places, so that a key pressed twice does the same thing twice.
    const about = (words) => ({ "data-tip": words });
    toggle(this.acts, "data-primary", picture.recipe); // for the last button's place; a rule with :has() and :nth-child() is asked anew at every change of the page
    this.acts.replaceChildren(
      picture.recipe ? button("sliders", t("Use these settings"), () => this.reuse(), "primary", about(t("Fill the form with everything that made this picture"))) : "",
      inTrash ? "" : button("picture", t("Start from this"), () => this.hand("likeness:use-image"), "", { "aria-label": t("Start from this picture"), "data-tip": t("The next picture keeps its composition") }),
      inTrash ? "" : button("reference", t("Use as reference"), () => this.hand("likeness:use-reference"), "", about(t("Add it to the references: each makes pictures of its own"))),
      picture.recipe && !inTrash ? button("variations", t("Make variations"), () => this.hand("likeness:variations"), "", about(t("The same words and settings, with other seeds"))) : "",
      inTrash ? "" : button("enlarge", t("Enlarge …"), () => enlarge([picture.id], () => this.dialog.close()), "", about(t("Upscale it, or draw it again with more detail"))),
      picture.character_id && !inTrash ? button("person", t("Set as portrait"), () => this.portray(), "", about(t("Show this picture wherever the character is shown"))) : "",
      h("a", { class: "button", href: file(picture.id, true), download: "", ...about(t("Save the PNG, with all parameters inside")) }, icon("download"), t("Download")),
      picture.recipe ? button("copy", t("Copy"), () => this.copy(), "", { "aria-label": t("Copy parameters"), "data-tip": t("All parameters as text, as other programs read them") }) : "",
      inTrash ? button("restore", t("Restore"), () => this.restore()) : button("trash", t("To trash"), () => this.trash(), "danger", about(t("It waits in the trash until you empty it (Del)"))),
    );
  }

  // The Generate tab takes the picture from here.
  hand(event) {
    this.leave();
    document.dispatchEvent(new CustomEvent(event, { detail: { id: this.picture.id } }));
    showTab("generate");
  }

  async portray() {
    const { picture } = this;
    try {
      const { name } = await patch(`characters/${encodeURIComponent(picture.character_id)}`, { portrait: picture.id });
      document.dispatchEvent(new CustomEvent("likeness:character-changed", { detail: { id: picture.character_id } }));
      toast(t("This is {name}'s portrait now", { name }), { ms: 3000 });
    } catch (problem) {
      complain(problem);
    }
  }

  async favour() {
    if (this.picture) await favour([this.picture.id], !this.picture.favourite);
  }

  changed({ ids, change }) {
    if (!this.picture || !ids.includes(this.picture.id)) return;
    this.picture = { ...this.picture, ...change };
    this.showHeart();
  }

  showHeart() {
    const on = this.picture.favourite;
    this.heart.setAttribute("aria-pressed", on);
    this.heart.dataset.tip = on ? t("A favourite; press F to take that back") : t("Make it a favourite (F)");
  }

  reuse() {
    this.leave();
    document.dispatchEvent(new CustomEvent("likeness:reuse", { detail: this.picture.id }));
  }

  async copy() {
    try {
      const { infotext } = await get(`images/${encodeURIComponent(this.picture.id)}/metadata`);
      await copyText(infotext, this.dialog);
      toast(t("Parameters copied"), { ms: 2500 });
    } catch (problem) {
      complain(problem);
    }
  }

  async trash() {
    const { picture } = this;
    const undone = () => (this.wanted = picture.id);
    if (await toTrash([picture.id], undone)) this.after(picture);
  }

  async restore() {
    const { picture } = this;
    if (await fromTrash([picture.id])) this.after(picture);
  }

  // The picture left the list that is being looked at: its neighbour takes its place.
  after(picture) {
    if (this.list.left) {
      this.list.left(picture.id);
      if (this.list.total === 0) return this.dialog.close();
      this.index = Math.min(this.index, this.list.total - 1);
      return this.show();
    }
    if (this.index < this.list.total - 1) return this.step(1);
    return this.dialog.close();
  }
}

export async function toTrash(ids, undone = () => {}) {
  try {
    const { count } = await post("images/trash", { ids });
    feed.forgetPictures();
    toast(tn("{count} picture moved to the trash", "{count} pictures moved to the trash", count), { action: t("Undo"), act: () => (undone(), fromTrash(ids, (back) => tn("{count} picture back in the gallery", "{count} pictures back in the gallery", back))), ms: 10_000 });
    return true;
  } catch (problem) {
    complain(problem);
    return false;
  }
}

const restored = (count) => tn("{count} picture restored", "{count} pictures restored", count);

export async function fromTrash(ids, words = restored) {
  try {
    const { count } = await post("images/restore", { ids });
    feed.forgetPictures();
    toast(words(count), { ms: 3000 });
    return true;
  } catch (problem) {
    complain(problem);
    return false;
  }
}

function facts(picture) {
  const { recipe } = picture;
  const text = (label, words) =>
    words ? h("section", {}, h("h3", {}, label), h("p", { class: "words", tabindex: "0", "aria-label": `${label}: ${words}` }, words)) : null;
  const short = (hash) => hash?.slice(0, 12);
  const toned = recipe && recipe.tone !== "none";
  const setName = (name) => h("span", { dataset: { value: name } }, nameOf(`set in ${recipe.workflow}`, name));
  const rows = [
    [t("Character"), nameOf("characters", picture.character_id), "character"],
    [t("Seed"), picture.seed === null ? null : seedWords(picture.seed), "seed"],
    [t("Size"), `${picture.width} × ${picture.height}`],
    [t("Preset"), nameOf("presets", recipe?.preset), "preset"],
    [t("Style"), recipe?.style === recipe?.preset ? null : nameOf("presets", recipe?.style), "style"],
    [t("Model"), nameOf("models", recipe?.model), "model"],
    [t("Engine"), recipe?.engine],
    [t("Sampler"), nameOf("samplers", recipe?.sampler)],
    [t("Scheduler"), nameOf("schedulers", recipe?.scheduler)],
    [t("Steps"), recipe?.steps],
    [t("CFG scale"), recipe?.cfg],
    [t("Denoise"), recipe?.denoise],
    [t("LoRAs"), recipe?.loras.map((use) => `${use.path} × ${use.strength}`).join(", ")],
    [t("Face variant"), recipe?.face && `${recipe.face.variant} × ${recipe.face.lora.strength}`, "face"],
    [t("Face drawn anew"), recipe?.face && `${Math.round(recipe.face.denoise * 100)} %`],
    [t("Film grain"), recipe?.grain || null, "grain"],
    [t("Tone mapping"), toned && (TONES[recipe.tone] ?? recipe.tone), "tone"],
    [t("Tone strength"), toned && recipe.tone_strength],
    [t("Workflow"), recipe?.workflow && nameOf("workflows", recipe.workflow), "workflow"],
    ...Object.entries(recipe?.values ?? {}).map(([name, value]) => [setName(name), value === true ? t("On") : value === false ? t("Off") : value]),
    ...Object.entries(recipe?.pictures ?? {}).map(([name, id]) => [setName(name), opener(id)]),
    [t("Enlarged from"), recipe?.parent && opener(recipe.parent)],
    [t("Made from picture"), recipe?.image && recipe.image !== recipe.parent ? opener(recipe.image) : null],
    [t("Mask"), recipe?.mask && opener(recipe.mask)],
    [t("Reference"), recipe?.reference && opener(recipe.reference)],
    [t("Real person"), picture.real_person || recipe?.real_person ? t("Yes") : null, "real"],
    [t("Consent"), recipe?.consent && consentWords(recipe.consent), "consent"],
    [t("Cell of its grid"), recipe?.cell && t("column {column}, row {row}", { column: recipe.cell[0] + 1, row: recipe.cell[1] + 1 })],
    [t("Category"), picture.category],
    [t("Kind"), recipe ? null : KINDS[picture.kind]],
    [t("Own name"), picture.name],
    [t("Made in"), picture.duration_s === null ? null : picture.duration_s < 1 ? t("{count} ms", { count: Math.round(picture.duration_s * 1000) }) : duration(picture.duration_s)],
    [t("Created"), moment(picture.created_at)],
    [t("In the trash since"), picture.trashed_at && moment(picture.trashed_at)],
    [t("File"), bytes(picture.bytes)],
    [t("Model hash"), short(picture.model_hash) || (recipe && t("unknown: its server does not tell")), "", picture.model_hash],
    ...Object.entries(picture.lora_hashes ?? {}).map(([path, hash]) => [t("Hash of {file}", { file: path }), short(hash), "", hash]),
    [t("SHA-256"), short(picture.sha256), "", picture.sha256],
    [t("Id"), picture.id],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return [
    text(t("Prompt"), recipe?.prompt),
    text(t("Negative prompt"), recipe?.negative_prompt),
    text(t("Caption"), picture.caption),
    h(
      "dl",
      {},
      ...rows.flatMap(fact),
    ),
  ].filter(Boolean);
}

const fact = ([label, value, name, whole]) => [
  h("dt", {}, label),
  h("dd", { ...(name ? { "data-fact": name } : {}), ...(whole ? { "data-tip": whole, class: "hash" } : {}) }, value instanceof Node ? value : String(value)),
];

// Who agreed to what, and until when.
function consentWords({ who, what_for, until, evidence }) {
  const said = `${who}: ${what_for}`;
  const ends = until && t("until {day}", { day: day(new Date(`${until}T00:00`)) });
  return [said, ends, evidence].filter(Boolean).join(" · ");
}

// The seed alone for the next picture; everything else in the form stays.
function seedWords(seed) {
  const use = () => {
    document.dispatchEvent(new CustomEvent("likeness:use-seed", { detail: { seed } }));
    viewer.dialog.close();
    showTab("generate");
  };
  return h("span", { class: "viewer-seed" }, String(seed), h("button", { type: "button", class: "link", onclick: use, "data-tip": t("The next picture begins with this seed; everything else in the form stays") }, t("Use this seed")));
}

// Another picture, by its id: shown in the place of this one.
function opener(id) {
  const open = async () => {
    try {
      const picture = await get(`images/${encodeURIComponent(id)}`);
      // Who has closed it meanwhile wants to see no more.
      if (viewer.dialog.open) lookAt({ total: 1, at: async () => picture }, 0);
    } catch (problem) {
      complain(problem);
    }
  };
  return h("button", { type: "button", class: "link", onclick: open, "data-tip": t("Show that picture") }, id);
}

const KINDS = { upload: t("Uploaded"), photo: t("Photo of a character"), reference: t("Reference"), mask: t("Mask") };

export async function copyText(text, home) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  // Without https there is no clipboard for pages; a selected text can still be copied.
  const area = h("textarea", { readonly: true, style: { position: "fixed", opacity: "0" } });
  area.value = text;
  home.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw { message: t("The browser did not allow copying."), remedy: t("Select the words and copy them by hand.") };
  return undefined;
}

