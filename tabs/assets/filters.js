// The gallery's filters: a calm row of choices, and a chip for each that is active. On a phone they come as a sheet from below.

import { get } from "./api.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { day, number, t, tn } from "./language.js";
import { learnMore } from "./words.js";

const KINDS = [
  ["", t("Made here")],
  ["upload", t("Uploads")],
  ["photo", t("Photos of characters")],
  ["reference", t("References")],
  ["mask", t("Masks")],
  ["all", t("Everything")],
];
const NAMES = { kind: t("Kind"), character: t("Character"), preset: t("Preset"), style: t("Style"), category: t("Category"), when: t("When"), since: t("From"), until: t("To"), favourite: t("Favourites") };
// A day without typing one: how many days back each begins; the last of them asks for days.
const WHEN = {
  today: { name: t("Today"), back: 0 },
  week: { name: t("Last 7 days"), back: 6 },
  month: { name: t("Last 30 days"), back: 29 },
  year: { name: t("Last 365 days"), back: 364 },
  days: { name: t("Choose days …") },
};
// As gallery.css has it: where there is no room for the row.
const narrow = matchMedia("(max-width: 52rem)");
const FACETS = { character: "characters", preset: "presets", style: "styles", category: "categories" };

export class Filters {
  values = {};
  stale = true;
  trashed = false;

  constructor(changed) {
    this.changed = changed;
    const select = (name, first, about) =>
      h("label", { class: "filter", "data-filter": name }, h("span", {}, NAMES[name]), h("select", { "data-tip": about, onchange: (event) => this.set(name, event.target.value) }, h("option", { value: "" }, first)));
    const date = (name, about) =>
      h("label", { class: "filter", "data-filter": name }, h("span", {}, NAMES[name]), h("input", { type: "date", "data-tip": about, onchange: (event) => this.set(name, event.target.value) }));
    this.favourites = h("button", { type: "button", class: "filter-heart", "aria-pressed": "false", "data-tip": t("Only pictures with a heart"), onclick: () => this.set("favourite", !this.values.favourite) }, icon("heart"), t("Favourites"));
    this.bar = h(
      "div",
      { class: "filters", id: "gallery-filters", role: "group", "aria-label": t("Filters") },
      select("character", t("Anyone"), t("Only pictures of one character")),
      select("preset", t("Any preset"), t("Only pictures made with one preset")),
      select("style", t("Any style"), t("Only pictures of one style")),
      select("category", t("Any category"), t("Only pictures of one category")),
      select("kind", "", t("Pictures made here, or taken in")),
      select("when", t("Any time"), t("Only pictures of the last days, or of days that you name")),
      date("since", t("Not older than this day")),
      date("until", t("Not newer than this day")),
      this.favourites,
    );
    this.field("kind").replaceChildren(...KINDS.map(([id, name]) => h("option", { value: id }, name)));
    this.field("when").append(...Object.entries(WHEN).map(([id, { name }]) => h("option", { value: id }, name)));
    this.badge = h("span", { class: "count", hidden: true });
    this.button = h(
      "button",
      { type: "button", class: "button filters-button", "aria-haspopup": "dialog", "data-tip": t("Narrow down what is shown"), onclick: () => this.open() },
      icon("filter"),
      t("Filters"),
      this.badge,
    );
    this.drawSheet();
    this.chips = h("div", { class: "filter-chips", role: "group", "aria-label": t("Active filters"), hidden: true });
    // Choices are asked for when someone is about to choose, and only if something changed since.
    for (const type of ["pointerenter", "focusin", "touchstart"]) this.bar.addEventListener(type, () => this.learn(), { passive: true });
    new IntersectionObserver(([entry]) => entry.isIntersecting && this.learn()).observe(this.bar);
    this.show();
  }

  get active() {
    return Object.keys(this.values).filter((name) => this.tells(name)).length;
  }

  // Whether it leaves any picture out: that days are to be named does not.
  tells(name) {
    return name !== "when" || this.values.when !== "days";
  }

  // As GET /images takes it: days are days of this clock.
  query() {
    const { when, kind, ...rest } = this.values;
    // Whichever was written first: the earlier day begins.
    const [since, until] = rest.since && rest.until ? [rest.since, rest.until].sort() : [rest.since, rest.until];
    const midnight = (day, later) => {
      const [year, month, date] = day.split("-").map(Number);
      return new Date(year, month - 1, date + later).toISOString();
    };
    const back = WHEN[when]?.back;
    if (back !== undefined) {
      const now = new Date();
      return { ...rest, kind: kind || "generated", since: new Date(now.getFullYear(), now.getMonth(), now.getDate() - back).toISOString() };
    }
    return { ...rest, kind: kind || "generated", since: since && midnight(since, 0), until: until && midnight(until, 1) };
  }

  set(name, value) {
    if (value) this.values[name] = value;
    else delete this.values[name];
    if (name === "kind") this.forget();
    if (name === "when") for (const one of ["since", "until"]) delete this.values[one];
    this.show();
    if (name === "when" && value === "days") this.field("since").focus();
    this.changed();
  }

  clear() {
    this.values = {};
    this.forget();
    this.show();
    this.changed();
  }

  look(trashed) {
    this.trashed = trashed;
    this.forget();
  }

  forget() {
    this.stale = true;
  }

