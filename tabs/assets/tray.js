// The job tray: what runs, what waits, what ended lately. The same in every browser that is open, and after a reload.

import { get, post, preview, thumbnail } from "./api.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { ended, feed, paints } from "./feed.js";
import { showTab } from "./header.js";
import { number, t, tn } from "./language.js";
import { complain, toast } from "./toast.js";
import { duration, endWords, jobTitle, learnMore, nameOf, progressWords } from "./words.js";

const QUEUED_SHOWN = 12;
const ENDED_SHOWN = 12;
const CANCELLED_SHOWN = 4;
const AGO_MS = 20_000;
const WORKER_LATE_MS = 4000;

class Tray extends HTMLElement {
  rows = new Map();
  heads = new Map();

  connectedCallback() {
    if (this.childElementCount) return;
    this.count = h("span", { class: "count" });
    this.cancelAll = h("button", { type: "button", class: "quiet danger", hidden: true, "data-tip": t("Stop everything that runs or waits; asks first"), onclick: () => this.askCancelAll() }, t("Cancel all"));
    this.notice = h("p", { class: "notice", role: "status", hidden: true });
    this.list = h("ul", { class: "rows", "aria-label": t("Jobs") });
    this.more = h("p", { class: "more-words", hidden: true });
    this.past = h("ul", { class: "rows", "aria-label": t("Ended jobs") });
    this.pastHead = h("h3", { hidden: true }, t("Lately"));
    this.empty = h(
      "div",
      { class: "empty", hidden: true },
      icon("tray"),
      h("p", {}, t("Nothing is being made.")),
      h("p", { class: "soft" }, t("Jobs appear here and go on when you close the page.")),
    );
    this.append(
      h("div", { class: "panel-head" }, h("h2", {}, t("Jobs")), this.count, this.cancelAll),
      this.notice,
      h("div", { class: "scroll" }, this.empty, this.list, this.more, this.pastHead, this.past),
    );
    feed.addEventListener("change", () => this.draw());
    feed.addEventListener("link", () => this.draw());
    // “3 minutes ago” goes on, also where nothing happens.
    setInterval(() => document.hidden || this.draw(), AGO_MS);
    this.draw();
  }

  draw() {
    if (!feed.synced) {
      this.empty.hidden = true;
      return;
    }
    const queued = feed.queued.slice(0, QUEUED_SHOWN);
    const live = [...feed.running, ...feed.paused, ...queued];
    let cancelled = 0;
    const past = feed.ended.filter((job) => job.state !== "cancelled" || ++cancelled <= CANCELLED_SHOWN).slice(0, ENDED_SHOWN);
    this.place(this.list, live);
    this.place(this.past, past);
    const hidden = feed.queued.length - queued.length;
    toggle(this.more, "hidden", !hidden);
    setText(this.more, tn("and {count} more waiting", "and {count} more waiting", hidden, { count: `${number(hidden)}${feed.queuedMore ? "+" : ""}` }));
    toggle(this.pastHead, "hidden", !past.length);
    toggle(this.empty, "hidden", live.length || past.length);
    const active = feed.running.length + feed.queued.length;
    setText(this.count, active ? `${number(active)}${feed.queuedMore ? "+" : ""}` : "");
    toggle(this.count, "hidden", !active);
    toggle(this.cancelAll, "hidden", active < 2);
    for (const [batch, head] of this.heads) if (!head.isConnected) this.heads.delete(batch);
    for (const id of this.rows.keys()) if (!this.rows.get(id).node.isConnected) this.rows.delete(id);
    this.watchWorker();
  }

  // Rows are kept and moved, never drawn anew: hover, focus and half-loaded pictures stay.
  place(list, jobs) {
    const nodes = [];
    jobs.forEach((job, index) => {
      let row = this.rows.get(job.id);
      if (!row) this.rows.set(job.id, (row = new Row(job.id)));
      row.show(job);
      const goesOn = index > 0 && jobs[index - 1].batch_id === job.batch_id;
      toggle(row.node, "data-batch-goes-on", goesOn);
      if (!goesOn && list === this.list) {
        const head = this.headOf(job);
        if (head) nodes.push(head);
      }
      nodes.push(row.node);
    });
    nodes.forEach((node, index) => list.children[index] !== node && list.insertBefore(node, list.children[index] ?? null));
    while (list.children.length > nodes.length) list.lastElementChild.remove();
  }

