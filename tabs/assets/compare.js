// Two pictures over each other, and a handle that uncovers one or the other: by mouse, finger or arrow keys.

import { file } from "./api.js";
import { h, icon, iconButton, setText } from "./dom.js";
import { t } from "./language.js";
import { place } from "./toast.js";
import { moment } from "./words.js";

let dialog = null;

// Resolves when it is closed.
export function compare(before, after) {
  dialog ??= new Compare();
  return dialog.open(before, after);
}

class Compare {
  constructor() {
    this.under = h("img", { class: "compare-after", alt: "" });
    this.over = h("img", { class: "compare-before", alt: "" });
    this.range = h("input", {
      type: "range",
      min: 0,
      max: 100,
      step: 0.5,
      "aria-label": t("How much of the first picture is uncovered"),
      oninput: () => this.move(),
    });
    this.left = h("p", { class: "compare-label left" });
    this.right = h("p", { class: "compare-label right" });
    this.frame = h("div", { class: "compare-frame" }, this.under, this.over, h("i", { class: "compare-line", "aria-hidden": "true" }, h("b", {}, icon("left"), icon("right"))), this.left, this.right, this.range);
    this.dialog = h(
      "dialog",
      { class: "compare", "aria-label": t("Compare two pictures"), onclose: () => this.closed() },
      h(
        "div",
        { class: "compare-head" },
        h("h2", {}, t("Compare")),
        h("p", { class: "soft" }, t("Drag, or use the arrow keys.")),
        h("button", { type: "button", class: "button", "data-tip": t("Put the other one first"), onclick: () => this.swap() }, icon("swap"), t("Swap")),
        iconButton("close", t("Close (Esc)"), () => this.dialog.close()),
      ),
      h("div", { class: "compare-stage" }, this.frame),
    );
    document.body.append(this.dialog);
  }

  open(before, after) {
    this.pair = [before, after];
    this.range.value = 50;
    this.show();
    this.dialog.showModal();
    this.range.focus();
    document.documentElement.toggleAttribute("data-still", true);
    place();
    return new Promise((resolve) => (this.resolve = resolve));
  }

  closed() {
    document.documentElement.toggleAttribute("data-still", false);
    place();
    this.resolve?.();
  }

  swap() {
    this.pair.reverse();
    this.show();
  }

  show() {
    const [before, after] = this.pair;
    // Only of a picture and what was made of it one is before the other.
    const cameFrom = [after.recipe?.parent, after.recipe?.image].includes(before.id);
    this.frame.style.setProperty("--ratio", before.width / before.height);
    for (const [image, picture, label, side] of [[this.over, before, this.left, cameFrom ? t("Before") : "A"], [this.under, after, this.right, cameFrom ? t("After") : "B"]]) {
      image.src = file(picture.id);
      const words = [side, moment(picture.created_at)].join(" · ");
      image.alt = `${words}: ${picture.recipe?.prompt || picture.name || t("uploaded picture")}`;
      setText(label, words);
    }
    this.move();
  }

  move() {
    const part = Number(this.range.value);
    this.frame.style.setProperty("--part", `${part}%`);
    this.range.setAttribute("aria-valuetext", t("{before} % before, {after} % after", { before: Math.round(part), after: Math.round(100 - part) }));
  }
}
