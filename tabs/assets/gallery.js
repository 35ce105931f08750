// The gallery: a window onto a list of any length. Only what can be seen is in the page; the rest is known by its number.

import { get, remove, thumbnail } from "./api.js";
import { compare } from "./compare.js";
import { h, icon, iconButton, paced, setText, store, toggle } from "./dom.js";
import { enlarge } from "./enlarge.js";
import { feed } from "./feed.js";
import { Filters } from "./filters.js";
import { t, tn } from "./language.js";
import { favour, saveZip } from "./library.js";
import { complain, toast } from "./toast.js";
import { confirmed } from "./tray.js";
import { fromTrash, lookAt, toTrash } from "./viewer.js";
import { showTab } from "./header.js";

const PAGE = 100;
const PAGES_KEPT = 40;
const ROWS_AHEAD = 2;
const GAP = 8;
// As many as the studio takes at once.
const MOST_SELECTED = 10_000;
const SIZES = { s: 120, m: 180, l: 280 };

class Gallery extends HTMLElement {
  total = null;
  pages = new Map();
  asking = new Map();
  cells = new Map();
  selected = new Map();
  focusAt = 0;
  anchor = null;
  trashed = false;
  search = "";
  turn = 0;

  connectedCallback() {
    if (this.childElementCount) {
      this.resizing.observe(this.scroller);
      return;
    }
    this.size = store("size") in SIZES ? store("size") : "m";
    this.drawBars();
    this.sheet = h("div", { class: "sheet", role: "listbox", "aria-multiselectable": "true", "aria-label": t("Pictures") });
    this.scroller = h("div", { class: "gallery-scroll" }, this.sheet);
    this.empty = h("div", { class: "empty", hidden: true });
    this.append(this.bar, this.filters.bar, this.filters.sheet, this.filters.chips, this.selectionBar, h("div", { class: "gallery-body" }, this.scroller, this.empty));
    const redraw = paced(() => this.draw(), 60);
    this.scroller.addEventListener("scroll", redraw, { passive: true });
    this.resizing = new ResizeObserver(() => this.layout());
    this.resizing.observe(this.scroller);
    this.sheet.addEventListener("click", (event) => this.onClick(event));
    // However the focus came to a cell: keys act on that one.
    this.sheet.addEventListener("focusin", (event) => (this.focusAt = event.target.closest(".cell")?.index ?? this.focusAt));
    this.sheet.addEventListener("keydown", (event) => this.onKey(event));
    const refresh = paced(() => this.refresh(), 2);
    feed.addEventListener("pictures", () => (this.filters.forget(), refresh()));
    document.addEventListener("likeness:picture-changed", (event) => this.changed(event.detail));
    this.reset();
  }

  // The bars above the grid

