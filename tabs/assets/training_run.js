// One training: how far it is, how the loss falls, what it draws on the way, and its checkpoints, of which one becomes the character's LoRA.

import { setActive } from "./active.js";
import { address, get, post } from "./api.js";
import { h, icon, setText, toggle } from "./dom.js";
import { ended, feed } from "./feed.js";
import { showTab } from "./header.js";
import { language, number, t, tn } from "./language.js";
import { LineChart } from "./line_chart.js";
import { Meters } from "./meters.js";
import { complain, toast } from "./toast.js";
import { FIELDS, learnedFrom, settingOf, settingWords, trainerWords } from "./training_form.js";
import { askCleanup } from "./training_versions.js";
import { bytes, duration, faultWords, progressWords } from "./words.js";

const AGAIN_MS = 2000;
const LOG_LINES = 400;
export const PRESETS = { quick: t("Quick"), balanced: t("Balanced"), high: t("High quality") };
const STATES = {
  queued: { name: t("Waiting"), look: "" },
  running: { name: t("Learning"), look: "on" },
  paused: { name: t("Paused"), look: "amber" },
  done: { name: t("Done"), look: "good" },
  failed: { name: t("Failed"), look: "warn" },
  poisoned: { name: t("Gave up"), look: "warn" },
  cancelled: { name: t("Cancelled"), look: "" },
};
const LEVELS = [["DEBUG", t("Everything")], ["INFO", t("What happened")], ["WARNING", t("Warnings and errors")], ["ERROR", t("Errors only")]];

// On a phone the large table would push everything else away.
const narrow = matchMedia("(max-width: 52rem)");

export const presetName = (id) => PRESETS[id] ?? id;
export const isJudged = (job) => job.state === "running" && /^(Judging|Looking at the dataset)/.test(job.note);
const judgingTag = () => h("span", { class: "tag on train-state", "data-tip": t("Everything is learned. Each checkpoint draws the same pictures, to see which is the best; you can use one now.") }, t("Judging"));
export const stateTag = (job) => isJudged(job) && !job.cancel_requested ? judgingTag() : h("span", { class: `tag train-state ${STATES[job.state].look}` }, job.state === "running" && job.cancel_requested ? t("Stopping") : STATES[job.state].name);
// Runs have no names of their own: how thorough, and when.
export function runWords(job) {
  const made = new Date(job.created_at);
  const year = made.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  const when = made.toLocaleString(language, { year, day: "numeric", month: "short", hour: "numeric", minute: "2-digit" });
  const { preset, engine } = job.training;
  return t("{preset}, {when}", { preset: engine === "aitoolkit" ? "AI-Toolkit" : presetName(preset), when });
}
const percent = (share) => (share === null || share === undefined ? "–" : `${number(Math.round(100 * share))} %`);
const lossWords = (loss) => number(loss, { maximumSignificantDigits: 3 });
const pictureOf = (id, name) => address(`training/${encodeURIComponent(id)}/samples/${encodeURIComponent(name)}`);
const sampleOf = (id, { step, number: place }) => pictureOf(id, `${String(step).padStart(6, "0")}-${place}.png`);

const after = (step) => (step ? tn("After {count} step", "After {count} steps", step) : t("Without LoRA"));

export class TrainingRun {
  training = null;
  asked = 0;
  timer = 0;
  stamp = "";

  // `shown()` says whether somebody looks; `others()` are the lines of all runs; `picked(version)` is told of a new LoRA.
  constructor(id, { shown, others, picked }) {
    Object.assign(this, { id, shown, others, picked });
    this.path = `training/${encodeURIComponent(id)}`;
    this.build();
  }

