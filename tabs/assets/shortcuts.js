// What can be done by keys, as a list: behind a button of the header and the key “?”.

import { h, iconButton } from "./dom.js";
import { t } from "./language.js";
import { place } from "./toast.js";

const LISTS = [
  [t("Everywhere"), [["?", t("This list")], ["Tab", t("To the next control; a field shows its help after a moment")], ["Esc", t("Close what is open")]]],
  [t("Generate"), [["Ctrl Enter", t("Make the pictures")]]],
  [
    t("Gallery"),
    [
      ["← → ↑ ↓", t("From picture to picture")],
      ["Enter", t("Open it large")],
      [t("Space"), t("Select it; with Shift and an arrow a range")],
      ["Ctrl A", t("Select all that the filters show")],
      ["F", t("Make it a favourite")],
      [t("Del"), t("Move it to the trash")],
    ],
  ],
  [t("One picture, large"), [["← →", t("Previous and next")], ["F", t("Make it a favourite")], [t("Del"), t("Move it to the trash")]]],
  [t("Character sheet"), [["K", t("Keep the view")], ["T", t("Throw it away")], ["U", t("Undo")], ["A", t("Select all")]]],
];

export function startShortcuts() {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey) return;
    // Whoever writes wants the sign itself.
    if (event.target.closest?.("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=range])")) return;
    event.preventDefault();
    showShortcuts();
  });
}

export function showShortcuts() {
  if (document.querySelector(".shortcuts[open]")) return;
  const mac = navigator.platform.startsWith("Mac");
  const keys = (words) => words.split(" ").map((key) => h("kbd", {}, key === "Ctrl" && mac ? "⌘" : key));
  const dialog = h(
    "dialog",
    { class: "ask shortcuts", "aria-labelledby": "shortcuts-title", onclose: () => (dialog.remove(), place()) },
    h("div", { class: "panel-head" }, h("h2", { id: "shortcuts-title" }, t("Keyboard shortcuts")), iconButton("close", t("Close (Esc)"), () => dialog.close(), { autofocus: true })),
    h("div", { class: "shortcut-lists" }, ...LISTS.map(([name, rows]) => h("section", {}, h("h3", {}, name), h("dl", {}, ...rows.map(([key, words]) => h("div", {}, h("dt", {}, ...keys(key)), h("dd", {}, words))))))),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  place();
}
