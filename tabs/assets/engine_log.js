// A log that is being written, followed while it is open and seen: what the installation said, or what the server says.

import { get } from "./api.js";
import { h, icon, setText, toggle } from "./dom.js";
import { t } from "./language.js";
import { complain, toast } from "./toast.js";

const LOOK_MS = 1000;
const MOST_LINES = 3000;
// Closer to the end than this many pixels is at the end.
const NEAR = 24;
const LOGS = { install: t("Installation"), server: t("Server") };

export class EngineLog {
  #timer = 0;
  #next = "";
  #asked = 0;

  // `logs` are those that it has.
  constructor(engine, logs) {
    this.engine = engine;
    this.which = logs.at(-1);
    this.paused = false;
    this.choices = h(
      "div",
      { class: "switch", role: "group", "aria-label": t("Which log"), hidden: logs.length < 2 },
      ...logs.map((which) => h("button", { type: "button", dataset: { which }, onclick: () => this.open(which) }, LOGS[which])),
    );
    this.pause = h("button", { type: "button", class: "quiet", onclick: () => this.setPaused(!this.paused) });
    this.copy = h("button", { type: "button", class: "quiet", onclick: () => this.copyAll() }, t("Copy"));
    this.written = h("span");
    this.unfinished = h("span");
    this.text = h("pre", { class: "log-text", tabindex: 0, role: "log", "aria-live": "off", "aria-label": t("Log") }, this.written, this.unfinished);
    this.text.addEventListener("scroll", () => this.drawEnd(), { passive: true });
    this.end = h("button", { type: "button", class: "button log-end", hidden: true, onclick: () => this.toEnd() }, icon("down"), t("To the end"));
    this.node = h("div", { class: "engine-log", hidden: true }, h("div", { class: "log-bar" }, this.choices, h("span", { class: "log-acts" }, this.pause, this.copy)), h("div", { class: "log-frame" }, this.text, this.end));
    document.addEventListener("visibilitychange", () => !document.hidden && this.look());
    this.setPaused(false);
  }

  get isOpen() {
    return !this.node.hidden;
  }

  open(which) {
    const other = !this.isOpen || which !== this.which;
    this.which = which;
    toggle(this.node, "hidden", false);
    for (const button of this.choices.children) button.setAttribute("aria-pressed", button.dataset.which === which);
    if (!other) return;
    this.#next = "";
    this.written.replaceChildren();
    setText(this.unfinished, "");
    this.setPaused(false);
  }

  close() {
    toggle(this.node, "hidden", true);
    clearTimeout(this.#timer);
  }

  setPaused(paused) {
    this.paused = paused;
    setText(this.pause, paused ? t("Go on") : t("Pause"));
    if (paused) clearTimeout(this.#timer);
    else this.look();
  }

  async look() {
    clearTimeout(this.#timer);
    if (!this.isOpen || this.paused || document.hidden) return;
    const asked = ++this.#asked;
    // Nobody asks for what another tab hides.
    if (this.node.offsetParent) {
      try {
        const piece = await get(`engines/${this.engine}/log`, { which: this.which, ...(this.#next ? { after: this.#next } : { lines: 500 }) });
        if (asked !== this.#asked || this.paused) return;
        this.take(piece);
      } catch (problem) {
        if (asked !== this.#asked) return;
        complain(problem);
        return this.setPaused(true);
      }
    }
    this.#timer = setTimeout(() => this.look(), LOOK_MS);
  }

  take(piece) {
    const atEnd = this.atEnd();
    if (piece.anew) this.written.replaceChildren();
    this.#next = piece.next;
    this.written.append(...piece.lines.map((line) => document.createTextNode(`${line}\n`)));
    while (this.written.childNodes.length > MOST_LINES) this.written.firstChild.remove();
    const nothing = !this.written.childNodes.length && !piece.unfinished;
    setText(this.unfinished, nothing ? t("Nothing was logged yet.") : piece.unfinished);
    if (atEnd) this.toEnd();
    else this.drawEnd();
  }

  atEnd() {
    return this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < NEAR;
  }

  toEnd() {
    this.text.scrollTop = this.text.scrollHeight;
    this.drawEnd();
  }

  drawEnd() {
    toggle(this.end, "hidden", this.atEnd());
  }

  async copyAll() {
    try {
      await navigator.clipboard.writeText(this.text.textContent);
      toast(t("The log is copied"), { ms: 3000 });
    } catch {
      // Without a secure address browsers don't lend the clipboard: what is marked can be copied by hand.
      getSelection().selectAllChildren(this.text);
      toast(t("The log is marked: copy it with your keyboard"), { ms: 5000 });
    }
  }
}