  build() {
    this.head = h("div", { class: "train-run-head" });
    this.words = h("p", { class: "train-progress-words" });
    this.bar = h("div", { class: "bar train-bar-line", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": t("Progress of the training") }, h("i"));
    this.meters = new Meters(() => this.node.isConnected && this.shown() && this.job?.state === "running");
    this.buttons = this.buildButtons();
    this.acts = h("div", { class: "train-acts" }, ...Object.values(this.buttons));
    this.notice = h("div", { class: "train-notice", role: "status", hidden: true });
    this.body = h("div", { class: "train-run-body" }, this.buildLoss(), this.buildSamples(), this.buildCheckpoints(), this.buildFolds());
    this.node = h("article", { class: "train-run", "aria-label": t("Training") }, this.head, this.words, this.bar, this.meters.node, this.acts, this.notice, this.body);
  }

  buildButtons() {
    const button = (name, words, tip, act, extra = "") => h("button", { type: "button", class: `button ${extra}`, "data-tip": tip, hidden: true, onclick: act }, icon(name), words);
    return {
      stop: button("pause", t("Stop"), t("It saves what it has learned and pauses. You can let it go on later."), () => this.act("stop", t("It saves what it has learned, then it pauses"))),
      resume: button("play", t("Resume"), t("It goes on after its newest checkpoint."), () => this.act("resume", t("It goes on")), "primary"),
      judge: button("sparkle", t("Judge them"), t("Draws the same pictures with each checkpoint that was not judged yet, and says how alike they are. It learns nothing meanwhile."), () => this.act("judge", t("Its checkpoints will be judged"))),
      save: button("archive", t("Save now"), t("Keeps a checkpoint of what it has learned up to here, and goes on."), () => this.act("save", t("A checkpoint is kept after this step"))),
      sample: button("picture", t("Sample now"), t("Draws the sample prompts with what it has learned up to here, and goes on."), () => this.act("sample", t("The samples are drawn after this step"))),
    };
  }

  buildLoss() {
    const modes = { loss: t("Loss"), rate: t("Learning rate") };
    const lines = { loss: [t("each step"), t("smoothed")], rate: [t("Learning rate")] };
    this.mode = "loss";
    this.chart = new LineChart({ label: t("The loss of each step, as a chart"), lines: lines.loss });
    const show = (mode) => {
      this.mode = mode;
      for (const each of modeSwitch.children) each.setAttribute("aria-pressed", each.dataset.mode === mode);
      this.chart.name(lines[mode]);
      toggle(this.chart.legend, "hidden", mode !== "loss");
      this.chart.plot.dataset.lines = mode;
      this.chart.plot.setAttribute("aria-label", mode === "loss" ? t("The loss of each step, as a chart") : t("The learning rate of each step, as a chart"));
      this.drawLoss();
    };
    const modeSwitch = h("div", { class: "switch", role: "group", "aria-label": t("What the chart shows") }, ...Object.entries(modes).map(([mode, words]) => h("button", { type: "button", "data-mode": mode, "aria-pressed": mode === "loss", onclick: () => show(mode) }, words)));
    this.log = h("input", { type: "checkbox", onchange: () => this.drawLoss() });
    const log = h("label", { class: "train-check", "data-tip": t("Makes small changes near the end easier to see") }, this.log, t("Log scale"));
    this.lossNow = h("p", { class: "train-small soft" });
    this.chart.plot.dataset.lines = "loss";
    this.lossPanel = panel(t("How it learns"), [modeSwitch, log], this.chart.node, this.lossNow);
    this.lossPanel.hidden = true;
    return this.lossPanel;
  }

  buildSamples() {
    this.slider = h("input", { type: "range", class: "train-time-slider", min: 0, step: 1, "aria-label": t("After how many steps"), oninput: () => ((this.at = Number(this.slider.value) === Number(this.slider.max) ? null : Number(this.slider.value)), this.drawSample()) });
    this.sliderWords = h("output", { class: "train-slider-words" });
    this.time = h("div", { class: "train-time-row" }, this.slider, this.sliderWords);
    this.samples = h("div", { class: "train-samples" });
    this.all = h("div", { class: "train-grid-box", tabindex: "0", role: "region", "aria-label": t("All samples") });
    this.allFold = h("details", { class: "train-fold", ontoggle: () => this.drawAll() }, h("summary", {}, t("All samples side by side")), this.all);
    this.samplesPanel = panel(t("Samples"), [], h("p", { class: "soft train-small" }, t("The same prompts and the same seed each time, so what changes is what was learned.")), this.time, this.samples, this.allFold);
    this.samplesPanel.hidden = true;
    return this.samplesPanel;
  }

  buildCheckpoints() {
    this.why = h("div", { class: "train-why", hidden: true });
    this.judged = new LineChart({ label: t("Likeness and prompt freedom of each checkpoint, as a chart; the list below says the same."), lines: [t("likeness"), t("prompt freedom")], height: 200 });
    this.judged.plot.dataset.lines = "judged";
    this.judged.node.hidden = true;
    this.checkpoints = h("ul", { class: "train-checkpoints", "aria-label": t("Checkpoints") });
    this.grid = h("div", { class: "train-grid-box", tabindex: "0", role: "region", "aria-label": t("The same prompts with each checkpoint") });
    this.seeds = h("div", { class: "switch", role: "group", "aria-label": t("Seed of the pictures") });
    this.gridFold = h("details", { class: "train-fold", hidden: true, open: !narrow.matches, ontoggle: () => this.drawGrid() }, h("summary", {}, t("The same pictures with each checkpoint")), this.seeds, this.grid);
    this.cleanButton = h("button", { type: "button", class: "quiet", hidden: true, "data-tip": t("Deletes the checkpoints that nobody uses; it says first which, and how much becomes free"), onclick: async () => (await askCleanup(this.id)) && this.load() }, t("Clean up …"));
    this.checkpointsPanel = panel(t("Checkpoints"), [this.cleanButton], h("p", { class: "soft train-small" }, t("What was learned after so many steps. An earlier one may leave more freedom, a later one may look more alike.")), this.why, this.judged.node, this.checkpoints, this.gridFold);
    this.checkpointsPanel.hidden = true;
    return this.checkpointsPanel;
  }

  buildFolds() {
    this.settings = h("dl", { class: "train-settings" });
    this.level = h("select", { class: "cf-input", "aria-label": t("Which lines are shown"), onchange: () => this.drawLog() }, ...LEVELS.map(([value, words]) => h("option", { value, selected: value === "INFO" }, words)));
    this.lines = h("ol", { lang: "en" });
    this.linesBox = h("div", { class: "train-log", tabindex: "0", role: "region", "aria-label": t("Log of the training") }, this.lines);
    this.logFold = h("details", { class: "train-fold", ontoggle: () => this.drawLog() }, h("summary", {}, t("Log")), this.level, this.linesBox);
    this.other = h("select", { class: "cf-input", "aria-label": t("Compare with"), onchange: () => this.drawComparison() });
    this.comparison = h("div", { class: "train-comparison" });
    this.compareFold = h("details", { class: "train-fold", ontoggle: () => this.drawChoices() }, h("summary", {}, t("Compare with another training")), this.other, this.comparison);
    this.foldsPanel = h("section", { class: "train-panel train-folds", hidden: true }, h("details", { class: "train-fold" }, h("summary", {}, t("Settings of this training")), this.settings), this.compareFold, this.logFold);
    return this.foldsPanel;
  }

  // Kept up to date: the job as the stream tells it, everything else asked for at most every two seconds, and only while it moves.

  get job() {
    const told = feed.job(this.id);
    const known = this.training?.job;
    if (!told || !known) return told ?? known ?? null;
    // The stream may be behind what was answered, and what was answered behind the stream.
    return known.attempt > told.attempt || (ended(known) && known.attempt === told.attempt) ? known : told;
  }

  follow() {
    const { job } = this;
    if (!job) return;
    this.drawJob();
    if (stampOf(job) === this.stamp || this.timer || !this.shown()) return;
    this.timer = setTimeout(() => ((this.timer = 0), this.shown() && this.load()), Math.max(0, this.asked + AGAIN_MS - Date.now()));
  }

  async load() {
    const stamp = this.job ? stampOf(this.job) : "";
    this.asked = Date.now();
    const known = this.training;
    try {
      // Of the loss only what is new: the last point may stand for steps that came since.
      const found = await get(this.path, known?.points.length > 1 ? { since: known.points.at(-2).step, curve: known.curve } : {});
      if (found.since) found.points = [...known.points.filter((point) => point.step <= found.since), ...found.points];
      this.training = found;
    } catch (problem) {
      if (!this.training) this.node.replaceChildren(h("div", { class: "empty" }, icon("warn"), h("h3", {}, problem.message), h("p", { class: "soft" }, problem.remedy)));
      return;
    }
    this.stamp = stamp || stampOf(this.training.job);
    this.draw();
    this.follow();
  }

  async act(verb, words) {
    try {
      feed.take(await post(`${this.path}/${verb}`));
      toast(words, { ms: 3000 });
    } catch (problem) {
      complain(problem);
    }
    this.load();
  }

  async pick(step, button) {
    button.disabled = true;
    try {
      const version = await post(`${this.path}/pick`, { step });
      document.dispatchEvent(new CustomEvent("likeness:characters"));
      this.used = version;
      await this.load();
      this.picked(version);
      this.notice.scrollIntoView({ block: "nearest" });
      this.notice.querySelector("button")?.focus({ preventScroll: true });
    } catch (problem) {
      complain(problem);
    } finally {
      button.disabled = false;
    }
  }

  make() {
    setActive(this.training.character);
    showTab("generate");
  }

  // Drawn

  draw() {
    const { training } = this;
    const { plan, job } = training;
    const key = [training.name, plan.lora, training.pictures].join("\n");
    if (key !== this.headKey) {
      this.headKey = key;
      this.state = h("span", {});
      this.about = h("p", { class: "soft train-small" });
      this.head.replaceChildren(h("div", { class: "train-title" }, h("h3", { tabindex: "-1" }, runWords(job)), this.state), this.about);
      this.node.setAttribute("aria-label", t("Training, {name}", { name: runWords(job) }));
      this.drawSettings();
    }
    this.drawJob();
    this.drawLoss();
    this.drawSamples();
    this.drawCheckpoints();
    this.foldsPanel.hidden = false;
    this.drawLog();
  }

  drawJob() {
    const { job, training } = this;
    if (!job || !this.state) return;
    const { state } = job;
    const live = state === "running";
    // Learned already, and its checkpoints are looked at.
    const judging = isJudged(job);
    if (this.tagKey !== `${state}${job.cancel_requested}${judging}`) {
      this.tagKey = `${state}${job.cancel_requested}${judging}`;
      this.state.replaceChildren(stateTag(job));
    }
    const took = job.started_at && job.finished_at && ended(job) ? t("took {time}", { time: duration((new Date(job.finished_at) - new Date(job.started_at)) / 1000) }) : null;
    setText(this.about, [tn("{count} picture", "{count} pictures", training.pictures), t("LoRA “{name}”", { name: training.plan.lora }), took].filter(Boolean).join(" · "));
    toggle(this.bar, "hidden", !live && state !== "paused");
    this.bar.setAttribute("aria-valuenow", Math.round(job.progress * 100));
    this.bar.firstElementChild.style.setProperty("--done", job.progress);
    toggle(this.bar, "data-unsure", live && job.progress === 0);
    toggle(this.words, "hidden", !live);
    if (live) setText(this.words, [job.progress ? `${number(Math.round(job.progress * 100))} %` : null, progressWords(job)].filter(Boolean).join(" · "));
    const { stop, resume, judge, save, sample } = this.buttons;
    const runs = live && !job.cancel_requested;
    toggle(stop, "hidden", !runs && state !== "queued");
    toggle(save, "hidden", !runs || judging);
    toggle(sample, "hidden", !runs || judging);
    toggle(resume, "hidden", !["paused", "failed", "poisoned", "cancelled"].includes(state));
    const { judgement } = this.training;
    const known = new Set(judgement?.by_samples ? [] : judgement?.verdicts.map(({ step }) => step));
    toggle(judge, "hidden", live || state === "queued" || !this.training.drawable || this.training.checkpoints.every(({ step }) => known.has(step)));
    this.meters.follow();
    toggle(this.acts, "hidden", Object.values(this.buttons).every((button) => button.hidden));
    this.drawNotice(job);
  }

  drawNotice(job) {
    const { training } = this;
    const newest = training.checkpoints.at(-1)?.step ?? 0;
    // What was asked for before the job ended knows fewer of its checkpoints.
    const behind = training.job.state !== job.state || training.job.attempt !== job.attempt;
    const kept = behind ? t("What was learned is kept.") : newest ? tn("What was learned in {count} step is kept.", "What was learned in {count} steps is kept.", newest) : t("Nothing was kept yet: it begins anew.");
    const say = (look, name, title, words, ...more) => ({ look, key: [job.state, title, words, more.length, this.used?.version].join("\n"), nodes: [icon(name), h("div", {}, h("strong", {}, title), h("p", {}, words)), ...more] });
    let told = null;
    if (this.used?.lacks) told = say("amber", "warn", t("Version {version} is kept, and not used yet", { version: this.used.version }), this.used.lacks);
    else if (this.used) {
      const make = h("button", { type: "button", class: "button primary", onclick: () => this.make() }, icon("sparkle"), t("Make a picture"));
      told = say("good", "tick", t("Version {version} is {name}'s LoRA now", { version: this.used.version, name: training.name }), t("It is used in every picture of {name} from here on. Older versions stay.", { name: training.name }), make);
    } else if (job.state === "queued") {
      const before = feed.running.length + feed.queued.findIndex((one) => one.id === job.id);
      told = say("", "tray", t("It waits for its turn"), before > 0 ? tn("It begins when {count} other job is done.", "It begins when {count} other jobs are done.", before) : t("It begins in a moment."));
    } else if (job.state === "paused") told = say("amber", "pause", t("It is paused"), t("{kept} Resume goes on from there; or use a checkpoint as it is.", { kept }));
    else if (job.state === "failed" || job.state === "poisoned") {
      const [title, ...rest] = job.error ? [job.error.message, faultWords({ ...job.error, message: "" })] : [t("It failed")];
      told = say("warn", "warn", title, [...rest, kept, t("Resume tries again from there.")].join(" "));
    } else if (job.state === "cancelled") told = say("", "close", t("It was cancelled"), t("{kept} Resume goes on from there.", { kept }));
    else if (job.state === "done" && newest && !training.checkpoints.some((one) => one.version)) {
      const step = training.judgement?.proposed ?? newest;
      const use = h("button", { type: "button", class: "button primary", onclick: () => this.pick(step, use) }, icon("check"), training.judgement?.proposed ? t("Use the best one") : t("Use the newest one"));
      told = say("good", "check", t("It has learned"), t("Choose a checkpoint, and pictures of {name} are made with it.", { name: training.name }), use);
    }
    toggle(this.notice, "hidden", !told);
    if (told?.key === this.noticeKey) return;
    this.noticeKey = told?.key;
    if (!told) return;
    this.notice.className = `train-notice ${told.look}`;
    this.notice.replaceChildren(...told.nodes);
  }

  drawLoss() {
    const points = this.training?.points ?? [];
    toggle(this.lossPanel, "hidden", !points.length);
    if (!points.length) return;
    const x = points.map((point) => point.step);
    const line = (name, hover) => ({ x, y: points.map((point) => point[name]), hover });
    const after = t("after step {step}: {value}", { step: "%{x:,}", value: "%{y:.4~g}" });
    const lines = this.mode === "loss" ? [line("loss", after), line("smooth", t("smoothed, {words}", { words: after }))] : [line("rate", after)];
    this.chart.draw(lines, { log: this.log.checked });
    const [first, last] = [points[0], points.at(-1)];
    setText(this.lossNow, t("The loss says how far off its guesses are: {first} at the beginning, {last} now. It jumps from step to step; while the smoothed line falls, it still learns.", { first: lossWords(first.smooth), last: lossWords(last.smooth) }));
  }

  drawSamples() {
    const { samples } = this.training;
    const steps = [...new Set(samples.map((one) => one.step))];
    toggle(this.samplesPanel, "hidden", !steps.length);
    const key = samples.map((one) => `${one.step}-${one.number}`).join();
    if (!steps.length || key === this.samplesKey) return;
    this.samplesKey = key;
    this.steps = steps;
    this.slider.max = steps.length - 1;
    toggle(this.time, "hidden", steps.length < 2);
    toggle(this.allFold, "hidden", steps.length < 2);
    if (this.at === null || this.at === undefined) this.slider.value = steps.length - 1;
    this.drawSample();
    this.drawAll();
  }

  drawSample() {
    const step = this.steps[Number(this.slider.value)];
    const words = after(step);
    setText(this.sliderWords, words);
    this.slider.setAttribute("aria-valuetext", words);
    const wanted = this.training.samples.filter((one) => one.step === step);
    // Pictures are changed, not drawn anew: nothing flickers while the slider moves.
    while (this.samples.children.length > wanted.length) this.samples.lastElementChild.remove();
    wanted.forEach((one, index) => {
      let figure = this.samples.children[index];
      if (!figure) this.samples.append((figure = h("figure", {}, h("img", { decoding: "async" }), h("figcaption", { lang: "en" }))));
      const [image, caption] = figure.children;
      image.src = sampleOf(this.id, one);
      image.alt = t("{prompt}, {words}", { prompt: one.prompt, words });
      setText(caption, one.prompt);
    });
  }

  drawAll() {
    if (!this.allFold.open || !this.steps) return;
    const prompts = [...new Map(this.training.samples.map((one) => [one.number, one.prompt]))];
    const cell = (step, place) => {
      const one = this.training.samples.find((each) => each.step === step && each.number === place);
      return one ? image(sampleOf(this.id, one), t("{prompt}, {words}", { prompt: one.prompt, words: after(step) })) : "";
    };
    this.all.replaceChildren(pictureTable(t("All samples"), prompts.map(([, prompt]) => h("span", { lang: "en" }, prompt)), this.steps.map((step) => [step ? tn("{count} step", "{count} steps", step) : t("Without LoRA"), ...prompts.map(([place]) => cell(step, place))])));
  }

  // Checkpoints, and what was judged of them

  drawCheckpoints() {
    const { checkpoints, samples, judgement } = this.training;
    toggle(this.checkpointsPanel, "hidden", !checkpoints.length);
    toggle(this.cleanButton, "hidden", ["queued", "running"].includes(this.job?.state));
    const key = JSON.stringify([checkpoints, judgement, samples.length, this.used?.version, this.using]);
    if (!checkpoints.length || key === this.checkpointsKey) return;
    this.checkpointsKey = key;
    const verdicts = new Map((judgement?.verdicts ?? []).map((one) => [one.step, one]));
    const proposed = judgement?.proposed ?? null;
    toggle(this.why, "hidden", !judgement?.why);
    const how = judgement?.measure === "faces" ? t("Likeness is measured by the faces in the pictures.") : t("Likeness is measured by what the reader of drawn portraits sees: hair, skin and what they wear on the face.");
    if (judgement?.why) this.why.replaceChildren(icon("sparkle"), h("div", {}, h("strong", {}, !proposed ? t("None is proposed") : judgement.by_samples ? tn("The one after {count} step looks best so far", "The one after {count} steps looks best so far", proposed) : tn("The one after {count} step is proposed", "The one after {count} steps is proposed", proposed)), h("p", { lang: "en" }, judgement.why), h("p", { class: "soft train-small" }, how)));
    this.checkpoints.replaceChildren(...checkpoints.map((one) => this.checkpoint(one, verdicts.get(one.step), one.step === proposed)));
    const told = [...verdicts.values()].filter((one) => one.likeness !== null);
    toggle(this.judged.node, "hidden", told.length < 2);
    if (told.length > 1) {
      const x = told.map((one) => one.step);
      const hover = (name) => t("{name} after step {step}: {value}", { name, step: "%{x:,}", value: "%{y:.0f} %" });
      const line = (field, name) => ({ x, y: told.map((one) => 100 * one[field]), hover: hover(name), dots: true, mark: proposed });
      this.judged.draw([line("likeness", t("likeness")), line("prompt_freedom", t("prompt freedom"))], { percent: true });
    }
    const seeds = [...new Set([...verdicts.values()].flatMap((one) => one.samples.map((sample) => sample.seed)))];
    toggle(this.gridFold, "hidden", !seeds.length);
    if (!seeds.includes(this.seed)) this.seed = seeds[0];
    toggle(this.seeds, "hidden", seeds.length < 2);
    this.seeds.replaceChildren(...seeds.map((seed) => h("button", { type: "button", "data-seed": seed, "aria-pressed": seed === this.seed, onclick: () => ((this.seed = seed), this.drawGrid()) }, t("Seed {seed}", { seed }))));
    this.drawGrid();
  }

  freedomTip() {
    if (this.training.judgement?.freedom_measure === "reader") return t("How much of what the prompts ask for is in the pictures");
    return t("How much the pictures change with the prompts, 100 % being as much as without the LoRA. Nothing reads here what is in them.");
  }

  checkpoint(one, verdict, proposed) {
    const { samples } = this.training;
    const face = verdict?.samples[0] ? pictureOf(this.id, fileName(verdict.samples[0])) : samples.some((each) => each.step === one.step && each.number === 0) ? sampleOf(this.id, { step: one.step, number: 0 }) : null;
    const steps = tn("{count} step", "{count} steps", one.step);
    const used = one.version !== null && one.version === this.using;
    const words = one.version ? t("Use it again") : t("Use this one");
    const use = h("button", { type: "button", class: `button ${proposed ? "primary" : ""}`, "data-tip": t("It becomes the character's LoRA, used in every picture from then on. Older versions stay."), "aria-label": t("{act}: {steps}", { act: words, steps }), onclick: () => this.pick(one.step, use) }, words);
    const meter = (name, value, tip) => h("div", { class: "train-meter", "data-tip": tip }, h("span", {}, name), h("b", {}, percent(value)), h("i", { "aria-hidden": "true", style: { "--done": value ?? 0 } }));
    const meters = verdict
      ? h(
          "div",
          { class: "train-meters" },
          meter(t("Likeness"), verdict.likeness, t("0 % is the model without the LoRA, 100 % as alike as the pictures it learned from are to each other")),
          meter(t("Prompt freedom"), verdict.prompt_freedom, this.freedomTip()),
        )
      : null;
    const signs = verdict?.overfit.length ? h("ul", { class: "train-signs", lang: "en" }, ...verdict.overfit.map((sign) => h("li", {}, icon("warn"), h("span", {}, sign)))) : null;
    return h(
      "li",
      { class: "train-checkpoint", "data-step": one.step, "data-proposed": proposed },
      h("span", { class: "train-checkpoint-face" }, face ? h("img", { src: face, alt: "", loading: "lazy", decoding: "async" }) : icon("archive")),
      h("div", { class: "train-checkpoint-words" }, h("p", {}, h("strong", {}, steps), " ", proposed ? h("span", { class: "tag on" }, this.training.judgement.by_samples ? t("Best so far") : t("Proposed")) : null, one.version ? h("span", { class: `tag ${used ? "good" : ""}` }, used ? t("Version {version}, in use", { version: one.version }) : t("Version {version}", { version: one.version })) : null), h("p", { class: "soft train-small" }, bytes(one.bytes))),
      meters,
      signs,
      used ? h("span", { class: "train-used" }, t("In use")) : use,
    );
  }

  drawGrid() {
    for (const button of this.seeds.children) button.setAttribute("aria-pressed", Number(button.dataset.seed) === this.seed);
    const { judgement } = this.training ?? {};
    if (!this.gridFold.open || !judgement) return;
    const columns = [judgement.baseline, ...judgement.verdicts].filter(Boolean);
    const prompts = [...new Set(columns.flatMap((one) => one.samples.map((sample) => sample.prompt)))];
    const name = ({ step }) => (step ? tn("{count} step", "{count} steps", step) : t("Without LoRA"));
    const head = (one) => h("span", { class: one.step && one.step === judgement.proposed ? "tag on" : null }, name(one));
    const cell = (one, prompt) => {
      const sample = one.samples.find((each) => each.prompt === prompt && each.seed === this.seed);
      return sample ? image(pictureOf(this.id, fileName(sample)), t("{prompt}, {words}", { prompt, words: name(one) })) : "";
    };
    this.grid.replaceChildren(pictureTable(t("The same pictures with each checkpoint"), columns.map(head), prompts.map((prompt) => [h("span", { lang: "en" }, prompt), ...columns.map((one) => cell(one, prompt))])));
  }

  // What it was told to do, what it said, and another one beside it

  drawSettings() {
    const { recipe } = this.training.plan;
    const told = FIELDS.filter(({ name, toolkit }) => (recipe.prior_weight > 0 || !name.startsWith("prior_")) && (recipe.toolkit || !toolkit));
    const lines = told.map((field) => [field.label, h("span", { lang: field.text ? "en" : null }, settingWords(field, settingOf(field, recipe)))]);
    lines.unshift([t("Learned from"), learnedFrom(this.training)], [t("Trainer"), trainerWords(this.training.plan.engine)], [t("Model"), h("code", {}, recipe.model)], [t("Trigger word"), h("code", {}, recipe.trigger)]);
    this.settings.replaceChildren(...lines.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  async drawLog() {
    if (!this.logFold.open) return;
    let items;
    try {
      ({ items } = await get(`jobs/${encodeURIComponent(this.id)}/logs`, { level: this.level.value, last: LOG_LINES }));
    } catch (problem) {
      return this.lines.replaceChildren(h("li", {}, problem.message));
    }
    const box = this.linesBox;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    this.lines.replaceChildren(...(items.length ? items.map((line) => h("li", { "data-level": line.level }, h("time", {}, new Date(line.ts).toLocaleTimeString()), h("span", {}, line.msg))) : [h("li", {}, t("Nothing at this level."))]));
    if (atEnd) box.scrollTop = box.scrollHeight;
    return undefined;
  }

  drawChoices() {
    if (!this.compareFold.open) return;
    const others = this.others().filter((line) => line.job.id !== this.id);
    const before = this.other.value;
    this.other.replaceChildren(h("option", { value: "" }, others.length ? t("Choose one …") : t("There is no other one yet")), ...others.map((line) => h("option", { value: line.job.id }, runWords(line.job))));
    this.other.disabled = !others.length;
    this.other.value = others.some((line) => line.job.id === before) ? before : "";
    this.drawComparison();
  }

  async drawComparison() {
    const id = this.other.value;
    if (!id) return this.comparison.replaceChildren();
    let theirs;
    try {
      theirs = await get(`training/${encodeURIComponent(id)}`);
    } catch (problem) {
      return complain(problem);
    }
    if (id !== this.other.value) return undefined;
    const both = [this.training, theirs];
    const names = both.map(({ job }) => runWords(job));
    const [one, other] = both.map(({ plan }) => plan.recipe);
    const differ = FIELDS.filter((field) => settingOf(field, one) !== settingOf(field, other)).map((field) => [field.label, settingWords(field, settingOf(field, one)), settingWords(field, settingOf(field, other))]);
    for (const [label, name] of [[t("Trigger word"), "trigger"], [t("Model"), "model"]]) if (one[name] !== other[name]) differ.unshift([label, one[name], other[name]]);
    const smooth = (training) => lossWords(training.points.at(-1)?.smooth ?? 0);
    if (both.every(({ points }) => points.length)) differ.push([t("Loss at the end"), ...both.map(smooth)]);
    if (this.training.plan.engine !== theirs.plan.engine) differ.unshift([t("Trainer"), ...both.map(({ plan }) => trainerWords(plan.engine))]);
    if (learnedFrom(this.training) !== learnedFrom(theirs)) differ.unshift([t("Learned from"), ...both.map(learnedFrom)]);
    const chart = new LineChart({ label: t("The smoothed loss of both, as a chart"), lines: names });
    chart.plot.dataset.lines = "pair";
    const last = (training) => {
      const step = training.samples.at(-1)?.step;
      return training.samples.filter((sample) => sample.step === step);
    };
    const prompts = [...new Set(both.flatMap((training) => last(training).map((sample) => sample.prompt)))];
    const cell = (training, prompt) => {
      const found = last(training).find((sample) => sample.prompt === prompt);
      return found ? image(sampleOf(training.job.id, found), t("{prompt}, {words}", { prompt, words: runWords(training.job) })) : "";
    };
    this.comparison.replaceChildren(
      textTable(t("What differs"), [t("Setting"), ...names], differ),
      chart.node,
      prompts.length ? h("div", { class: "train-grid-box", tabindex: "0", role: "region", "aria-label": t("Newest samples of both") }, pictureTable(t("Newest samples of both"), names, prompts.map((prompt) => [h("span", { lang: "en" }, prompt), ...both.map((training) => cell(training, prompt))]))) : "",
    );
    const after = t("after step {step}: {value}", { step: "%{x:,}", value: "%{y:.4~g}" });
    chart.draw(both.map(({ points }) => ({ x: points.map((point) => point.step), y: points.map((point) => point.smooth), hover: after })), { log: this.log.checked });
    return undefined;
  }
}

const stampOf = (job) => [job.attempt, job.state, job.step, job.note, job.cancel_requested].join("|");
const fileName = (sample) => sample.file.split("/").at(-1);
const image = (src, alt) => h("img", { src, alt, loading: "lazy", decoding: "async" });
const panel = (name, acts, ...content) => h("section", { class: "train-panel" }, h("div", { class: "train-panel-head" }, h("h4", {}, name), ...acts), ...content);

const pictureTable = (caption, heads, rows) =>
  h(
    "table",
    { class: "train-grid" },
    h("caption", { class: "visually-hidden" }, caption),
    h("thead", {}, h("tr", {}, h("td", {}), ...heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, ...rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell))))),
  );

const textTable = (caption, heads, rows) =>
  h("div", { class: "train-grid-box", tabindex: "0", role: "region", "aria-label": caption }, h("table", { class: "train-table" }, h("caption", { class: "visually-hidden" }, caption), h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, ...rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), ...rest.map((cell) => h("td", {}, cell)))))));

