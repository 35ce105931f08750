// Face variants on a character's page: up to three named looks, each with a LoRA of its own, drawn over the face of finished pictures.

import { get, post, put, remove, thumbnail } from "./api.js";
import { h, icon, iconButton, setText } from "./dom.js";
import { feed } from "./feed.js";
import { showTab } from "./header.js";
import { number, t, tn } from "./language.js";
import { monogram } from "./portrait.js";
import { complain, place, toast } from "./toast.js";

const MOST = 3;
const SHOWN = 12;

function opened(title, ...content) {
  const dialog = h("dialog", { class: "ask train-ask", "aria-label": title, onclose: (event) => event.target === dialog && (dialog.remove(), place()) });
  dialog.append(h("div", { class: "panel-head" }, h("h2", {}, title), iconButton("close", t("Close"), () => dialog.close())), ...content);
  document.body.append(dialog);
  dialog.showModal();
  place();
  return dialog;
}

const labelled = (words, control, note = "") => h("label", { class: "train-field" }, h("span", {}, words), control, note ? h("small", {}, note) : null);
const face = (variant) => h("span", { class: "variant-face" }, variant.portrait ? h("img", { src: thumbnail(variant.portrait), alt: "", loading: "lazy" }) : monogram(variant.name));

// Pictures to tick, or one to choose; `ticked()` gives their ids.
function pictureChoice(pictures, type, chosen, label) {
  const name = `variant-${type}-${Math.random().toString(36).slice(2)}`;
  const one = (id, content, words) => h("label", { class: "variant-pick" }, h("input", { type, name, value: id, checked: chosen.includes(id), "aria-label": words }), content);
  const none = type === "radio" ? [one("", h("span", {}, t("None")), t("None"))] : [];
  const node = h("div", { class: "variant-picks", role: type === "radio" ? "radiogroup" : "group", "aria-label": label }, ...none, ...pictures.map((picture, index) => one(picture.id, h("img", { src: thumbnail(picture.id), alt: "", loading: "lazy" }), t("Picture {number}", { number: number(index + 1) }))));
  return { node, ticked: () => [...node.querySelectorAll("input:checked")].map((input) => input.value).filter(Boolean) };
}

// `page` is a CharacterPage: its `character`, `path` and what to do when something changed.
export class VariantsPart {
  constructor(page) {
    this.page = page;
    this.list = h("ul", { class: "variants", "aria-label": t("Face variants") });
    this.about = h("p", { class: "soft" }, t("Named looks of this character, such as “younger” or “with a beard”. Each has a LoRA of its own, which draws the face of finished pictures anew and leaves the rest as it is."));
    this.add = h("button", { type: "button", class: "button", "data-tip": t("A name, and the LoRA that draws the face"), onclick: () => this.edit(null) }, icon("plus"), t("Add a look"));
    this.node = page.section("variants", t("Face variants"), this.about, this.list, h("div", { class: "variant-acts" }, this.add));
    this.node.classList.add("advanced-only");
  }

  draw() {
    const { variants } = this.page.character;
    const key = JSON.stringify(variants);
    if (key === this.shown) return;
    this.shown = key;
    this.list.hidden = !variants.length;
    this.add.disabled = variants.length >= MOST;
    setText(this.page.variantsNote, variants.length >= MOST ? t("Three is all there can be") : "");
    this.list.replaceChildren(...variants.map((one) => this.card(one)));
  }

  card(one) {
    const handles = Object.entries(one.handles).map(([channel, handle]) => `${channel}: ${handle}`).join(" · ");
    const button = (words, tip, act) => h("button", { type: "button", class: "quiet", "data-tip": tip, "aria-label": t("{act}: {name}", { act: words, name: one.name }), onclick: act }, words);
    return h(
      "li",
      { "data-variant": one.name },
      face(one),
      h("div", {}, h("strong", {}, one.name), h("p", { class: "soft" }, h("code", {}, one.lora), handles ? ` ${handles}` : "")),
      h("div", { class: "variant-acts" }, button(t("Draw on pictures …"), t("Draws this face over pictures of the character; the pictures stay"), () => this.use(one)), button(t("Change …"), t("Another LoRA, portrait or handles"), () => this.edit(one)), button(t("Remove"), t("The LoRA and the pictures stay"), () => this.remove(one))),
    );
  }

  async pictures() {
    const found = await get("images", { character: this.page.character.id, limit: SHOWN }).catch(() => ({ items: [] }));
    return found.items;
  }

