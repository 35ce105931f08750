// What is good and what is missing in a dataset, in plain words: each finding with its pictures and, where there is one, a fix by one click.

import { get, post } from "./api.js";
import { h, icon, setText, toggle } from "./dom.js";
import { known, t, tn } from "./language.js";
import { complain } from "./toast.js";

const AGAIN_MS = 400;
// Hints that say themselves that nothing is wrong: drawings in which a program sees no face, or several.
const NO_FAULT = ["no_face", "several_faces"];
// On a phone the pictures come first.
const narrow = matchMedia("(max-width: 52rem)");
const FIXES = {
  remove: (count) => tn("Remove {count}", "Remove {count}", count),
  crop: (count) => tn("Crop {count}", "Crop {count}", count),
  fill_captions: (count) => tn("Write {count} plain caption", "Write {count} plain captions", count),
  add_trigger: (count) => tn("Add it to {count}", "Add it to {count}", count),
};

export class DatasetCheck {
  dataset = null;
  names = {};
  // What is said of a few pictures is marked on them; what is true of most of them is not.
  loud = new Set();

  // `show` leads to the pictures of a finding, `fixed` hears of the change that a fix was, `looked` when every picture was looked at;
  // `ways` are, by the code of a finding, what a person can do about it: [words, tooltip, act].
  constructor({ show, fixed, looked, ways = {} }) {
    Object.assign(this, { show, fixed, looked, ways });
    this.words = h("span", { role: "status" });
    this.bar = h("span", { class: "bar", hidden: true, role: "progressbar", "aria-label": t("Pictures being looked at"), "aria-valuemin": 0 }, h("i"));
    this.list = h("ul", { class: "check-list" });
    this.node = h("details", { class: "dataset-check", open: !narrow.matches, hidden: true }, h("summary", {}, h("strong", {}, t("Check")), this.words, this.bar), this.list);
  }

  named(code) {
    return this.names[code] ?? code.replaceAll("_", " ");
  }

  // Looks at a dataset as it is now; the same version is not asked for twice.
  follow(dataset) {
    this.look(dataset && `datasets/${encodeURIComponent(dataset.id)}/preflight`, {}, dataset?.version);
  }

  // Looks at what an address of the API says; the same `version` of it is not asked for twice.
  look(path, query = {}, version = "") {
    const key = path ? JSON.stringify([path, query, version]) : "";
    if (key === this.key) return;
    this.key = key;
    const what = path ? JSON.stringify([path, query]) : "";
    if (what !== this.what) this.list.replaceChildren();
    Object.assign(this, { what, path, query });
    if (path) this.ask(key);
  }

  async ask(key) {
    let said;
    try {
      said = await get(this.path, this.query);
    } catch (problem) {
      if (key === this.key) setText(this.words, problem.message);
      return;
    }
    if (key !== this.key) return;
    this.dataset = said.dataset;
    this.draw(said);
    if (!said.pending) this.looked();
    if (said.pending) setTimeout(() => key === this.key && this.ask(key), AGAIN_MS);
  }

  draw(said) {
    const looked = said.pictures - said.pending;
    toggle(this.bar, "hidden", !said.pending);
    this.bar.setAttribute("aria-valuemax", said.pictures);
    this.bar.setAttribute("aria-valuenow", looked);
    this.bar.firstElementChild.style.setProperty("--done", said.pictures ? looked / said.pictures : 0);
    const blocks = said.findings.some((one) => one.severity === "blocks");
    const serious = said.findings.filter((one) => one.severity !== "hints").length;
    const mendable = said.findings.some((one) => !(one.severity === "hints" && NO_FAULT.includes(one.code)));
    const words = said.pending
      ? t("{looked} of {count} pictures looked at", { looked, count: said.pictures })
      : blocks
        ? t("Something has to be done before training")
        : serious
          ? tn("{count} thing to look at", "{count} things to look at", serious)
          : mendable
            ? t("Good; some things could be better")
            : said.findings.length
              ? t("Good")
              : t("Nothing to say against it");
    setText(this.words, words);
    for (const one of said.findings) this.names[one.code] = known(one.title);
    this.loud = new Set(said.findings.filter((one) => one.severity !== "hints" && one.pictures.length * 2 <= said.pictures).map((one) => one.code));
    this.all = said.pictures;
    this.list.replaceChildren(...said.findings.map((one) => this.finding(one)), ...(said.unreadable.length ? [this.line("blocks", tn("{count} picture can't be read", "{count} pictures can't be read", said.unreadable.length), t("The file is gone or broken. Remove it, or add it again."))] : []));
  }

  finding(one) {
    const count = one.pictures.length ? ` · ${tn("{count} picture", "{count} pictures", one.pictures.length)}` : "";
    const acts = [];
    if (one.pictures.length && one.pictures.length < this.all) acts.push(h("button", { type: "button", class: "quiet", "data-tip": t("Only these in the grid"), onclick: () => this.show(one.code) }, t("Show them")));
    const way = this.ways[one.code];
    if (way && !one.fixed.length) acts.push(h("button", { type: "button", class: "button", "data-tip": way[1], onclick: way[2] }, way[0]));
    if (one.fixed.length) acts.push(h("button", { type: "button", class: "button", "data-tip": t("Can be undone"), onclick: (event) => this.fix(one.code, event.currentTarget) }, FIXES[one.fix](one.fixed.length)));
    return this.line(one.severity, known(one.title), known(one.explanation), count, acts);
  }

  line(severity, title, words, count = "", acts = []) {
    const sign = { blocks: "warn", warns: "warn", hints: "sparkle" }[severity];
    return h("li", { dataset: { severity } }, icon(sign), h("p", {}, h("strong", {}, title), h("span", { class: "soft" }, count), h("span", { class: "check-why" }, words)), h("span", { class: "check-acts" }, ...acts));
  }

  async fix(code, button) {
    button.disabled = true;
    try {
      const change = await post(`datasets/${encodeURIComponent(this.dataset)}/fix`, { code });
      this.fixed(change);
    } catch (problem) {
      button.disabled = false;
      complain(problem);
    }
  }
}
