// The Train tab: what a character can be trained with, every training of it, and the LoRAs that came of them.

import { active, setActive } from "./active.js";
import { get, post } from "./api.js";
import { openCharacter, somebody } from "./chip.js";
import { h, icon, iconButton, paced, setText, toggle } from "./dom.js";
import { ended, feed, paints } from "./feed.js";
import { showTab, tabShown } from "./header.js";
import { number, t, tn } from "./language.js";
import { complain, toast } from "./toast.js";
import { TrainingForm } from "./training_form.js";
import { isJudged, runWords, stateTag, TrainingRun } from "./training_run.js";
import { askDelete, compareTwo } from "./training_versions.js";
import { ago, moment, progressWords } from "./words.js";

const VIEWS = {
  pictures: [t("Pictures"), t("What is learned from: datasets, captions and their check")],
  runs: [t("Training"), t("Begin a training, watch it, and choose what it made")],
};

// Which of the tab's two views is shown: as <html data-train> says.
let view = "runs";

function showView(next) {
  view = next;
  document.documentElement.dataset.train = next;
  document.dispatchEvent(new CustomEvent("likeness:train-view"));
}
showView(view);

// Above both views: whose training this is, and the way from one to the other.
class Bar extends HTMLElement {
  connectedCallback() {
    if (this.childElementCount) return;
    this.who = h("p", { class: "soft" });
    this.views = h("div", { class: "switch train-views", role: "group", "aria-label": t("What is shown"), hidden: true }, ...Object.entries(VIEWS).map(([id, [words, about]]) => h("button", { type: "button", "data-view": id, "data-tip": about, onclick: () => showView(id) }, words)));
    this.append(h("div", { class: "train-head" }, h("div", {}, h("h2", { tabindex: "-1" }, t("Train")), this.who), this.views));
    somebody.addEventListener("change", () => this.draw());
    document.addEventListener("likeness:train-view", () => this.draw());
    customElements.whenDefined("likeness-datasets").then(() => this.draw());
    this.draw();
  }

  draw() {
    const { character } = somebody;
    setText(this.who, character ? t("Teach a model what {name} looks like, from pictures, and pictures of {name} stay the same person.", { name: character.name }) : t("Teach a model what somebody looks like, from pictures."));
    toggle(this.views, "hidden", !character || !customElements.get("likeness-datasets"));
    for (const button of this.views.children) button.setAttribute("aria-pressed", button.dataset.view === view);
  }
}

class TrainingTab extends HTMLElement {
  lines = [];
  versions = [];
  rows = new Map();
  run = null;
  whose = null;

  connectedCallback() {
    if (this.childElementCount) return;
    this.body = h("div", { class: "train-body" });
    this.append(this.body);
    somebody.addEventListener("change", () => this.refresh());
    document.addEventListener("likeness:character", () => this.refresh());
    feed.addEventListener("change", () => this.follow());
    const reload = paced(() => this.visible() && this.load(), 1);
    feed.addEventListener("ended", (event) => !paints(event.detail) && reload());
    // Whoever comes back to the tab sees what happened meanwhile.
    let shown = false;
    new ResizeObserver(() => {
      const now = this.visible();
      if (now && !shown) this.refresh();
      shown = now;
    }).observe(this);
    document.addEventListener("likeness:train-view", () => this.visible() && this.refresh());
    this.drawn = true;
    this.refresh();
    const go = wanted;
    wanted = null;
    go?.(this);
  }

  visible() {
    return this.offsetParent !== null && tabShown() === "train";
  }

  refresh() {
    const { character } = somebody;
    if (!character) {
      this.whose = this.run = this.form = null;
      return active() ? undefined : this.nobody();
    }
    if (this.whose !== character.id) this.begin(character);
    if (this.visible()) this.load();
    return undefined;
  }

  nobody() {
    this.body.replaceChildren(
      h(
        "div",
        { class: "empty train-empty" },
        icon("person"),
        h("h3", {}, t("Who shall be learned?")),
        h("p", { class: "soft" }, t("Choose a character with photos, or make one. From a handful of pictures a model learns the face, and every picture after that is of the same person.")),
        h("button", { type: "button", class: "button primary", "data-tip": t("Open Characters: training begins with somebody's photos"), onclick: () => showTab("characters") }, t("Choose a character")),
      ),
    );
  }

  // Everything anew, for somebody else