  async edit(one) {
    const { character, path } = this.page;
    const [{ items: versions }, { items: loras }, { items: made }] = await Promise.all([get("loras/versions", { character: character.id }), get("loras"), this.pictures().then((items) => ({ items }))].map((asked) => asked.catch(() => ({ items: [] }))));
    const own = versions.filter((version) => version.there);
    const others = loras.filter((lora) => lora.engine === "embedded" && !own.some((version) => version.path === lora.path));
    if (!own.length && !others.length) return void toast(t("There is no LoRA yet"), { detail: t("Train one from pictures of this look, then come back."), action: t("Train"), act: () => showTab("train"), ms: 8000 });
    const name = h("input", { type: "text", class: "cf-input", maxlength: 40, required: true, autocomplete: "off", value: one?.name ?? "", disabled: Boolean(one) });
    const lora = h("select", { class: "cf-input" }, ...own.map((version) => h("option", { value: version.path }, t("Version {version}, {steps}", { version: number(version.version), steps: tn("{count} step", "{count} steps", version.step) }))), ...others.map((other) => h("option", { value: other.path }, other.name)));
    if (one) lora.value = [...lora.options].some((option) => option.value === one.lora) ? one.lora : `${one.lora}.safetensors`;
    const strength = h("input", { type: "number", class: "cf-input", min: -4, max: 4, step: 0.05, value: one?.lora_strength ?? 1 });
    const handles = h("textarea", { class: "cf-input", rows: 2, spellcheck: "false", placeholder: "instagram: mara.younger" }, Object.entries(one?.handles ?? {}).map(([channel, handle]) => `${channel}: ${handle}`).join("\n"));
    const portrait = pictureChoice(made, "radio", [one?.portrait ?? ""], t("Portrait"));
    const fault = h("p", { class: "field-error", role: "alert", hidden: true });
    const save = async (event) => {
      event.preventDefault();
      const lines = handles.value.split("\n").map((line) => line.split(/[:=](.*)/s).map((part) => part.trim())).filter(([channel, handle]) => channel && handle);
      const body = { name: name.value.trim(), lora: lora.value, lora_strength: Number(strength.value), portrait: portrait.ticked()[0] ?? null, handles: Object.fromEntries(lines.map(([channel, handle]) => [channel, handle])) };
      try {
        await put(`${path}/variants`, body);
      } catch (problem) {
        fault.hidden = false;
        return void setText(fault, [problem.message, problem.remedy].filter(Boolean).join(" "));
      }
      dialog.close();
      toast(t("“{name}” is kept", { name: body.name }), { ms: 2500 });
      this.changed();
    };
    const dialog = opened(
      one ? t("Change “{name}”", { name: one.name }) : t("A new look of {name}", { name: character.name }),
      h("form", { class: "variant-form", onsubmit: save }, labelled(t("Name"), name), labelled(t("LoRA"), lora, t("It draws the face: one that was trained from pictures of this look.")), labelled(t("Strength"), strength), labelled(t("Portrait"), portrait.node), labelled(t("Social handles"), handles, t("One on each line, as in “instagram: mara.younger”")), fault, h("div", { class: "ask-acts" }, h("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("Cancel")), h("button", { class: "button primary" }, t("Save")))),
    );
    (one ? lora : name).focus();
    return undefined;
  }

  // Here, and wherever a look can be chosen.
  changed() {
    document.dispatchEvent(new CustomEvent("likeness:characters"));
    return this.page.reread();
  }

  async remove(one) {
    try {
      await remove(`${this.page.path}/variants/${encodeURIComponent(one.name)}`);
    } catch (problem) {
      return void complain(problem);
    }
    toast(t("“{name}” is removed", { name: one.name }), { action: t("Undo"), act: () => put(`${this.page.path}/variants`, one).then(() => this.changed(), complain), ms: 8000 });
    this.changed();
    return undefined;
  }

  async use(one) {
    const made = await this.pictures();
    if (!made.length) return void toast(t("There are no pictures of {name} yet", { name: this.page.character.name }), { detail: t("Make one first."), ms: 5000 });
    const choice = pictureChoice(made, "checkbox", [made[0].id], t("Pictures"));
    const denoise = h("input", { type: "number", class: "cf-input", min: 0.05, max: 1, step: 0.05, value: 0.6 });
    const go = async (event) => {
      event.preventDefault();
      const ids = choice.ticked();
      if (!ids.length) return;
      try {
        const { job_ids: jobs } = await post(`${this.page.path}/variants/${encodeURIComponent(one.name)}/use`, { ids, denoise: Number(denoise.value) });
        for (const id of jobs) get(`jobs/${encodeURIComponent(id)}`).then((job) => feed.take(job)).catch(() => null);
        dialog.close();
        toast(tn("{count} picture is being made", "{count} pictures are being made", jobs.length), { action: t("Show them"), act: () => showTab("generate"), ms: 5000 });
      } catch (problem) {
        complain(problem);
      }
    };
    const dialog = opened(
      t("Draw “{name}” on pictures", { name: one.name }),
      h("form", { class: "variant-form", onsubmit: go }, h("p", {}, t("A new picture is made of each, with the face of this look and the rest as it is.")), choice.node, labelled(t("How much of the face is drawn anew"), denoise, t("0.6 is usual; more makes another face of it.")), h("div", { class: "ask-acts" }, h("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("Cancel")), h("button", { class: "button primary" }, icon("sparkle"), t("Draw it")))),
    );
    return undefined;
  }
}
