// What is kept of trainings: cleaning up after one, deleting a version of a LoRA, and two of them side by side at one seed.

import { address, get, post, remove } from "./api.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { feed } from "./feed.js";
import { showTab } from "./header.js";
import { number, t, tn } from "./language.js";
import { complain, place, toast } from "./toast.js";
import { FIELDS, learnedFrom, settingWords, trainerWords } from "./training_form.js";
import { bytes } from "./words.js";

const percent = (share) => (share === null ? "–" : `${number(Math.round(100 * share))} %`);
const stepList = (steps) => new Intl.ListFormat(document.documentElement.lang || "en").format(steps.map((step) => number(step)));

function opened(title, looks, resolve, ...content) {
  const dialog = h("dialog", { class: `ask ${looks}`, "aria-label": title, onclose: (event) => event.target === dialog && (resolve(false), dialog.remove(), place()) });
  dialog.append(h("div", { class: "panel-head" }, h("h2", {}, title), iconButton("close", t("Close"), () => dialog.close())), ...content);
  document.body.append(dialog);
  dialog.showModal();
  place();
  return dialog;
}

// Resolves with true when something was deleted.
export async function askCleanup(id) {
  const path = `training/${encodeURIComponent(id)}/cleanup`;
  let told;
  try {
    told = await get(path);
  } catch (problem) {
    return void complain(problem);
  }
  if (!told.bytes) return void toast(t("There is nothing to clean up"), { detail: t("Every checkpoint that is there is kept for a reason."), ms: 4000 });
  return new Promise((resolve) => {
    const go = async () => {
      button.disabled = true;
      try {
        const done = await post(path);
        toast(t("{size} are free again", { size: bytes(done.bytes) }), { ms: 4000 });
        resolve(true);
        dialog.close();
      } catch (problem) {
        complain(problem);
        button.disabled = false;
      }
    };
    const button = h("button", { type: "button", class: "button danger", onclick: go }, icon("trash"), t("Delete for good, {size}", { size: bytes(told.bytes) }));
    const dialog = opened(
      t("Clean up after this training"),
      "train-ask",
      resolve,
      told.freed.length ? h("p", {}, tn("The checkpoint after {steps} steps is deleted for good.", "The checkpoints after {steps} steps are deleted for good.", told.freed.length, { steps: stepList(told.freed) })) : null,
      told.state_bytes ? h("p", {}, t("What the training needed to go on is deleted too, {size}: it is done.", { size: bytes(told.state_bytes) })) : null,
      h("p", {}, t("These stay:")),
      h("ul", { class: "train-kept-list" }, ...told.kept.map((step) => h("li", {}, h("strong", {}, tn("{count} step", "{count} steps", step)), " ", h("span", { lang: "en" }, told.why[step])))),
      h("div", { class: "ask-acts" }, h("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("Cancel")), button),
    );
  });
}

// A version goes only when its name is written. Resolves with true when it was moved to the trash.
export function askDelete(version, character) {
  return new Promise((resolve) => {
    const field = h("input", { type: "text", class: "cf-input", autocomplete: "off", spellcheck: "false", required: true, oninput: () => (button.disabled = field.value.trim() !== version.path) });
    const button = h("button", { class: "button danger", disabled: true }, icon("trash"), t("Move to the trash"));
    const go = async (event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        await remove("loras", { path: version.path, confirm: field.value.trim() });
        toast(t("Version {version} is in the trash", { version: number(version.version) }), { detail: t("“Restore” brings it back, until the trash is emptied."), ms: 5000 });
        resolve(true);
        dialog.close();
      } catch (problem) {
        complain(problem);
        button.disabled = false;
      }
    };
    const dialog = opened(
      t("Delete version {version} of {name}'s LoRA", { version: number(version.version), name: character.name }),
      "train-ask",
      resolve,
      h("p", {}, t("Versions are kept, so that pictures can be made again as they were. To delete this one all the same, write its name:")),
      h("form", { onsubmit: go }, h("label", { class: "train-confirm" }, h("code", {}, version.path), field), h("div", { class: "ask-acts" }, h("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("Cancel")), button)),
    );
    field.focus();
  });
}

// `sides` are versions and checkpoints as the API names them, with words for people.
export function compareTwo(sides, character) {
  const select = (at, label) => h("select", { class: "cf-input", "aria-label": label, onchange: () => load() }, ...sides.map((side, index) => h("option", { value: side.name, selected: index === at }, side.words)));
  const choices = [select(0, t("First")), select(1, t("Second"))];
  const said = h("p", { class: "soft", role: "status" });
  const seeds = h("div", { class: "switch", role: "group", "aria-label": t("Seed of the pictures") });
  const grid = h("div", { class: "train-grid-box", tabindex: "0", role: "region", "aria-label": t("The same prompts and seeds with both") });
  const facts = h("div", { class: "train-grid-box", tabindex: "0", role: "region", "aria-label": t("What differs") });
  const prompt = h("input", { type: "text", class: "cf-input", maxlength: 10_000, lang: "en", placeholder: t("portrait, smiling, in the snow") });
  const seed = h("input", { type: "number", class: "cf-input", min: 0, max: 2 ** 32 - 1, placeholder: t("random") });
  const both = h("button", { class: "button" }, icon("sparkle"), t("Make both"));
  let found = null;
  let turn = 0;
  let shown;

  const sampleOf = (side, name) => address(`training/${encodeURIComponent(side.training)}/samples/${encodeURIComponent(name)}`);
  const wordsOf = (name) => sides.find((side) => side.name === name).words;
  const table = (looks, caption, heads, rows) => h("table", { class: looks }, h("caption", { class: "visually-hidden" }, caption), h("thead", {}, h("tr", {}, h("td", {}), ...heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, ...rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell))))));

  const drawPairs = () => {
    const heads = choices.map((choice) => wordsOf(choice.value));
    const pairs = found.pairs.filter((pair) => pair.seed === shown);
    for (const button of seeds.children) button.setAttribute("aria-pressed", Number(button.dataset.seed) === shown);
    grid.replaceChildren(pairs.length ? table("train-grid", t("The same prompts and seeds with both"), heads, pairs.map((pair) => [h("span", { lang: "en" }, pair.prompts[0]), ...[found.one, found.other].map((side, at) => h("img", { src: sampleOf(side, pair.names[at]), alt: t("{prompt}, {words}", { prompt: pair.prompts[at], words: heads[at] }), loading: "lazy", decoding: "async" }))])) : "");
    toggle(grid, "hidden", !pairs.length);
  };

  const draw = () => {
    const all = [...new Set(found.pairs.map((pair) => pair.seed))];
    if (!all.includes(shown)) shown = all[0];
    seeds.replaceChildren(...all.map((one) => h("button", { type: "button", "data-seed": one, onclick: () => ((shown = one), drawPairs()) }, t("Seed {seed}", { seed: one }))));
    toggle(seeds, "hidden", all.length < 2);
    setText(said, found.pairs.length ? "" : t("Not both were judged, so there are no pictures of both yet."));
    drawPairs();
    const rows = [
      [t("Likeness"), ...[found.one, found.other].map((side) => percent(side.likeness))],
      [t("Prompt freedom"), ...[found.one, found.other].map((side) => percent(side.prompt_freedom))],
      ...[[t("Learned from"), learnedFrom], [t("Trainer"), ({ engine }) => trainerWords(engine)]].map(([label, words]) => [label, words(found.one), words(found.other)]).filter(([, one, other]) => one !== other),
      ...FIELDS.filter(({ name }) => found.differs.includes(name)).map((field) => [field.label, ...[found.one, found.other].map((side) => settingWords(field, side.recipe[field.name]))]),
    ];
    facts.replaceChildren(table("train-table", t("What differs"), choices.map((choice) => wordsOf(choice.value)), rows));
    const versions = [found.one, found.other].every((side) => side.path);
    for (const control of [prompt, seed, both]) control.disabled = !versions;
    setText(hint, versions ? t("Two jobs with the same seed; their pictures appear in the gallery, side by side.") : t("Pictures are made with versions alone: use a checkpoint once, and it is one."));
  };

  const load = async () => {
    const mine = ++turn;
    try {
      const answer = await get("loras/compare", { one: choices[0].value, other: choices[1].value });
      if (mine !== turn) return;
      found = answer;
      draw();
    } catch (problem) {
      if (mine !== turn) return;
      found = null;
      setText(said, [problem.message, problem.remedy].filter(Boolean).join(" "));
      grid.replaceChildren();
      facts.replaceChildren();
      seeds.replaceChildren();
      for (const control of [prompt, seed, both]) control.disabled = true;
    }
  };

  const make = async (event) => {
    event.preventDefault();
    if (!prompt.value.trim()) return void prompt.focus();
    both.disabled = true;
    try {
      const made = await post("loras/compare", { one: choices[0].value, other: choices[1].value, prompt: prompt.value.trim(), ...(seed.value ? { seed: Number(seed.value) } : {}) });
      for (const id of made.job_ids) get(`jobs/${encodeURIComponent(id)}`).then((job) => feed.take(job)).catch(() => null);
      toast(t("Both pictures are being made"), { action: t("Show them"), act: () => (dialog.close(), showTab("generate")), ms: 6000 });
    } catch (problem) {
      complain(problem);
    } finally {
      both.disabled = false;
    }
  };

  const hint = h("p", { class: "soft train-small" });
  const labelled = (words, control) => h("label", { class: "train-field" }, h("span", {}, words), control);
  const dialog = opened(
    t("Compare two of {name}'s LoRAs", { name: character.name }),
    "train-ask train-compare-two",
    () => {},
    h("div", { class: "train-two" }, labelled(t("First"), choices[0]), labelled(t("Second"), choices[1])),
    said,
    seeds,
    grid,
    facts,
    h("form", { class: "train-both", onsubmit: make }, labelled(t("The same words with both"), prompt), labelled(t("Seed"), seed), both),
    hint,
  );
  load();
}
