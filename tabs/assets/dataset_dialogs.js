// The small questions of a dataset: a name, tags, and what is to become of many captions.

import { post } from "./api.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { t, tn } from "./language.js";
import { complain, place } from "./toast.js";
import { confirmed } from "./tray.js";
import { ago, moment } from "./words.js";

const SHOWN = 50;

export function dialogOf(title, looks, resolve) {
  const dialog = h("dialog", { class: `ask dataset-dialog ${looks}`, "aria-label": title, onclose: (event) => event.target === dialog && (resolve(null), dialog.remove(), place()) });
  dialog.append(h("div", { class: "panel-head" }, h("h2", {}, title), iconButton("close", t("Close"), () => dialog.close())));
  return dialog;
}

export function opened(dialog) {
  document.body.append(dialog);
  dialog.showModal();
  place();
}

const acts = (dialog, go) => h("div", { class: "ask-acts" }, h("button", { type: "button", class: "button", "data-tip": t("Close this and change nothing"), onclick: () => dialog.close() }, t("Cancel")), go);

// One line of text, or one of `choices` ([value, name]); null when the person thought better of it.
export function askText(title, label, value, tip, note = "", choices = null) {
  return new Promise((resolve) => {
    const dialog = dialogOf(title, "", resolve);
    const field = choices ? h("select", {}, ...choices.map(([id, name]) => h("option", { value: id }, name))) : h("input", { type: "text", maxlength: 400, autocomplete: "off" });
    field.value = value;
    const form = h("form", { method: "dialog", onsubmit: (event) => (event.preventDefault(), resolve(field.value.trim()), dialog.close()) }, h("label", { class: "dataset-field", "data-tip": tip }, h("span", {}, label), field), note ? h("p", {}, note) : null);
    form.append(acts(dialog, h("button", { class: "button primary", "data-tip": tip }, t("OK"))));
    dialog.append(form);
    opened(dialog);
    field.focus();
  });
}

// A new dataset: its name, and what it begins with.
export function askNew(character) {
  return new Promise((resolve) => {
    const dialog = dialogOf(t("New dataset of {name}", { name: character.name }), "", resolve);
    const name = h("input", { type: "text", maxlength: 80, required: true, autocomplete: "off", value: t("Dataset") });
    const way = (value, words, about, off = false) => h("label", { class: "dataset-way" }, h("input", { type: "radio", name: "dataset-way", value, disabled: off, checked: !off && (value === "photos" || !character.photos) }), h("span", {}, h("strong", {}, words), h("small", {}, about)));
    const ways = h(
      "div",
      { role: "radiogroup", "aria-label": t("Begin with") },
      way("photos", t("The photos"), tn("{count} photo of the character, with its caption", "{count} photos of the character, with their captions", character.photos), !character.photos),
      way("empty", t("Nothing"), t("Pictures come later: files, a ZIP, or pictures of the gallery")),
    );
    const make = (event) => {
      event.preventDefault();
      resolve({ name: name.value.trim(), photos: ways.querySelector(":checked").value === "photos" });
      dialog.close();
    };
    dialog.append(h("form", { onsubmit: make }, h("label", { class: "dataset-field", "data-tip": t("What the dataset is called, here and in its ZIP") }, h("span", {}, t("Name")), name), ways, acts(dialog, h("button", { class: "button primary", "data-tip": t("Makes the dataset and opens it") }, t("Make it")))));
    opened(dialog);
    name.select();
  });
}

// What was changed, the newest first: gives the change before which the dataset shall be again, or null.
export function askVersion(changes, said) {
  return new Promise((resolve) => {
    const dialog = dialogOf(t("Earlier versions"), "", resolve);
    const back = (one, index) => async () => {
      const sure = !index || (await confirmed(t("Go back to before this?"), tn("{count} change is taken back; it can't be brought again.", "{count} changes are taken back; they can't be brought again.", index + 1), t("Go back"), t("Keep them")));
      if (!sure) return;
      resolve(one.id);
      dialog.close();
    };
    const row = (one, index) => h("li", {}, h("span", {}, h("strong", {}, said(one)), h("small", { title: moment(one.created_at) }, ago(one.created_at))), h("button", { type: "button", class: "button", "aria-label": t("Back to before: {change}", { change: said(one) }), "data-tip": t("The dataset is as it was before this change; newer ones are taken back, too"), onclick: back(one, index) }, index ? t("Back to before this") : t("Undo")));
    dialog.append(h("p", { class: "soft" }, t("The last twenty changes, the newest first. Trainings keep the pictures that they began with.")), h("ol", { class: "dataset-history" }, ...changes.map(row)));
    opened(dialog);
  });
}

