// A character sheet: from one portrait to views of the same person, which are kept as photos or thrown away.

import { get, post, preview, thumbnail } from "./api.js";
import { h, icon, iconButton, paced, setText, toggle } from "./dom.js";
import { feed } from "./feed.js";
import { t, tn } from "./language.js";
import { showSetup } from "./setup_way.js";
import { listOf } from "./stage.js";
import { complain, place, toast } from "./toast.js";
import { lookAt } from "./viewer.js";
import { progressWords } from "./words.js";

const GROUPS = { angles: t("Angles"), expressions: t("Expressions"), light: t("Light"), outfits: t("Outfits") };
const FACES = 24;
const REREAD_PER_S = 2;

const groupName = (group) => GROUPS[group] ?? group;
const endedState = (state) => ["done", "failed", "cancelled", "poisoned"].includes(state);

function grouped(items) {
  const found = new Map();
  for (const item of items) found.set(item.group, [...(found.get(item.group) ?? []), item]);
  return [...found];
}

function openDialog(looks, title, closed = () => {}) {
  const titled = h("h2", { id: "character-sheet-title" }, title);
  const dialog = h("dialog", { class: `character-sheet ${looks}`, "aria-labelledby": "character-sheet-title", onclose: (event) => event.target === dialog && (closed(), dialog.remove(), place()) });
  dialog.append(h("div", { class: "panel-head" }, titled, iconButton("close", t("Close"), () => dialog.close())));
  document.body.append(dialog);
  dialog.showModal();
  place();
  return dialog;
}