  drawBars() {
    let waiting = 0;
    this.box = h("input", {
      type: "search",
      placeholder: t("Search prompts, captions and names"),
      "aria-label": t("Search prompts, captions and names"),
      "data-tip": t("Words that a picture was made with, or that say what it shows"),
      oninput: () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => ((this.search = this.box.value.trim()), this.reset()), 250);
      },
    });
    this.count = h("p", { class: "soft", role: "status" });
    const shelf = (words, trashed) => {
      const button = h("button", { type: "button", "aria-pressed": trashed === this.trashed, "data-tip": trashed ? t("What was thrown away; it can be restored until the trash is emptied") : t("All pictures that were made"), onclick: () => this.showShelf(trashed) }, words);
      button.trashed = trashed;
      return button;
    };
    this.shelves = h("div", { class: "switch", role: "group", "aria-label": t("Which pictures") }, shelf(t("Library"), false), shelf(t("Trash"), true));
    this.emptyButton = h("button", { type: "button", class: "quiet danger", hidden: true, "data-tip": t("Delete what is in it for good; asks first"), onclick: () => this.emptyTrash() }, t("Empty trash"));
    const size = (name, words) => h("button", { type: "button", "data-size": name, "aria-label": words, "data-tip": words, "aria-pressed": this.size === name, onclick: () => this.setSize(name) }, h("i"));
    this.sizes = h("div", { class: "switch sizes", role: "group", "aria-label": t("Size of the pictures") }, size("s", t("Small")), size("m", t("Medium")), size("l", t("Large")));
    this.filters = new Filters(() => this.reset());
    this.allAct = h("button", { type: "button", class: "quiet", hidden: true, "data-tip": t("All that the filters show (Ctrl+A)"), onclick: () => this.selectAll() }, t("Select all"));
    this.bar = h("div", { class: "gallery-bar" }, h("label", { class: "search" }, icon("search"), this.box), this.filters.button, this.shelves, this.count, this.allAct, this.emptyButton, this.sizes);
    this.selectionWords = h("p", { role: "status" });
    this.selectionAct = h("button", { type: "button", class: "button", onclick: () => this.actOnSelection() });
    const act = (name, words, about, run) =>
      h("button", { type: "button", class: "button", "aria-label": words, "data-tip": about, onclick: run }, icon(name), h("span", {}, words));
    this.compareAct = act("compare", t("Compare"), t("Put the two pictures over each other"), () => this.compareSelection());
    this.heartAct = act("heart", t("Favourite"), t("Make them favourites, or no more if all of them are (F)"), () => this.favourSelection());
    this.enlargeAct = act("enlarge", t("Enlarge …"), t("Upscale them, or draw them again with more detail"), () => enlarge([...this.selected.keys()]));
    this.zipAct = act("parcel", t("ZIP"), t("Download them as one file, with a list of what made each"), () => this.zipSelection());
    this.selectionBar = h(
      "div",
      { class: "selection-bar", role: "group", "aria-label": t("Selected pictures"), hidden: true },
      this.selectionWords,
      this.compareAct,
      this.heartAct,
      this.enlargeAct,
      this.zipAct,
      this.selectionAct,
      h("button", { type: "button", class: "quiet", "data-tip": t("Select nothing (Esc)"), onclick: () => this.clearSelection() }, t("Clear")),
    );
  }

  showShelf(trashed) {
    if (this.trashed === trashed) return;
    this.trashed = trashed;
    for (const button of this.shelves.children) button.setAttribute("aria-pressed", button.trashed === trashed);
    this.filters.look(trashed);
    this.reset();
  }

  setSize(name) {
    this.size = name;
    store("size", name);
    for (const button of this.sizes.children) button.setAttribute("aria-pressed", button.dataset.size === name);
    this.layout();
  }

  // The list

  reset() {
    this.turn += 1;
    this.pages.clear();
    this.asking.clear();
    this.clearSelection();
    this.total = null;
    this.filters.found(null);
    this.focusAt = 0;
    this.scroller.scrollTop = 0;
    this.page(0);
  }

  // The library changed: everything known may be wrong, but stays on view until it is known better.
  refresh() {
    if (this.total === null) return;
    this.turn += 1;
    this.asking.clear();
    for (const page of this.pages.values()) page.old = true;
    const [from, to] = this.range();
    for (let number = Math.floor(from / PAGE); number <= Math.floor(Math.max(from, to - 1) / PAGE); number++) this.page(number);
  }

  page(number) {
    const known = this.pages.get(number);
    if (known && !known.old) return Promise.resolve(known.items);
    if (this.asking.has(number)) return this.asking.get(number);
    const turn = this.turn;
    const asking = get("images", { ...this.filters.query(), trashed: this.trashed, search: this.search, offset: number * PAGE, limit: PAGE }).then(
      (found) => {
        if (turn !== this.turn) return found.items;
        this.asking.delete(number);
        this.pages.delete(number);
        this.pages.set(number, { items: found.items, old: false });
        for (const far of this.pages.keys()) {
          if (this.pages.size <= PAGES_KEPT) break;
          this.pages.delete(far);
        }
        this.setTotal(found.total ?? found.items.length);
        return found.items;
      },
      (problem) => {
        if (turn === this.turn) {
          this.asking.delete(number);
          if (this.total === null) this.say("warn", problem.message, problem.remedy);
        }
        return [];
      },
    );
    this.asking.set(number, asking);
    return asking;
  }

  async at(index) {
    return (await this.page(Math.floor(index / PAGE)))[index % PAGE] ?? null;
  }

  known(index) {
    return this.pages.get(Math.floor(index / PAGE))?.items[index % PAGE] ?? null;
  }

  find(id) {
    for (const [number, page] of this.pages) {
      const at = page.old ? -1 : page.items.findIndex((picture) => picture.id === id);
      if (at >= 0) return number * PAGE + at;
    }
    return -1;
  }

  setTotal(total) {
    this.total = total;
    this.filters.found(total);
    this.looking?.changed();
    setText(this.count, this.search || this.filters.active ? tn("{count} picture found", "{count} pictures found", total) : tn("{count} picture", "{count} pictures", total));
    toggle(this.allAct, "hidden", !total);
    toggle(this.emptyButton, "hidden", !this.trashed || total === 0 || Boolean(this.search) || this.filters.active > 0);
    this.focusAt = Math.max(0, Math.min(this.focusAt, total - 1));
    this.layout();
    if (total > 0) {
      this.empty.hidden = true;
    } else if (this.filters.active) {
      this.say("filter", t("Nothing fits"), t("No picture fits all of these filters."), t("Clear all filters"), () => this.clearFilters());
    } else if (this.search) {
      this.say("search", t("Nothing found"), t("No prompt, no caption and no name has “{words}” in it.", { words: this.search }));
    } else if (this.trashed) {
      this.say("trash", t("The trash is empty"), t("Pictures you throw away wait here until you empty it."));
    } else {
      this.say("picture", t("No pictures yet"), t("Everything you make is kept here."), t("Make the first one"), () => showTab("generate"));
    }
  }

  clearFilters() {
    this.box.value = this.search = "";
    this.filters.clear();
  }

  say(name, title, words, action = null, act = null) {
    this.empty.replaceChildren(
      icon(name),
      h("h2", {}, title),
      h("p", { class: "soft" }, words ?? ""),
      action ? h("button", { type: "button", class: "button primary", onclick: act }, action) : "",
    );
    this.empty.hidden = false;
  }

  // The window

  layout() {
    const width = this.scroller.clientWidth - 2 * this.pad();
    if (width <= 0 || this.total === null) return;
    const wanted = SIZES[this.size] * (parseFloat(getComputedStyle(document.documentElement).fontSize) / 16);
    const most = width < 520 ? { s: 4, m: 3, l: 2 }[this.size] : Infinity;
    const columns = Math.max(1, Math.min(most, Math.floor((width + GAP) / (wanted + GAP))));
    const side = (width - GAP * (columns - 1)) / columns;
    if (columns !== this.columns || side !== this.side) {
      // What was at the top stays at the top.
      const top = this.columns ? Math.floor(this.scroller.scrollTop / (this.side + GAP)) * this.columns : 0;
      Object.assign(this, { columns, side });
      this.sheet.style.setProperty("--side", `${side}px`);
      if (top) this.scroller.scrollTop = Math.floor(top / columns) * (side + GAP);
    }
    this.sheet.style.height = `${Math.max(0, Math.ceil(this.total / columns) * (side + GAP) - GAP)}px`;
    this.draw();
  }

  pad() {
    return parseFloat(getComputedStyle(this.scroller).paddingLeft) || 0;
  }

  range() {
    if (!this.columns || !this.total) return [0, 0];
    const row = this.side + GAP;
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / row) - ROWS_AHEAD);
    const last = Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / row) + ROWS_AHEAD;
    return [first * this.columns, Math.min(this.total, last * this.columns)];
  }

  draw() {
    const [from, to] = this.range();
    for (const [index, cell] of this.cells) {
      // The cell that has the focus stays, wherever it is.
      if ((index < from || index >= to) && !(index === this.focusAt && cell.contains(document.activeElement))) {
        cell.remove();
        this.cells.delete(index);
      }
      if (index >= (this.total ?? 0)) {
        cell.remove();
        this.cells.delete(index);
      }
    }
    const missing = new Set();
    for (let index = from; index < to; index++) {
      const picture = this.known(index);
      if (!picture || this.pages.get(Math.floor(index / PAGE)).old) missing.add(Math.floor(index / PAGE));
      this.drawCell(index, picture);
    }
    if (!missing.size) return;
    // Flying past a thousand rows asks for few of them.
    clearTimeout(this.asked);
    const ask = () => {
      this.lastAsked = performance.now();
      missing.forEach((number) => this.page(number));
    };
    if (performance.now() - (this.lastAsked ?? 0) > 300) ask();
    else this.asked = setTimeout(ask, 60);
  }

  drawCell(index, picture) {
    let cell = this.cells.get(index);
    if (!cell) {
      cell = h("div", { class: "cell", role: "option", tabindex: "-1" }, h("img", { alt: "", decoding: "async", draggable: "false" }), h("span", { class: "tick", "aria-hidden": "true" }, icon("check")), h("span", { class: "heart", "aria-hidden": "true" }, icon("heart")));
      cell.index = index;
      cell.firstElementChild.addEventListener("load", () => cell.removeAttribute("data-empty"));
      this.cells.set(index, cell);
      this.sheet.append(cell);
    }
    cell.style.transform = `translate(${(index % this.columns) * (this.side + GAP)}px, ${Math.floor(index / this.columns) * (this.side + GAP)}px)`;
    cell.tabIndex = index === this.focusAt ? 0 : -1;
    cell.setAttribute("aria-posinset", index + 1);
    cell.setAttribute("aria-setsize", this.total);
    if (cell.dataset.picture === (picture?.id ?? "")) return this.mark(cell);
    cell.dataset.picture = picture?.id ?? "";
    cell.toggleAttribute("data-empty", true);
    const image = cell.firstElementChild;
    if (picture) {
      image.src = thumbnail(picture.id);
      if (image.complete && image.naturalWidth) cell.removeAttribute("data-empty");
    } else image.removeAttribute("src");
    return this.mark(cell);
  }

  mark(cell) {
    const picture = this.known(cell.index);
    const words = picture ? picture.recipe?.prompt || picture.caption || picture.name || t("Uploaded picture") : t("Loading");
    const label = picture?.favourite ? t("Favourite: {picture}", { picture: words }) : words;
    if (cell.getAttribute("aria-label") !== label) cell.setAttribute("aria-label", label);
    toggle(cell, "data-favourite", picture?.favourite);
    const on = this.selected.has(cell.dataset.picture);
    cell.setAttribute("aria-selected", on);
  }

  // Choosing

  onClick(event) {
    const cell = event.target.closest(".cell");
    if (!cell?.dataset.picture) return;
    this.focusAt = cell.index;
    if (event.target.closest(".heart")) this.favour(cell.index);
    else if (event.shiftKey && this.anchor !== null) this.selectRange(this.anchor, cell.index);
    else if (event.target.closest(".tick") || event.ctrlKey || event.metaKey || this.selected.size) this.toggleSelected(cell.index);
    else this.open(cell.index);
  }

  onKey(event) {
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / (this.side + GAP))) * this.columns;
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      event.preventDefault();
      const before = this.focusAt;
      this.moveTo(this.focusAt + moves[event.key]);
      if (event.shiftKey) this.selectRange((this.anchor ??= before), this.focusAt);
    } else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.selectAll();
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.open(this.focusAt);
    } else if (event.key === " ") {
      event.preventDefault();
      this.toggleSelected(this.focusAt);
    } else if (event.key.toLowerCase() === "f" && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      if (this.selected.size) this.favourSelection();
      else this.favour(this.focusAt);
    } else if (event.key === "Delete" && !this.trashed) {
      event.preventDefault();
      const picture = this.known(this.focusAt);
      if (this.selected.size) this.actOnSelection();
      else if (picture) this.throwAway([picture.id]);
    } else if (event.key === "Escape" && this.selected.size) this.clearSelection();
  }

  moveTo(index) {
    this.focusAt = Math.max(0, Math.min(this.total - 1, index));
    const row = this.side + GAP;
    const top = Math.floor(this.focusAt / this.columns) * row;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + row > this.scroller.scrollTop + this.scroller.clientHeight - 2 * this.pad()) this.scroller.scrollTop = top + row - this.scroller.clientHeight + 2 * this.pad();
    this.draw();
    this.cells.get(this.focusAt)?.focus({ preventScroll: true });
  }

  toggleSelected(index) {
    const picture = this.known(index);
    if (!picture) return;
    if (this.selected.has(picture.id)) this.selected.delete(picture.id);
    else this.selected.set(picture.id, index);
    this.anchor = index;
    this.showSelection();
  }

  async selectRange(one, other) {
    const [from, to] = one < other ? [one, other] : [other, one];
    for (let index = from; index <= to; index++) {
      const picture = this.known(index) ?? (await this.at(index));
      if (picture) this.selected.set(picture.id, index);
    }
    this.showSelection();
  }

  async selectAll() {
    this.allAct.disabled = true;
    await this.selectRange(0, Math.min(this.total, MOST_SELECTED) - 1);
    this.allAct.disabled = false;
  }

  clearSelection() {
    this.selected.clear();
    this.anchor = null;
    this.showSelection();
  }

  showSelection() {
    const count = this.selected.size;
    toggle(this.selectionBar, "hidden", count === 0);
    toggle(this, "data-selecting", count > 0);
    setText(this.selectionWords, tn("{count} selected", "{count} selected", count));
    toggle(this.compareAct, "hidden", count !== 2);
    toggle(this.enlargeAct, "hidden", this.trashed);
    const words = this.trashed ? t("Restore") : t("To trash");
    this.selectionAct.setAttribute("aria-label", words);
    this.selectionAct.replaceChildren(icon(this.trashed ? "restore" : "trash"), h("span", {}, words));
    for (const cell of this.cells.values()) this.mark(cell);
  }

  async actOnSelection() {
    const ids = [...this.selected.keys()];
    const done = this.trashed ? await fromTrash(ids) : await toTrash(ids);
    if (!done) return;
    this.clearSelection();
    this.refresh();
  }

  async compareSelection() {
    const chosen = await Promise.all([...this.selected].map(async ([id, index]) => this.known(index)?.id === id ? this.known(index) : get(`images/${encodeURIComponent(id)}`).catch(() => null)));
    if (chosen.length !== 2 || chosen.includes(null)) return;
    // The older one is the one before.
    await compare(...chosen.sort((one, other) => one.created_at.localeCompare(other.created_at)));
    this.compareAct.focus();
  }

  async favourSelection() {
    const all = [...this.selected].every(([id, index]) => this.known(index)?.id === id && this.known(index).favourite);
    await favour([...this.selected.keys()], !all);
  }

  zipSelection() {
    return saveZip([...this.selected.keys()], this.zipAct);
  }

  favour(index) {
    const picture = this.known(index);
    if (picture) favour([picture.id], !picture.favourite);
  }

  // A picture was changed on this page: shown at once, before the server tells of it.
  changed({ ids, change }) {
    const wanted = new Set(ids);
    for (const page of this.pages.values()) page.items = page.items.map((picture) => (wanted.has(picture.id) ? { ...picture, ...change } : picture));
    for (const cell of this.cells.values()) this.mark(cell);
  }

  async throwAway(ids) {
    if (await toTrash(ids)) this.refresh();
  }

  async emptyTrash() {
    const question = tn("Delete {count} picture for good?", "Delete {count} pictures for good?", this.total);
    if (!(await confirmed(question, t("Their files are removed from your disk. This can't be undone."), t("Delete for good"), t("Keep them")))) return;
    try {
      const { count } = await remove("trash");
      toast(tn("{count} picture deleted", "{count} pictures deleted", count));
      this.refresh();
    } catch (problem) {
      complain(problem);
    }
  }

  // Looking

  async open(index) {
    const gallery = this;
    const list = {
      get total() {
        return gallery.total ?? 0;
      },
      at: (number) => gallery.at(number),
      find: (id) => gallery.find(id),
      left: (id) => gallery.leave(id),
    };
    this.looking = list;
    this.focusAt = index;
    const last = await lookAt(list, index);
    this.looking = null;
    if (this.total) this.moveTo(Math.min(last, this.total - 1));
  }

  // A picture left this list: its successors move up at once, and the server is asked to confirm.
  leave(id) {
    for (const [number, page] of this.pages) {
      const at = page.items.findIndex((picture) => picture.id === id);
      if (at < 0) continue;
      page.items.splice(at, 1);
      for (let next = number + 1; this.pages.has(next) && this.pages.get(next).items.length; next++) {
        this.pages.get(next - 1).items.push(this.pages.get(next).items.shift());
      }
      this.setTotal(this.total - 1);
      break;
    }
    this.refresh();
  }

  disconnectedCallback() {
    this.resizing?.disconnect();
  }
}

customElements.define("likeness-gallery", Gallery);