// Many captions at once, of these ids or of all, always after a look at what would change. Gives whether they were changed.
export function changeCaptions(path, character, ids) {
  return new Promise((resolve) => {
    const dialog = dialogOf(ids ? tn("Captions of {count} picture", "Captions of {count} pictures", ids.length) : t("All captions"), "captions", () => resolve(false));
    const ACTS = [
      ["replace", t("Find and replace")],
      ["prefix", t("Put before")],
      ["suffix", t("Put behind")],
      ["trigger", t("Trigger word first")],
      ["write", t("Write anew")],
    ];
    const act = h("select", { onchange: () => arrange() }, ...ACTS.map(([id, name]) => h("option", { value: id }, name)));
    const find = h("input", { type: "text", maxlength: 1000, oninput: () => soon(), autocomplete: "off" });
    const text = h("textarea", { rows: 2, maxlength: 10_000, oninput: () => soon() });
    const box = (words, tip) => h("label", { class: "dataset-tick", "data-tip": tip }, h("input", { type: "checkbox", onchange: () => soon() }), words);
    const [words, cased, pattern] = [box(t("Whole words"), t("“art” is not found in “party”")), box(t("Match case"), t("Capitals and small letters differ")), box(t("Regular expression"), t("For those who know them; \\1 stands for the first group"))];
    const field = (label, node, tip) => h("label", { class: "dataset-field", "data-tip": tip }, h("span", {}, label), node);
    const findField = field(t("Find"), find, t("The words that are replaced, wherever a caption has them"));
    const textField = field(t("Text"), text, t("What is put there"));
    const ways = h("div", { class: "dataset-ticks" }, words, cased, pattern);
    const about = h("p", {});
    const list = h("ul", { class: "dataset-changes", "aria-label": t("Preview") });
    const sum = h("p", { role: "status" });
    const go = h("button", { type: "button", class: "button primary", disabled: true, "data-tip": t("As the preview shows it; can be undone"), onclick: () => run() }, t("Change them"));
    const edit = () => ({ act: act.value, text: act.value === "trigger" ? "" : text.value, find: act.value === "replace" ? find.value : "", words: words.firstChild.checked, case: cased.firstChild.checked, pattern: pattern.firstChild.checked, ids });
    let timer = 0;
    let turn = 0;
    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(preview, 250);
    };
    const arrange = () => {
      const replacing = act.value === "replace";
      toggle(findField, "hidden", !replacing);
      toggle(ways, "hidden", !replacing);
      toggle(textField, "hidden", act.value === "trigger");
      setText(textField.firstChild, replacing ? t("Replace with") : t("Text"));
      setText(about, act.value === "trigger" ? t("“{word}” comes first in each caption: it is the word that calls {name} later.", { word: character.trigger_word, name: character.name }) : "");
      preview();
    };
    const ready = () => ({ replace: find.value, prefix: text.value.trim(), suffix: text.value.trim(), trigger: true, write: text.value.trim() })[act.value];
    const preview = async () => {
      const mine = ++turn;
      go.disabled = true;
      if (!ready()) {
        list.replaceChildren();
        return setText(sum, "");
      }
      try {
        const said = await post(`${path}/captions`, { ...edit(), preview: true });
        if (mine !== turn) return;
        list.replaceChildren(...said.items.slice(0, SHOWN).map(({ before, after }) => h("li", {}, h("del", {}, before || t("No caption")), h("ins", {}, after || t("No caption")))));
        setText(sum, said.count ? tn("{count} caption would change.", "{count} captions would change.", said.count) : t("Nothing would change."));
        go.disabled = !said.count;
      } catch (problem) {
        if (mine !== turn) return;
        list.replaceChildren();
        setText(sum, [problem.message, problem.remedy].filter(Boolean).join(" "));
      }
    };
    const run = async () => {
      go.disabled = true;
      try {
        await post(`${path}/captions`, { ...edit(), preview: false });
        resolve(true);
        dialog.close();
      } catch (problem) {
        complain(problem);
        preview();
      }
    };
    dialog.append(field(t("What to do"), act, t("The same change for each of these captions")), findField, textField, ways, about, list, h("div", { class: "ask-acts" }, sum, h("button", { type: "button", class: "button", "data-tip": t("Close this and change nothing"), onclick: () => dialog.close() }, t("Cancel")), go));
    opened(dialog);
    arrange();
    find.focus();
  });
}