// What is to be made: the portrait, the model, the views. `acts` are {photos, consent, make}: the ways out of what stands in the way.
export async function orderSheet(character, acts, made) {
  const path = `characters/${encodeURIComponent(character.id)}`;
  let offer;
  let faces;
  try {
    const [said, photos, pictures] = await Promise.all([get(`${path}/sheet`), get(`${path}/images`), get("images", { character: character.id, limit: FACES })]);
    offer = said;
    faces = [...photos.items, ...pictures.items].sort((one, other) => (other.id === said.portrait) - (one.id === said.portrait)).slice(0, FACES);
  } catch (problem) {
    complain(problem);
    return;
  }
  const dialog = openDialog("sheet-order", t("Character sheet of {name}", { name: character.name }));
  const leave = (act) => () => (dialog.close(), act());
  const ways = {
    status: null,
    classifier: null,
    consent: [[t("Write it down"), leave(acts.consent), t("Who agreed to what, and until when")]],
    portrait: [[t("Choose photos"), leave(acts.photos), t("From your disk")], [t("Make pictures"), leave(acts.make), t("Generate makes a first portrait")]],
    workflow: [[t("Open Setup"), leave(() => showSetup()), t("Setup connects ComfyUI and says what it lacks")]],
  };
  const obstacles = offer.obstacles.map(({ field, message, remedy }) =>
    h("div", { class: "sheet-obstacle", dataset: { field } }, icon("warn"), h("p", {}, h("strong", {}, message), " ", remedy), ...(ways[field] ?? []).map(([words, act, tip]) => h("button", { type: "button", class: "button", "data-tip": tip, onclick: act }, words))),
  );
  const face = (picture) =>
    h("label", { class: "sheet-face", "data-tip": t("All views show this face") }, h("input", { type: "radio", name: "sheet-portrait", value: picture.id, checked: picture.id === offer.portrait, "aria-label": picture.name || picture.recipe?.prompt || t("Photo") }), h("img", { src: thumbnail(picture.id), alt: "", loading: "lazy" }));
  const usual = offer.workflows.find((one) => one.runs) ?? offer.workflows[0];
  // Without a server all lack the same, and that is said above them.
  const away = offer.workflows.length > 0 && offer.workflows.every((one) => !one.runs && one.lacks[0].kind === "server");
  const maker = (one) =>
    h(
      "label",
      { class: "sheet-maker", "data-off": !one.runs },
      h("input", { type: "radio", name: "sheet-workflow", value: one.id, checked: one === usual && one.runs, disabled: !one.runs, onchange: () => drawViews() }),
      h("span", {}, h("strong", {}, one.name), one.runs || away ? h("small", {}, one.about) : h("small", {}, `${one.lacks[0].message} ${one.lacks[0].remedy}`)),
      one.runs || !one.lacks[0].url ? null : h("a", { href: one.lacks[0].url, target: "_blank", rel: "noreferrer" }, t("Get it")),
    );
  const starter = h("label", { class: "sheet-maker", "data-off": true }, h("input", { type: "radio", name: "sheet-workflow", disabled: true }), h("span", {}, h("strong", {}, t("Starter model")), h("small", {}, t("Not for sheets: it draws every face anew, so the views would not show one person."))));
  const views = h("div", { class: "sheet-views" });
  const sum = h("p", { class: "soft", role: "status" });
  const go = h("button", { type: "button", class: "button primary", "data-tip": t("A job for each view; they wait in the queue like any other"), onclick: () => order() });
  const chosen = (name) => dialog.querySelector(`input[name=${name}]:checked`)?.value ?? null;
  const ticked = () => [...views.querySelectorAll("input[data-view]:checked")].map((input) => input.dataset.view);

  const off = [...offer.workflows.filter((one) => !one.runs).map(maker), starter];
  const others = h("details", { class: "fold", open: !usual?.runs && !away }, h("summary", {}, away ? t("What could make it, once ComfyUI answers") : tn("{count} other, and what it lacks", "{count} others, and what they lack", off.length)), h("div", { class: "sheet-makers" }, ...off));

  const drawViews = () => {
    const workflow = offer.workflows.find((one) => one.id === chosen("sheet-workflow")) ?? usual;
    views.replaceChildren(...grouped(workflow?.views ?? []).map(([group, items]) => group_(group, items)));
    count();
  };
  const group_ = (group, items) => {
    const all = h("input", { type: "checkbox", checked: true, onchange: () => (boxes.forEach((box) => (box.checked = all.checked)), count()) });
    const boxes = items.map((view) => h("input", { type: "checkbox", checked: true, dataset: { view: view.name }, onchange: () => (mark(), count()) }));
    const mark = () => {
      const on = boxes.filter((box) => box.checked).length;
      all.checked = on === boxes.length;
      all.indeterminate = on > 0 && on < boxes.length;
    };
    return h("fieldset", { dataset: { group } }, h("legend", {}, h("label", { "data-tip": t("All views of this kind, or none") }, all, groupName(group), h("span", { class: "soft" }, ` ${items.length}`))), h("div", { class: "sheet-ticks" }, ...items.map((view, index) => h("label", { "data-tip": view.prompt }, boxes[index], view.name))));
  };
  const count = () => {
    const many = ticked().length;
    setText(sum, offer.obstacles.length ? t("Something is missing: see above.") : t("Each view is one picture. The jobs go on when you close this."));
    setText(go, tn("Make {count} picture", "Make {count} pictures", many));
    go.disabled = !many || offer.obstacles.length > 0;
  };
  const order = async () => {
    go.disabled = true;
    try {
      const sheet = await post(`${path}/sheet`, { portrait: chosen("sheet-portrait"), workflow: chosen("sheet-workflow"), views: ticked() });
      dialog.close();
      made(sheet);
    } catch (problem) {
      complain(problem);
      count();
    }
  };
  dialog.append(
    h(
      "div",
      { class: "sheet-body" },
      h("p", { class: "soft" }, t("From one portrait: the same person from other sides, in other moods, light and clothes. You look through the results, and the good ones become photos.")),
      ...obstacles,
      faces.length ? h("section", {}, h("h3", {}, t("Portrait")), h("div", { class: "sheet-faces", role: "radiogroup", "aria-label": t("Portrait") }, ...faces.map(face))) : null,
      h("section", {}, h("h3", {}, t("Made with")), h("div", { class: "sheet-makers", role: "radiogroup", "aria-label": t("Made with") }, ...offer.workflows.filter((one) => one.runs).map(maker), others)),
      h("section", {}, h("h3", {}, t("Views")), views),
    ),
    h("div", { class: "sheet-foot" }, sum, go),
  );
  drawViews();
}

// The results, each beside its view's name: kept or thrown, by hand or by keys, and what is kept goes to the photos.
export class SheetReview {
  chosen = new Set();
  done = [];
  at = 0;