  // Above the jobs of one request: how many are left, and a way to stop them all.
  headOf(job) {
    const left = [...feed.running, ...feed.queued].filter((one) => one.batch_id === job.batch_id);
    const done = feed.ended.filter((one) => one.batch_id === job.batch_id).length;
    if (left.length + done < 2) return null;
    let head = this.heads.get(job.batch_id);
    if (!head) {
      const cancel = h("button", { type: "button", class: "quiet danger", "data-tip": t("Stop the jobs of this request that are not done yet"), onclick: () => this.cancelBatch(job.batch_id) }, t("Cancel these"));
      head = h("li", { class: "batch-head" }, h("span", {}), cancel);
      this.heads.set(job.batch_id, head);
    }
    setText(head.firstElementChild, [tn("{count} job left", "{count} jobs left", left.length), done && tn("{count} ended", "{count} ended", done)].filter(Boolean).join(", "));
    return head;
  }

  async cancelBatch(batch) {
    try {
      const { count } = await post("jobs/cancel", { batch_id: batch });
      toast(tn("{count} job cancelled", "{count} jobs cancelled", count));
    } catch (problem) {
      complain(problem);
    }
  }

  async askCancelAll() {
    const count = feed.running.length + feed.queued.length;
    if (!(await confirmed(tn("Cancel all {count} job?", "Cancel all {count} jobs?", count), t("Pictures that are finished stay in the gallery. A cancelled job can be started again."), t("Cancel all"), t("Let them run")))) return;
    try {
      const { count: stopped } = await post("jobs/cancel", {});
      toast(tn("{count} job cancelled", "{count} jobs cancelled", stopped));
    } catch (problem) {
      complain(problem);
    }
  }

  // Jobs wait and nothing runs: say why, if the worker is the reason.
  watchWorker() {
    const stuck = feed.queued.length > 0 && feed.running.length === 0;
    if (!stuck) {
      clearTimeout(this.timer);
      this.timer = 0;
      this.notice.hidden = true;
      return;
    }
    this.timer ||= setTimeout(async () => {
      this.timer = 0;
      if (!feed.queued.length || feed.running.length) return;
      const health = await get("health").catch(() => null);
      const words = { starting: t("The worker is starting; jobs begin in a moment."), down: t("The worker is down and is being started again.") }[health?.worker];
      this.notice.hidden = !words;
      setText(this.notice, words ?? "");
      this.watchWorker();
    }, WORKER_LATE_MS);
  }
}

// By character: the answer with their name.
const asked = new Map();
// By what a job wants: the answer with the model elsewhere that could make it.
const places = new Map();