  begin(character) {
    this.whose = character.id;
    this.character = character;
    this.lines = this.versions = [];
    this.rows.clear();
    this.run = null;
    this.opened = null;
    this.form = new TrainingForm(character, { ordered: (job) => this.ordered(job), pictures: () => this.pictures() });
    this.fold = h("details", { class: "train-panel train-new" }, h("summary", {}, h("h3", {}, t("New training"))), this.form.node);
    this.fold.addEventListener("toggle", () => (this.opened = this.fold.open));
    this.list = h("ul", { class: "train-runs", "aria-label": t("Trainings of {name}", { name: character.name }) });
    this.kept = h("ul", { class: "train-versions", "aria-label": t("LoRA versions of {name}", { name: character.name }) });
    this.runsPanel = h("section", { class: "train-panel" }, h("h3", {}, t("Trainings")), this.list);
    this.compareButton = h("button", { type: "button", class: "quiet", "data-tip": t("Two versions or checkpoints side by side, at the same prompts and seeds"), onclick: () => this.compareTwo() }, t("Compare two …"));
    this.keptPanel = h("section", { class: "train-panel train-kept" }, h("div", { class: "train-panel-head" }, h("h3", {}, t("LoRA versions")), this.compareButton), this.kept);
    this.side = h("div", { class: "train-side" }, this.runsPanel, this.keptPanel);
    this.main = h("div", { class: "train-main" });
    this.columns = h("div", { class: "train-columns", hidden: true }, this.side, this.main);
    this.empty = h("div", { class: "empty train-empty", hidden: true });
    this.body.replaceChildren(this.empty, this.fold, this.columns);
    this.fold.hidden = true;
  }

  async load() {
    const character = this.whose;
    if (!character) return;
    let offer, lines, versions;
    try {
      const query = { character };
      [offer, { items: lines }, { items: versions }] = await Promise.all([get("training/offer", { ...query, model: this.form.spec, dataset: this.form.dataset }), get("training", query), get("loras/versions", query)]);
    } catch (problem) {
      if (character === this.whose && !this.lines.length && this.fold.hidden) this.say(problem);
      return;
    }
    if (character !== this.whose) return;
    Object.assign(this, { lines, versions });
    this.form.take(offer);
    this.draw(offer);
    if (!this.run && lines.length) this.show((lines.find(({ job }) => job.state === "running") ?? lines[0]).job.id);
    else this.run?.load();
  }

  say(problem) {
    this.empty.hidden = false;
    this.empty.replaceChildren(icon("warn"), h("h3", {}, problem.message), h("p", { class: "soft" }, problem.remedy), h("button", { type: "button", class: "button", onclick: () => this.load() }, icon("retry"), t("Try again")));
  }

  draw(offer) {
    const { name } = this.character;
    const bare = !this.lines.length && !offer.pictures && offer.obstacles.every((one) => one.field === "dataset");
    toggle(this.empty, "hidden", !bare);
    if (bare) {
      this.empty.replaceChildren(
        icon("picture"),
        h("h3", {}, t("{name} has no photos yet", { name })),
        h("p", { class: "soft" }, t("A face is learned from pictures: ten to thirty different ones, alone in the picture, are a good start. From a single portrait a character sheet makes more.")),
        h("button", { type: "button", class: "button primary", onclick: () => openCharacter() }, icon("upload"), t("Add photos")),
      );
    }
    toggle(this.fold, "hidden", bare);
    // Whoever opened or closed it wants it so.
    if (this.opened === null) this.setOpen(!this.lines.length);
    toggle(this.columns, "hidden", !this.lines.length && !this.versions.length);
    this.drawRows();
    this.drawVersions();
  }

  setOpen(open) {
    if (this.fold.open === open) return;
    this.fold.open = open;
    // The event of this change comes later and is nobody's wish.
    this.fold.addEventListener("toggle", () => (this.opened = null), { once: true });
  }

  drawRows() {
    toggle(this.runsPanel, "hidden", !this.lines.length);
    const nodes = this.lines.map((line) => {
      let row = this.rows.get(line.job.id);
      if (!row) this.rows.set(line.job.id, (row = new Row(line.job.id, () => this.show(line.job.id, { byHand: true }))));
      row.show(line, feed.job(line.job.id) ?? line.job, this.run?.id === line.job.id);
      return row.node;
    });
    nodes.forEach((node, index) => this.list.children[index] !== node && this.list.insertBefore(node, this.list.children[index] ?? null));
    while (this.list.children.length > nodes.length) this.list.lastElementChild.remove();
  }