  constructor(sheet, character, { changed = () => {}, closed = () => {} } = {}) {
    Object.assign(this, { sheet, character, changed });
    this.reread = paced(() => this.load(), REREAD_PER_S);
    this.following = () => this.follow();
    feed.addEventListener("change", this.following);
    feed.addEventListener("pictures", this.reread);
    this.dialog = openDialog("sheet-review", t("Character sheet of {name}", { name: character.name }), () => {
      feed.removeEventListener("change", this.following);
      feed.removeEventListener("pictures", this.reread);
      closed();
    });
    this.words = h("p", { class: "soft", role: "status" });
    this.body = h("div", { class: "sheet-body" });
    const button = (name, words, tip, act, extra = "") => h("button", { type: "button", class: `button ${extra}`, "data-tip": tip, onclick: act }, name ? icon(name) : null, words);
    this.allButton = button(null, t("Select all"), t("Every picture that nothing was decided of (A)"), () => this.selectAll());
    this.keepButton = button("check", t("Keep"), t("The selected ones, or the one you are at (K)"), () => this.judge("kept"));
    this.throwButton = button("trash", t("Throw"), t("To the trash; can be undone (T or Delete)"), () => this.judge("thrown"), "danger");
    this.undoButton = button("restore", t("Undo"), t("Take the last decision back (U)"), () => this.undo());
    this.stopButton = button("close", t("Stop"), t("Cancel what is not made yet; what is there stays"), () => this.stop());
    this.addButton = button(null, "", t("They become photos of the character, with a caption made from the view"), () => this.add(), "primary");
    this.dialog.querySelector(".panel-head").children[0].after(this.words);
    this.dialog.append(this.body, h("div", { class: "sheet-foot" }, h("div", { class: "sheet-acts" }, this.allButton, this.keepButton, this.throwButton, this.undoButton, this.stopButton), this.addButton));
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
    this.build();
    this.draw();
    this.tiles[0]?.node.focus();
  }

  build() {
    this.tiles = [];
    this.body.replaceChildren(
      h("p", { class: "soft sheet-keys" }, t("Arrow keys move, K keeps, T throws, U takes it back, Enter shows it large.")),
      ...grouped(this.sheet.shots).map(([group, shots]) => h("section", {}, h("h3", {}, groupName(group)), h("ul", { class: "sheet-grid", "aria-label": groupName(group) }, ...shots.map((shot) => this.tile(shot))))),
    );
  }

  tile(shot) {
    const index = this.tiles.length;
    const image = h("img", { alt: "", decoding: "async", hidden: true });
    const bar = h("div", { class: "bar" }, h("i"));
    const note = h("span", { class: "sheet-note" });
    const look = h("button", { type: "button", class: "tile", onfocus: () => (this.at = index), onclick: () => this.look(index) }, image, bar);
    const tick = h("input", { type: "checkbox", class: "photo-tick", tabindex: "-1", "aria-label": t("Select {name}", { name: shot.view }), onchange: () => this.choose(index, tick.checked) });
    const act = (name, words, verdict) => iconButton(name, words, () => this.judge(this.shot(index).verdict === verdict ? "open" : verdict, [index]), { tabindex: "-1", dataset: { verdict }, "aria-label": t("{action}: {name}", { action: words, name: shot.view }), "aria-pressed": "false" });
    const acts = h("span", { class: "sheet-verdicts" }, act("check", t("Keep"), "kept"), act("trash", t("Throw"), "thrown"));
    const item = h("li", { class: "photo sheet-shot", dataset: { view: shot.view, job: shot.job_id } }, look, tick, h("span", { class: "sheet-name" }, h("span", {}, shot.view), note, acts));
    this.tiles.push({ item, node: look, image, bar, note, tick, acts });
    return item;
  }

  shot(index) {
    return this.sheet.shots[index];
  }