class Row {
  constructor(id) {
    this.id = id;
    this.picture = h("img", { alt: "", decoding: "async", draggable: "false" });
    this.picture.addEventListener("error", () => this.picture.removeAttribute("src"));
    this.thumb = h("button", { type: "button", class: "thumb", "aria-label": t("Show this job"), "data-tip": t("Show this job"), onclick: () => this.look() }, this.picture, icon("picture"));
    this.words = h("p", { class: "prompt" });
    this.status = h("p", { class: "status" });
    this.bar = h("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": t("Progress") }, h("i"));
    this.trouble = h("p", { class: "trouble" });
    this.front = iconButton("front", t("Move to the front"), () => this.act("move", { to: "first" }));
    this.last = iconButton("last", t("Move to the end"), () => this.act("move", { to: "last" }));
    this.move = h("button", { type: "button", class: "quiet elsewhere", hidden: true, "data-tip": t("Take it off the queue here: another engine is free"), onclick: () => this.act("elsewhere", { model: this.place.model }) });
    this.cancel = iconButton("close", t("Cancel"), () => this.act("cancel"));
    this.retry = iconButton("retry", t("Try again"), () => this.act("retry"));
    this.node = h(
      "li",
      { class: "row", dataset: { job: id } },
      this.thumb,
      h("div", { class: "row-words" }, this.words, this.status, this.bar, this.move, this.trouble),
      h("div", { class: "row-acts" }, h("div", { class: "row-moves" }, this.front, this.last), this.retry, this.cancel),
    );
  }

  // The name of whom a job shows, where it is called by it; one that is not known yet is asked for once.
  who({ request, recipe, training, captions }) {
    const id = (training ?? captions ?? recipe).character;
    if (!id || (request?.prompt && !request.as_written)) return "";
    const name = nameOf("characters", id);
    if (name !== id) return name;
    if (!asked.has(id)) asked.set(id, get(`characters/${encodeURIComponent(id)}`).then((one) => learnMore("characters", { [id]: one.name }), () => {}));
    asked.get(id).then(() => nameOf("characters", id) !== id && setText(this.words, jobTitle(this.job, this.who(this.job))));
    return "";
  }

  show(job) {
    const over = ended(job);
    const count = job.recipe?.count ?? 1;
    const pictures = paints(job) && (over || count > 1) ? feed.pictures(job) : null;
    this.job = job;
    this.node.dataset.state = job.state;
    setText(this.words, jobTitle(job, this.who(job)));
    this.words.title = job.request?.prompt ?? "";
    const made = pictures?.length ?? 0;
    const many = count === 1 ? null : !made ? tn("{count} picture", "{count} pictures", count) : t("{made} of {count}", { made, count });
    const behind = job.state === "queued" && job.recipe?.engine === "embedded" && feed.running.find((one) => one.training); // the device learns meanwhile
    const waits = behind && (behind.eta_s ? t("Waits for a training, about {time}", { time: duration(behind.eta_s) }) : t("Waits for a training"));
    setText(this.status, over ? endWords(job, pictures ? made : undefined) : [waits || progressWords(job), many].filter(Boolean).join(" · "));
    this.offerElsewhere(job, behind);
    toggle(this.bar, "hidden", job.state !== "running");
    this.bar.setAttribute("aria-valuenow", Math.round(job.progress * 100));
    this.bar.firstElementChild.style.setProperty("--done", job.progress);
    toggle(this.bar, "data-unsure", job.state === "running" && job.progress === 0);
    toggle(this.trouble, "hidden", !job.error);
    setText(this.trouble, job.error ? `${job.error.message} ${job.error.remedy}` : "");
    for (const button of [this.front, this.last]) toggle(button, "hidden", job.state !== "queued");
    toggle(this.cancel, "hidden", over);
    this.cancel.disabled = job.cancel_requested;
    // Captions of which some failed are asked for again.
    const whole = job.state === "done" && !(job.captions && job.step < job.steps);
    toggle(this.retry, "hidden", job.state !== "paused" && (!over || whole));
    this.showPicture(job, pictures);
  }

  // Behind a training: another engine that could make it meanwhile. Asked once for all that want the same.
  offerElsewhere(job, behind) {
    if (!behind) {
      this.placeKey = null;
      return toggle(this.move, "hidden", true);
    }
    const { model, character, loras, workflow } = job.recipe;
    const key = JSON.stringify([behind.id, model, character, loras, workflow]);
    if (key === this.placeKey || !this.node.offsetParent) return undefined;
    this.placeKey = key;
    if (!places.has(key)) places.set(key, get(`jobs/${encodeURIComponent(this.id)}/waiting`).then((found) => found.places[0] ?? null, () => (places.delete(key), null)));
    return places.get(key).then((place) => {
      if (key !== this.placeKey) return;
      this.place = place;
      toggle(this.move, "hidden", !place || this.job.state !== "queued");
      if (place) setText(this.move, place.same ? t("Make it on ComfyUI now") : t("Make it on ComfyUI now, with {model}", { model: place.name }));
    });
  }

  showPicture(job, pictures) {
    let wanted = null;
    if (job.state === "running" && job.preview > 0) wanted = preview(job);
    else if (pictures?.length) wanted = thumbnail(pictures[0].id);
    if (wanted === (this.shown ?? null) || this.loading) return;
    this.shown = wanted;
    if (wanted === null) {
      this.picture.removeAttribute("src");
      return;
    }
    // The next one replaces the last one only when it is there: no flicker.
    const next = new Image();
    this.loading = true;
    next.src = wanted;
    next.decode().then(() => (this.picture.src = wanted), () => {}).finally(() => {
      this.loading = false;
      if (this.job) this.showPicture(this.job, paints(this.job) && ended(this.job) ? feed.pictures(this.job) : null);
    });
  }

  look() {
    showTab(paints(this.job) || this.job.captions?.references ? "generate" : "train");
    document.dispatchEvent(new CustomEvent("likeness:look", { detail: this.id }));
  }

  async act(verb, body) {
    try {
      const goesOn = verb === "retry" && this.job.training; // after its newest checkpoint
      feed.take(await post(`${goesOn ? "training" : "jobs"}/${encodeURIComponent(this.id)}/${goesOn ? "resume" : verb}`, body));
    } catch (problem) {
      complain(problem);
    }
  }
}

export function confirmed(question, explanation, yes, no = t("Keep")) {
  return new Promise((resolve) => {
    const answer = (value) => () => (dialog.close(), resolve(value));
    const dialog = h(
      "dialog",
      { class: "ask", "aria-labelledby": "ask-title", "aria-describedby": "ask-words", onclose: () => (resolve(false), dialog.remove()) },
      h("h2", { id: "ask-title" }, question),
      h("p", { id: "ask-words" }, explanation),
      h(
        "div",
        { class: "ask-acts" },
        h("button", { type: "button", class: "button", autofocus: true, onclick: answer(false) }, no),
        h("button", { type: "button", class: "button danger", onclick: answer(true) }, yes),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

customElements.define("likeness-tray", Tray);
