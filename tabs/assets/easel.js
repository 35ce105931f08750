// One picture while it is being made: its live preview, how far it is, then the picture, or what went wrong.

import { file, get, post, preview } from "./api.js";
import { h, icon, setText, toggle } from "./dom.js";
import { ended, feed } from "./feed.js";
import { t } from "./language.js";
import { complain } from "./toast.js";
import { progressWords } from "./words.js";

export class Easel {
  job = null;

  // `done` hears of the finished pictures, `failed` of a job that made none.
  constructor({ done = () => {}, failed = () => {} } = {}) {
    Object.assign(this, { done, failed });
    this.canvas = h("img", { class: "picture", alt: t("The picture as it is being made"), decoding: "async", hidden: true });
    this.waiting = h("div", { class: "waiting" });
    this.frame = h("div", { class: "easel-frame" }, this.waiting, this.canvas);
    this.words = h("p", { class: "easel-words", role: "status" });
    this.bar = h("div", { class: "bar", "data-unsure": true }, h("i"));
    this.node = h("div", { class: "one-easel" }, this.frame, this.bar, this.words);
    this.onChange = () => this.draw();
    feed.addEventListener("change", this.onChange);
  }

  close() {
    feed.removeEventListener("change", this.onChange);
  }

  async make(request) {
    this.id = this.shown = null;
    this.told = false;
    delete this.node.dataset.state;
    toggle(this.bar, "hidden", false);
    toggle(this.bar, "data-unsure", true);
    toggle(this.waiting, "hidden", false);
    setText(this.words, t("On its way …"));
    try {
      const { job_id: id } = await post("generate", request);
      this.id = id;
      this.node.dataset.job = id;
      await feed.expect(id);
      this.draw();
    } catch (problem) {
      complain(problem);
      this.trouble(problem);
    }
  }

  draw() {
    const job = this.id && feed.job(this.id);
    if (!job || this.told) return;
    this.frame.style.setProperty("--ratio", job.recipe.width / job.recipe.height);
    this.node.dataset.state = job.state;
    if (ended(job)) {
      this.told = true;
      return this.end(job);
    }
    setText(this.words, progressWords(job));
    this.bar.firstElementChild.style.setProperty("--done", job.progress);
    toggle(this.bar, "data-unsure", job.progress === 0);
    this.look(job);
  }

  look(job) {
    const wanted = job.preview > 0 ? preview(job) : null;
    if (!wanted || wanted === this.shown || this.loading) return;
    this.loading = true;
    this.shown = wanted;
    this.show(wanted).finally(() => {
      this.loading = false;
      this.draw();
    });
  }

  async show(source, words) {
    const next = new Image();
    next.src = source;
    try {
      await next.decode();
    } catch {
      return;
    }
    // A late preview must not cover the picture.
    if (this.told && !words) return;
    this.canvas.src = source;
    if (words) this.canvas.alt = words;
    toggle(this.canvas, "hidden", false);
    toggle(this.waiting, "hidden", true);
  }

  async end(job) {
    if (job.state !== "done") return this.trouble(job.error ?? { message: t("This picture was cancelled."), remedy: t("Make it again whenever you like.") });
    try {
      const { items } = await get(`jobs/${encodeURIComponent(job.id)}/artifacts`);
      if (!items.length) return this.trouble({ message: t("The picture is not there any more."), remedy: t("Make it again.") });
      toggle(this.bar, "hidden", true);
      setText(this.words, "");
      await this.show(file(items[0].id), job.recipe.prompt || t("The finished picture"));
      this.done(items, job);
    } catch (problem) {
      this.trouble(problem);
    }
  }

  trouble(problem) {
    toggle(this.bar, "hidden", true);
    this.node.dataset.state = "failed";
    this.words.replaceChildren(icon("warn"), h("strong", {}, problem.message), " ", problem.remedy ?? "");
    this.failed(problem);
  }
}