  draw() {
    const { shots } = this.sheet;
    shots.forEach((shot, index) => this.drawTile(shot, index));
    const count = (fits) => shots.filter(fits).length;
    const waiting = count((shot) => !endedState(shot.state));
    const undecided = count((shot) => shot.picture && shot.verdict === "open");
    const fresh = count((shot) => shot.verdict === "kept" && !shot.photo);
    const thrown = count((shot) => shot.verdict === "thrown");
    const added = count((shot) => shot.photo && shot.verdict === "kept");
    setText(
      this.words,
      [
        waiting && tn("{count} still to be made", "{count} still to be made", waiting),
        undecided && tn("{count} to decide", "{count} to decide", undecided),
        fresh && tn("{count} kept", "{count} kept", fresh),
        thrown && tn("{count} thrown", "{count} thrown", thrown),
        added && tn("{count} in the photos", "{count} in the photos", added),
      ]
        .filter(Boolean)
        .join(" · "),
    );
    toggle(this.stopButton, "hidden", !waiting);
    toggle(this.allButton, "disabled", !undecided);
    toggle(this.undoButton, "disabled", !this.done.length);
    for (const button of [this.keepButton, this.throwButton]) toggle(button, "disabled", waiting === shots.length);
    setText(this.addButton, fresh ? tn("Add {count} to the photos", "Add {count} to the photos", fresh) : t("Add the kept ones to the photos"));
    toggle(this.addButton, "disabled", !fresh);
  }

  drawTile(shot, index) {
    const { item, node, image, bar, note, tick, acts } = this.tiles[index];
    item.dataset.verdict = shot.photo && shot.verdict === "kept" ? "added" : shot.verdict;
    if (shot.picture && image.dataset.of !== shot.picture) {
      image.dataset.of = shot.picture;
      image.src = thumbnail(shot.picture);
    }
    const job = feed.job(shot.job_id);
    if (!shot.picture && job?.preview && !image.loading_) this.preview(image, job);
    toggle(image, "hidden", !image.dataset.of);
    const over = endedState(shot.state);
    toggle(bar, "hidden", (job?.state ?? shot.state) !== "running");
    bar.firstElementChild.style.setProperty("--done", job?.progress ?? shot.progress);
    toggle(bar, "data-unsure", !(job?.progress ?? shot.progress));
    toggle(acts, "hidden", !shot.picture);
    toggle(tick, "hidden", !shot.picture);
    tick.checked = this.chosen.has(index);
    item.classList.toggle("chosen", tick.checked);
    for (const button of acts.children) button.setAttribute("aria-pressed", button.dataset.verdict === shot.verdict);
    const failed = { failed: t("Failed"), poisoned: t("Failed"), cancelled: t("Cancelled") }[shot.state];
    const state = { added: t("In the photos"), kept: t("Kept"), thrown: t("Thrown") }[item.dataset.verdict] ?? (over ? (failed ?? "") : job ? progressWords(job) : t("Waiting"));
    setText(note, state);
    if (shot.problem) note.dataset.tip = `${shot.problem.message} ${shot.problem.remedy}`;
    node.setAttribute("aria-label", [shot.view, state].filter(Boolean).join(", "));
  }

  // One at a time, and only if nothing newer has come meanwhile.
  async preview(image, job) {
    const source = preview(job);
    if (image.dataset.of === source) return;
    image.loading_ = true;
    const next = new Image();
    next.src = source;
    const there = await next.decode().then(() => true, () => false);
    image.loading_ = false;
    if (!there || feed.job(job.id)?.state !== "running") return;
    image.src = image.dataset.of = source;
    toggle(image, "hidden", false);
  }

  follow() {
    const behind = this.sheet.shots.some((shot) => {
      const job = feed.job(shot.job_id);
      return job && job.state !== shot.state;
    });
    if (behind) this.reread();
    else this.draw();
  }

  async load() {
    if (!this.dialog.open) return;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const found = await get(`sheets/${encodeURIComponent(this.sheet.id)}`).catch(() => null);
    if (found && turn === this.turn) this.take(found);
  }

  take(sheet) {
    this.turn = (this.turn ?? 0) + 1;
    this.sheet = sheet;
    this.draw();
  }

  // Deciding

  choose(index, on) {
    if (on) this.chosen.add(index);
    else this.chosen.delete(index);
    this.draw();
  }

  selectAll() {
    const open = this.sheet.shots.flatMap((shot, index) => (shot.picture && shot.verdict === "open" ? [index] : []));
    const all = open.length === this.chosen.size && open.every((index) => this.chosen.has(index));
    this.chosen = new Set(all ? [] : open);
    this.draw();
  }