  async learn() {
    if (!this.stale || this.learning) return;
    this.stale = false;
    this.learning = true;
    const found = await get("images/facets", { kind: this.values.kind || "generated", trashed: this.trashed }).catch(() => null);
    this.learning = false;
    if (!found) {
      this.stale = true;
      return;
    }
    // Another shelf was looked at meanwhile.
    if (this.stale) return void this.learn();
    for (const [name, kind] of Object.entries(FACETS)) {
      if (kind !== "categories") learnMore(kind, Object.fromEntries(found[kind].map((one) => [one.id, one.name])));
      const select = this.field(name);
      const [first] = select.options;
      const choices = found[kind].map((one) => h("option", { value: one.id, "data-name": one.name }, `${one.name} (${number(one.count)})`));
      const chosen = this.values[name];
      // What is chosen stays a choice, even when nothing fits it any more.
      if (chosen && !found[kind].some((one) => one.id === chosen)) choices.push(h("option", { value: chosen }, this.words(name)));
      select.replaceChildren(first, ...choices);
      toggle(select.closest(".filter"), "hidden", ["style", "category"].includes(name) && choices.length === 0);
    }
    this.show();
  }

  field(name) {
    return this.bar.querySelector(`[data-filter=${name}] :is(select, input)`);
  }

  // The sheet: the same row, lent to a dialog as long as it is open.

  drawSheet() {
    this.showButton = h("button", { type: "button", class: "button primary", "data-tip": t("Close the filters and see what fits"), onclick: () => this.close() });
    this.allButton = h("button", { type: "button", class: "quiet", "data-tip": t("Show everything again"), onclick: () => (this.clear(), this.showButton.focus()) }, t("Clear all"));
    this.told = h("p", { class: "visually-hidden", role: "status" });
    this.place = h("div", { class: "filters-place" });
    this.sheet = h(
      "dialog",
      { class: "filters-sheet", "aria-labelledby": "filters-title" },
      h("div", { class: "filters-head" }, h("h2", { id: "filters-title", tabindex: "-1" }, t("Filters")), this.allButton, iconButton("close", t("Close"), () => this.close())),
      this.place,
      this.told,
      h("div", { class: "filters-foot" }, this.showButton),
    );
    // Beside the sheet means away from it.
    this.sheet.addEventListener("click", (event) => event.target === this.sheet && this.close());
    this.sheet.addEventListener("close", () => this.closed());
    narrow.addEventListener("change", () => this.close());
    addEventListener("popstate", () => this.close());
    this.found(null);
  }

  open() {
    this.bar.replaceWith((this.home = document.createComment("")));
    this.place.append(this.bar);
    this.sheet.showModal();
    this.sheet.querySelector("h2").focus();
    // A phone's way back leads out of the sheet, not out of the studio.
    history.pushState({ likeness: "filters" }, "");
  }

  close() {
    if (this.sheet.open) this.sheet.close();
  }

  closed() {
    this.home.replaceWith(this.bar);
    if (history.state?.likeness === "filters") history.back();
    if (narrow.matches) this.button.focus();
  }

  // How many pictures fit; null as long as nobody knows.
  found(total) {
    const words = total === null ? t("Show the pictures") : total === 0 ? t("Nothing fits") : tn("Show {count} picture", "Show {count} pictures", total);
    setText(this.showButton, words);
    if (this.sheet.open && total !== null) setText(this.told, words);
  }

  words(name) {
    const value = this.values[name];
    if (name === "favourite") return t("Favourites");
    if (name === "since" || name === "until") {
      const [year, month, date] = value.split("-").map(Number);
      const words = { day: day(new Date(year, month - 1, date)) };
      return name === "since" ? t("From {day}", words) : t("To {day}", words);
    }
    const option = [...this.field(name).options].find((one) => one.value === value);
    return option?.dataset.name ?? option?.textContent ?? value;
  }

  show() {
    for (const name of ["kind", "character", "preset", "style", "category", "when", "since", "until"]) {
      const field = this.field(name);
      const value = this.values[name] ?? "";
      if (field.value !== value) field.value = value;
      toggle(field.closest(".filter"), "data-on", value && this.tells(name));
    }
    for (const name of ["since", "until"]) toggle(this.field(name).closest(".filter"), "hidden", this.values.when !== "days");
    this.favourites.setAttribute("aria-pressed", Boolean(this.values.favourite));
    const count = this.active;
    toggle(this.badge, "hidden", count === 0);
    setText(this.badge, String(count));
    this.button.setAttribute("aria-label", count ? tn("Filters, {count} active", "Filters, {count} active", count) : t("Filters"));
    toggle(this.allButton, "hidden", count === 0);
    toggle(this.chips, "hidden", count === 0);
    const focused = this.chips.contains(document.activeElement);
    this.chips.replaceChildren(
      ...Object.keys(this.values).filter((name) => this.tells(name)).map((name) =>
        h("button", { type: "button", class: "filter-chip", "aria-label": t("Remove the filter {name}", { name: this.words(name) }), "data-tip": t("Remove this filter"), onclick: () => this.set(name, null) }, this.words(name), icon("close")),
      ),
      count ? h("button", { type: "button", class: "quiet", "data-tip": t("Show everything again"), onclick: () => this.clear() }, t("Clear all")) : "",
    );
    if (focused) (this.chips.querySelector("button") ?? this.favourites).focus();
  }
}