  drawVersions() {
    toggle(this.keptPanel, "hidden", !this.versions.length);
    const focused = this.kept.contains(document.activeElement);
    this.kept.replaceChildren(
      ...this.versions.map((one) => {
        const words = t("Version {version}", { version: number(one.version) });
        const use = h("button", { type: "button", class: "quiet", "data-tip": t("Pictures are made with this one again"), "aria-label": t("Use {version} again", { version: words }), onclick: () => this.useAgain(one, use) }, t("Use again"));
        const make = h("button", { type: "button", class: "quiet", "data-tip": t("Opens Generate with {name}", { name: this.character.name }), onclick: () => showTab("generate") }, t("Make a picture"));
        const back = h("button", { type: "button", class: "quiet", "aria-label": t("Restore {version}", { version: words }), "data-tip": t("Out of the trash, as it was"), onclick: () => this.restore(one, back) }, t("Restore"));
        const away = iconButton("trash", t("Delete {version} …", { version: words }), async () => (await askDelete(one, this.character)) && this.load());
        const gone = one.trashed ? h("span", { class: "tag warn" }, t("In the trash")) : h("span", { class: "tag warn" }, t("File is gone"));
        const acts = one.trashed ? [back] : !one.there ? [] : one.used ? [make] : [use, away];
        return h("li", { "data-used": one.used, "data-version": one.version }, h("div", {}, h("p", {}, h("strong", {}, words), one.used ? h("span", { class: "tag good" }, t("In use")) : null, one.there ? null : gone), h("p", { class: "soft train-small", title: moment(one.created_at) }, [tn("{count} step", "{count} steps", one.step), ago(one.created_at)].join(" · "))), h("span", { class: "train-version-acts" }, ...acts));
      }),
    );
    toggle(this.compareButton, "hidden", this.versions.length + (this.run?.training?.checkpoints.length ?? 0) < 2);
    if (focused) this.kept.querySelector("button")?.focus();
    if (!this.run) return;
    this.run.using = this.versions.find((one) => one.used && one.training === this.run.id)?.version ?? null;
    if (this.run.training) this.run.drawCheckpoints();
  }

  async useAgain(one, button) {
    button.disabled = true;
    try {
      const { lacks } = await post("loras/versions/use", { path: one.path });
      if (lacks) {
        toast(t("Version {version} can't be used yet", { version: number(one.version) }), { kind: "warn", detail: lacks, ms: 12_000 });
        return void (button.disabled = false);
      }
      toast(t("Version {version} is {name}'s LoRA again", { version: number(one.version), name: this.character.name }), { action: t("Make a picture"), act: () => showTab("generate") });
      document.dispatchEvent(new CustomEvent("likeness:characters"));
      if (this.run) this.run.used = null;
      this.load();
    } catch (problem) {
      complain(problem);
      button.disabled = false;
    }
  }

  async restore(one, button) {
    button.disabled = true;
    try {
      await post("loras/restore", { path: one.path });
      toast(t("Version {version} is back", { version: number(one.version) }), { ms: 3000 });
      this.load();
    } catch (problem) {
      complain(problem);
      button.disabled = false;
    }
  }

  compareTwo() {
    const run = this.run?.training;
    const taken = new Set(this.versions.filter((one) => one.training === this.run?.id).map((one) => one.step));
    const sides = [
      ...this.versions.filter((one) => one.there).map((one) => ({ name: one.path, words: t("Version {version}, {steps}", { version: number(one.version), steps: tn("{count} step", "{count} steps", one.step) }) })),
      ...(run?.checkpoints ?? []).filter((one) => !taken.has(one.step)).map((one) => ({ name: `${run.job.id}@${one.step}`, words: t("{steps} of {run}", { steps: tn("{count} step", "{count} steps", one.step), run: runWords(run.job) }) })),
    ];
    compareTwo(sides, this.character);
  }

  show(id, { byHand = false } = {}) {
    if (this.run?.id !== id) {
      clearTimeout(this.run?.timer);
      this.run = new TrainingRun(id, { shown: () => this.visible(), others: () => this.lines, picked: () => this.load() });
      this.main.replaceChildren(this.run.node);
      this.drawVersions();
      this.run.load();
    }
    toggle(this.columns, "hidden", false);
    this.drawRows();
    // On a phone it stands below the list.
    if (byHand && this.main.getBoundingClientRect().top > innerHeight - 120) this.main.scrollIntoView({ block: "start" });
  }

  ordered(job) {
    feed.take(job);
    this.setOpen(false);
    this.run = null;
    this.load().then(() => (this.show(job.id), this.columns.scrollIntoView({ block: "nearest" })));
  }