  async judge(verdict, which = this.chosen.size ? [...this.chosen] : [this.at]) {
    const shots = which.map((index) => this.shot(index)).filter((shot) => shot.picture && shot.verdict !== verdict);
    const single = which.length === 1 && !this.chosen.size;
    this.chosen.clear();
    if (!shots.length) return this.draw();
    const before = new Map(shots.map((shot) => [shot.view, shot.verdict]));
    if (!(await this.send([...before.keys()], verdict))) return undefined;
    this.done.push(before);
    this.draw();
    // On to the next one that wants a decision.
    if (single && verdict !== "open" && this.dialog.contains(document.activeElement)) this.goOn(which[0]);
    return undefined;
  }

  goOn(from) {
    const { shots } = this.sheet;
    for (let step = 1; step < shots.length; step++) {
      const index = (from + step) % shots.length;
      if (shots[index].picture && shots[index].verdict === "open") return this.tiles[index].node.focus();
    }
    return this.tiles[from].node.focus();
  }

  async undo() {
    const before = this.done.pop();
    if (!before) return;
    for (const verdict of new Set(before.values())) {
      const views = [...before].filter(([, was]) => was === verdict).map(([view]) => view);
      if (!(await this.send(views, verdict))) return;
    }
    this.draw();
    const back = this.sheet.shots.findIndex((shot) => before.has(shot.view));
    this.tiles[back]?.node.focus();
  }

  async send(views, verdict) {
    try {
      this.take(await post(`sheets/${encodeURIComponent(this.sheet.id)}/judge`, { views, verdict }));
      if (verdict !== "kept") feed.forgetPictures();
      return true;
    } catch (problem) {
      complain(problem);
      this.load();
      return false;
    }
  }

  async stop() {
    try {
      await post("jobs/cancel", { batch_id: this.sheet.id });
      this.load();
    } catch (problem) {
      complain(problem);
    }
  }

  async add() {
    this.addButton.disabled = true;
    try {
      const { items } = await post(`sheets/${encodeURIComponent(this.sheet.id)}/add`);
      toast(tn("{count} photo added", "{count} photos added", items.length), { ms: 4000 });
      this.done = [];
      // Not `load`, which makes way for a newer look: whether all is decided must be known here.
      this.take(await get(`sheets/${encodeURIComponent(this.sheet.id)}`));
      this.changed();
      if (!this.sheet.open) this.dialog.close();
    } catch (problem) {
      complain(problem);
      this.draw();
    }
  }

  look(index) {
    const ids = this.sheet.shots.filter((shot) => shot.picture).map((shot) => shot.picture);
    const known = new Map();
    const fetched = async (id) => known.get(id) ?? (known.set(id, await get(`images/${encodeURIComponent(id)}`).catch(() => null)), known.get(id));
    const wanted = this.shot(index).picture;
    if (!wanted) return;
    const list = { ...listOf(ids), at: (number) => fetched(ids[number]), find: (id) => ids.indexOf(id) };
    lookAt(list, ids.indexOf(wanted)).then(() => (this.load(), this.tiles[this.at].node.focus()));
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=checkbox])")) return;
    const inGrid = this.body.contains(event.target);
    const act = {
      ArrowRight: () => inGrid && this.move(1),
      ArrowLeft: () => inGrid && this.move(-1),
      ArrowDown: () => inGrid && this.move(this.across()),
      ArrowUp: () => inGrid && this.move(-this.across()),
      k: () => this.judge("kept"),
      t: () => this.judge("thrown"),
      delete: () => this.judge("thrown"),
      u: () => this.undo(),
      a: () => this.selectAll(),
      " ": () => inGrid && this.shot(this.at).picture && (this.choose(this.at, !this.chosen.has(this.at)), true),
    }[event.key.length > 1 && event.key !== "Delete" ? event.key : event.key.toLowerCase()];
    if (!act || act() === false) return;
    event.preventDefault();
  }

  across() {
    const top = this.tiles[this.at].item.offsetTop;
    return Math.max(1, this.tiles.filter(({ item }) => item.offsetTop === top).length);
  }

  move(by) {
    const index = Math.max(0, Math.min(this.tiles.length - 1, this.at + by));
    this.tiles[index].node.focus();
  }
}
