// How busy the computer is while a training is watched. Asked for every few seconds, by one page that is seen, and at no other time.

import { get } from "./api.js";
import { h, setText, toggle } from "./dom.js";
import { number, t } from "./language.js";

const EVERY_MS = 3000;
const FIRST_MS = 1000; // what was not read for a while is not known at once
const gigabytes = (mb) => number(mb / 1024, { maximumFractionDigits: 1 });
const percent = (share) => t("{count} %", { count: number(Math.round(100 * share)) });

export class Meters {
  timer = 0;
  meters = new Map();

  // `watched()` says whether a training runs here and somebody looks.
  constructor(watched) {
    this.watched = watched;
    this.node = h("div", { class: "train-system", role: "group", "aria-label": t("How busy the computer is"), hidden: true });
  }

  // Begins to ask when there is something to watch; it ends by itself.
  follow() {
    toggle(this.node, "hidden", !this.watched() || !this.node.childElementCount);
    if (!this.timer && this.watched()) this.ask();
  }

  async ask() {
    this.timer = setTimeout(() => ((this.timer = 0), this.follow()), this.node.childElementCount ? EVERY_MS : FIRST_MS);
    if (document.hidden) return;
    try {
      this.draw(await get("system"));
    } catch {
      // The page says elsewhere that the studio is not answering.
    }
  }

  draw({ cpu, memory_mb, memory_total_mb, cards }) {
    const found = [];
    const memory = (used, total) => ({ share: used / total, words: t("{used} of {total} GB", { used: gigabytes(used), total: gigabytes(total) }) });
    cards.forEach((card, index) => {
      const which = { number: number(index + 1) };
      const several = cards.length > 1;
      if (card.use !== null) found.push([several ? t("GPU {number}", which) : t("GPU"), { share: card.use, words: percent(card.use), tip: card.name }]);
      if (card.memory_mb !== null && card.memory_total_mb) found.push([several ? t("VRAM {number}", which) : t("VRAM"), { ...memory(card.memory_mb, card.memory_total_mb), tip: t("Memory of the graphics card: {name}", { name: card.name }) }]);
      if (card.temperature !== null) found.push([several ? t("Temperature {number}", which) : t("Temperature"), { share: card.temperature / 100, words: t("{count} °C", { count: number(Math.round(card.temperature)) }), tip: card.name }]);
    });
    if (cpu !== null) found.push([t("CPU"), { share: cpu, words: percent(cpu), tip: t("All processors together, other programs included") }]);
    if (memory_mb !== null) found.push([t("RAM"), { ...memory(memory_mb, memory_total_mb), tip: t("Memory of the computer, other programs included") }]);
    found.forEach(([name, told], index) => {
      let meter = this.meters.get(name);
      if (!meter) this.meters.set(name, (meter = new Meter(name)));
      meter.show(told);
      if (this.node.children[index] !== meter.node) this.node.insertBefore(meter.node, this.node.children[index] ?? null);
    });
    while (this.node.children.length > found.length) this.node.lastElementChild.remove();
    toggle(this.node, "hidden", !found.length || !this.watched());
  }
}

class Meter {
  constructor(name) {
    this.words = h("b", {});
    this.bar = h("i", { "aria-hidden": "true" });
    this.node = h("div", { class: "train-meter" }, h("span", {}, name), this.words, this.bar);
  }

  show({ share, words, tip }) {
    setText(this.words, words);
    this.bar.style.setProperty("--done", Math.min(1, Math.max(0, share)));
    if (tip) this.node.dataset.tip = tip;
  }
}