  // A training that another tab leads to; it may be somebody else's.
  async lookAt(id) {
    const job = feed.job(id) ?? (await get(`jobs/${encodeURIComponent(id)}`).catch(() => null));
    if (!job?.training) return;
    showView("runs");
    if (active() !== job.training.character) setActive(job.training.character);
    await somebody.load();
    if (somebody.character?.id !== job.training.character) return;
    this.refresh();
    this.show(id);
  }

  learnFrom(dataset) {
    showView("runs");
    this.refresh();
    if (!this.form) return;
    this.fold.open = true;
    this.form.from(dataset);
    this.fold.scrollIntoView({ block: "start" });
    this.form.button.focus({ preventScroll: true });
  }

  pictures() {
    if (customElements.get("likeness-datasets")) showView("pictures");
    else openCharacter();
  }

  // The stream told something: cheap where nothing of it is shown.
  follow() {
    if (!this.whose || !this.visible()) return;
    const known = new Set(this.lines.map((line) => line.job.id));
    const mine = [...feed.running, ...feed.paused, ...feed.queued].some((job) => job.training?.character === this.whose && !known.has(job.id));
    if (mine) this.unknown();
    this.drawRows();
    this.run?.follow();
  }

  unknown = paced(() => this.visible() && this.load(), 1);
}

class Row {
  constructor(id, open) {
    this.words = h("strong", {});
    this.tag = h("span", {});
    this.about = h("span", { class: "soft train-small" });
    this.bar = h("span", { class: "bar", "aria-hidden": "true" }, h("i"));
    this.button = h("button", { type: "button", class: "train-run-row", onclick: open }, h("span", { class: "train-row-head" }, this.words, this.tag), this.about, this.bar);
    this.node = h("li", { dataset: { run: id } }, this.button);
  }

  show(line, job, on) {
    setText(this.words, runWords(job));
    const key = [job.state, job.cancel_requested, isJudged(job)].join();
    if (key !== this.key) this.tag.replaceChildren(stateTag(job));
    this.key = key;
    const facts = [];
    if (job.state === "running") facts.push(progressWords(job));
    else {
      if (line.checkpoints) facts.push(tn("{count} checkpoint", "{count} checkpoints", line.checkpoints));
      if (line.loss !== null) facts.push(t("loss {loss}", { loss: number(line.loss, { maximumSignificantDigits: 3 }) }));
      if (ended(job) && job.finished_at) facts.push(ago(job.finished_at));
    }
    setText(this.about, facts.join(" · "));
    toggle(this.about, "hidden", !facts.length);
    toggle(this.bar, "hidden", job.state !== "running");
    this.bar.firstElementChild.style.setProperty("--done", job.progress);
    this.button.setAttribute("aria-pressed", on);
  }
}

// Other tabs lead here: `likeness:look` with a training's job, `likeness:train` with a dataset's id.
// The tab is drawn when it is first shown, so what was asked before then waits for it.
let wanted = null;

function lead(go) {
  const tab = document.querySelector("likeness-training");
  if (tab?.drawn) go(tab);
  else wanted = go;
}

document.addEventListener("likeness:look", ({ detail: id }) => {
  const job = feed.job(id);
  if (job?.captions) return showCaptions(job);
  if (!job || !paints(job)) lead((tab) => tab.lookAt(id));
});
// The pictures that captions are of.
function showCaptions(job) {
  if (job.captions.references) return;
  lead(() => {
    showView("pictures");
    if (job.captions.character !== active()) setActive(job.captions.character);
  });
}

document.addEventListener("likeness:train", async ({ detail }) => {
  const { dataset = null, character = null } = detail && typeof detail === "object" ? detail : { dataset: detail };
  showTab("train");
  if (character && character !== active()) setActive(character);
  // Whose dataset it is may still be on its way.
  if (somebody.character?.id !== active()) await somebody.load();
  lead((tab) => tab.learnFrom(dataset));
});
feed.addEventListener("ended", ({ detail: job }) => {
  if (!job.training || job.state !== "done" || tabShown() === "train") return;
  toast(t("A training is done"), { detail: t("Choose one of its checkpoints."), action: t("Show"), act: () => (showTab("train"), document.dispatchEvent(new CustomEvent("likeness:look", { detail: job.id }))), ms: 12_000 });
});

customElements.define("likeness-train-bar", Bar);
customElements.define("likeness-training", TrainingTab);
