// The sidebar: the active character and the job tray, beside every tab. Where there is no room for it, the same parts open as a sheet.

import { faceOf, faceWords, openCharacter, somebody } from "./chip.js";
import { h, icon, iconButton, setText, store, toggle } from "./dom.js";
import { feed } from "./feed.js";
import { onTab } from "./header.js";
import { number, t, tn } from "./language.js";
import { place } from "./toast.js";

// As in tokens.css.
const WIDE = matchMedia("(min-width: 68.75rem)");
const root = document.documentElement;

class Sidebar {
  constructor() {
    this.panel = h("div", { class: "side-panel", id: "side-panel" }, h("likeness-active"), h("likeness-tray"));
    this.fold = iconButton("sidebar", "", () => this.setFolded(!this.folded), { class: "icon-button side-fold", "aria-controls": "side-panel" });
    this.face = h("button", { type: "button", class: "rail-button", onclick: () => openCharacter() });
    this.badge = h("span", { class: "badge", hidden: true });
    this.ring = h("span", { class: "rail-ring", "aria-hidden": "true" }, icon("tray"), this.badge);
    this.jobs = h("button", { type: "button", class: "rail-button", "data-tip": t("Jobs"), onclick: () => this.show() }, this.ring);
    this.rail = h("div", { class: "side-rail" }, this.face, this.jobs);
    this.node = h("aside", { id: "sidebar", "aria-label": t("Active character and jobs") }, this.fold, this.rail, this.panel);
    const close = iconButton("close", t("Close"), () => this.sheet.close());
    this.sheet = h("dialog", { class: "side-sheet", "aria-label": t("Active character and jobs"), onclose: () => (this.node.append(this.panel), place()) }, close);
    // A click beside the sheet closes it.
    this.sheet.addEventListener("click", (event) => event.target === this.sheet && this.sheet.close());
    document.body.append(this.node, this.sheet);

    this.setFolded(store("sidebar") === "folded");
    addEventListener("storage", (event) => event.key === "likeness-sidebar" && this.setFolded(event.newValue === "folded"));
    document.addEventListener("likeness:jobs", () => this.show());
    for (const type of ["look", "open-character", "new-character"]) document.addEventListener(`likeness:${type}`, () => this.sheet.close());
    onTab((tab) => {
      root.dataset.tab = tab;
      this.sheet.close();
    });
    WIDE.addEventListener("change", () => this.sheet.close());
    somebody.addEventListener("change", () => this.drawFace());
    feed.addEventListener("change", () => this.drawJobs());
    this.drawFace();
    this.drawJobs();
  }

  setFolded(folded) {
    this.folded = folded;
    store("sidebar", folded ? "folded" : null);
    root.dataset.side = folded ? "folded" : "open";
    const words = folded ? t("Unfold the sidebar") : t("Fold the sidebar");
    this.fold.setAttribute("aria-label", words);
    this.fold.setAttribute("aria-expanded", !folded);
    this.fold.dataset.tip = words;
  }

  // The jobs, wherever there is room for them.
  show() {
    if (WIDE.matches) {
      this.setFolded(false);
      this.fold.focus();
    } else if (!this.sheet.open) {
      this.sheet.append(this.panel);
      this.sheet.showModal();
    }
  }

  drawFace() {
    this.face.replaceChildren(faceOf(somebody.character));
    this.face.setAttribute("aria-label", faceWords(somebody.character));
    this.face.dataset.tip = somebody.character?.name ?? t("Choose a character");
  }

  drawJobs() {
    const [job] = feed.running;
    const active = feed.running.length + feed.queued.length;
    setText(this.badge, `${number(active)}${feed.queuedMore ? "+" : ""}`);
    toggle(this.badge, "hidden", !active);
    this.ring.style.setProperty("--done", job?.progress ?? 0);
    toggle(this.ring, "data-runs", job);
    this.jobs.setAttribute("aria-label", tn("{count} job is running or waiting. Show them.", "{count} jobs are running or waiting. Show them.", active));
  }
}

export const startSidebar = () => new Sidebar();
