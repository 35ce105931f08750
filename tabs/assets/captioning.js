// Captions by a vision model: the question before they are ordered, and how it goes with those that are being written.

import { address, get, post, thumbnail } from "./api.js";
import { h, icon, iconButton, paced, setText, store, toggle } from "./dom.js";
import { dialogOf, opened } from "./dataset_dialogs.js";
import { ended, feed } from "./feed.js";
import { number, t, tn } from "./language.js";
import { showSetup } from "./setup_way.js";
import { complain, toast } from "./toast.js";
import { progressWords } from "./words.js";

const SHOWN = 20;
const SETUP = "captions-title";

const dollars = (amount) => number(amount, { style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: amount < 1 ? 4 : 2 });

// Where the pictures go, said before anything is sent.
function whereWords(way) {
  if (way.captioner) return t("{model} from the models folder: no picture leaves this computer.", { model: way.model });
  if (!way.sends_away) return t("Pictures go to {model} at {url}, on this computer.", { model: way.model, url: way.url });
  if (new URL(way.url).hostname === way.host) return t("Pictures leave this computer: they are sent to {model} at {url}.", { model: way.model, url: way.url });
  return t("Pictures leave this computer: {url} passes them on to {host}, where {model} runs.", { host: way.host, model: way.model, url: way.url });
}

const choice = (name, value, words, about, checked, change) =>
  h("label", { class: "dataset-way" }, h("input", { type: "radio", name, value, checked, onchange: change }), h("span", {}, h("strong", {}, words), h("small", {}, about)));

const group = (label, ...ways) => h("div", { role: "radiogroup", "aria-label": label, class: "caption-group" }, h("h3", { "aria-hidden": "true" }, label), ...ways);

// `asked` says whose captions: {dataset} or {references, category}, and perhaps {pictures}. Gives the job, or null. `leave` is called when
// the way leads to Setup.
export function writeCaptions(asked, leave = () => {}) {
  return new Promise((resolve) => {
    const dialog = dialogOf(t("Write captions"), "captions", resolve);
    const body = h("div", { class: "caption-form" }, h("div", { class: "waiting", "aria-hidden": "true" }));
    const sum = h("p", { role: "status" });
    const go = h("button", { type: "button", class: "button primary", disabled: true, "data-tip": t("Starts a job; captions appear as they are written"), onclick: () => order() }, t("Write captions"));
    dialog.append(body, h("div", { class: "ask-acts" }, sum, h("button", { type: "button", class: "button", "data-tip": t("Write none now"), onclick: () => dialog.close() }, t("Cancel")), go));
    const said = { ...asked, style: "natural", replace: false, captioner: null, real_person: null, allow_remote_for_real: false };
    let offer = null;

    const setUp = () => {
      dialog.close();
      leave();
      showSetup(SETUP);
    };

    const draw = () => {
      const { way, ways, pictures, missing, name } = offer;
      const parts = [];
      for (const one of offer.obstacles) {
        const leads = one.field?.startsWith("caption_");
        parts.push(h("div", { class: "caption-obstacle", role: "alert" }, icon("warn"), h("p", { class: "caption-said" }, h("strong", {}, one.message), " ", one.remedy), leads ? h("button", { type: "button", class: "button", "data-tip": t("Setup says which model describes pictures, and where it is"), onclick: setUp }, t("Set it up")) : null));
      }
      if (ways.length > (way ? 1 : 0)) {
        const choose = h("select", { onchange: () => ((said.captioner = choose.value || null), ask()) }, ...ways.map((one) => h("option", { value: one.captioner }, one.captioner ? t("{model}, in the models folder", { model: one.model }) : `${one.model} · ${one.host}`)));
        choose.value = way ? way.captioner : null;
        parts.push(h("label", { class: "dataset-field" }, h("span", {}, t("Vision model")), choose));
      }
      if (way) {
        said.replace ||= !missing;
        if (missing < pictures)
          parts.push(
            group(
              t("Which pictures"),
              choice("caption-which", "missing", t("Those without a caption"), tn("{count} picture", "{count} pictures", missing), !said.replace, () => ((said.replace = false), tell())),
              choice("caption-which", "all", tn("All {count}", "All {count}", pictures), t("Captions that are there are written anew; it can be undone."), said.replace, () => ((said.replace = true), tell())),
            ),
          );
        parts.push(
          group(
            t("How"),
            choice("caption-style", "natural", t("Sentences"), t("For FLUX, Qwen-Image, Z-Image and other models that read sentences"), said.style === "natural", () => (said.style = "natural")),
            choice("caption-style", "tags", t("Tags"), t("For SD 1.5 and SDXL models that were taught by tags"), said.style === "tags", () => (said.style = "tags")),
          ),
        );
        const cost = offer.usd_each ? t("A caption cost about {usd} lately.", { usd: dollars(offer.usd_each) }) : way.sends_away ? t("What it costs is known after the first ones, if the server says so.") : "";
        parts.push(h("p", { class: "caption-where", dataset: { away: String(way.sends_away) } }, icon(way.sends_away ? "upload" : "lock"), h("span", {}, whereWords(way), cost ? ` ${cost}` : "")));
        if (way.sends_away) parts.push(...people());
        parts.push(h("p", { class: "soft" }, asked.references ? t("Each says what it shows: pose, clothes, place, light. Read them afterwards: models make mistakes.") : t("{name}'s trigger word comes first; face, hair, eyes and age are left out, they are learned from the pictures. Read them afterwards: models make mistakes.", { name })));
      }
      body.replaceChildren(...parts);
      tell();
    };

    // Drawn anew under somebody's hands: the keys stay where they were.
    const again = (where) => {
      draw();
      body.querySelector(where)?.focus();
    };

    const people = () => {
      const { real, way } = offer;
      const agreed = h("label", { class: "dataset-tick" }, h("input", { type: "checkbox", checked: said.allow_remote_for_real, onchange: (event) => ((said.allow_remote_for_real = event.target.checked), tell()) }), t("They agreed that these pictures are sent to {host}", { host: way.host }));
      if (real === false) return [];
      if (real) return [h("div", { class: "dataset-ticks" }, agreed)];
      return [
        group(
          t("Do they show real people?"),
          choice("caption-real", "no", t("No"), t("Drawings, places, invented faces"), said.real_person === false, () => ((said.real_person = false), again("[name=caption-real]:checked"))),
          choice("caption-real", "yes", t("Yes"), t("Photos of somebody"), said.real_person === true, () => ((said.real_person = true), again("[name=caption-real]:checked"))),
        ),
        said.real_person ? h("div", { class: "dataset-ticks" }, agreed) : null,
      ].filter(Boolean);
    };

    const tell = () => {
      const { way, real, pictures, missing, obstacles } = offer;
      const count = said.replace ? pictures : missing;
      const shows = real ?? said.real_person;
      const unsaid = way?.sends_away && (shows === null || (shows && !said.allow_remote_for_real));
      toggle(go, "hidden", !way);
      go.disabled = !way || !count || unsaid || obstacles.length > 0;
      setText(go, count ? tn("Write {count} caption", "Write {count} captions", count) : t("Write captions"));
      setText(sum, !way || count ? "" : t("There is nothing to write."));
    };

    const ask = async () => {
      try {
        offer = await post("captions/offer", { ...asked, captioner: said.captioner });
        if (body.contains(document.activeElement)) again("select");
        else draw();
      } catch (problem) {
        body.replaceChildren(h("p", { class: "caption-said" }, [problem.message, problem.remedy].filter(Boolean).join(" ")));
      }
    };

    const order = async () => {
      go.disabled = true;
      try {
        const job = await post("captions", said);
        feed.take(job);
        resolve(job);
        dialog.close();
      } catch (problem) {
        setText(sum, [problem.message, problem.remedy].filter(Boolean).join(" "));
        go.disabled = false;
      }
    };

    opened(dialog);
    ask();
  });
}

// What is being written, and what came of it: above the pictures that it is about.
export class CaptionProgress {
  job = null;
  whose = null;

  // `came` is called when captions came in.
  constructor(came) {
    this.came = paced(came, 1);
    this.words = h("p", { role: "status", "aria-live": "polite" });
    this.bar = h("div", { class: "bar", role: "progressbar", "aria-label": t("Captions being written"), "aria-valuemin": 0 }, h("i"));
    this.stop = h("button", { type: "button", class: "button", "data-tip": t("Captions that are written stay"), onclick: () => this.cancel() }, t("Cancel"));
    this.going = h("div", { class: "caption-going", hidden: true }, this.words, this.bar, this.stop);
    this.outcome = h("div", { class: "caption-outcome", hidden: true });
    this.node = h("div", { class: "caption-progress" }, this.going, this.outcome);
    feed.addEventListener("change", () => this.look());
  }

  mine(job) {
    if (!job?.captions || !this.whose) return false;
    return this.whose.references ? job.captions.references : job.captions.dataset === this.whose.dataset;
  }

  // `whose` is {dataset} or {references: true}; null follows nothing.
  async follow(whose) {
    const key = JSON.stringify(whose);
    if (key === this.key) return;
    Object.assign(this, { key, whose, job: null });
    toggle(this.going, "hidden", true);
    toggle(this.outcome, "hidden", true);
    if (!whose) return;
    const found = await get("captions", { ...whose, limit: 1 }).catch(() => null);
    const last = found?.items[0];
    if (!last || key !== this.key || this.job) return;
    // The stream may have told more by now.
    const job = feed.job(last.job.id) ?? last.job;
    if (!ended(job)) this.take(job);
    else if (!ended(last.job)) this.tell(job.id);
    else if ((last.failed || last.waiting) && store(`captions-${last.job.id}`) !== String(last.job.attempt)) this.tell(last.job.id);
  }

  look() {
    const live = [...feed.running, ...feed.queued].find((job) => this.mine(job));
    if (live) return this.take(live);
    const now = this.job && feed.job(this.job.id);
    if (now && ended(now)) {
      this.job = null;
      toggle(this.going, "hidden", true);
      this.came();
      this.tell(now.id);
    }
  }

  take(job) {
    const before = this.job;
    this.job = job;
    toggle(this.going, "hidden", false);
    toggle(this.outcome, "hidden", true);
    setText(this.words, job.state === "queued" ? t("Captions wait for their turn") : t("Captions: {words}", { words: progressWords(job) }));
    this.bar.setAttribute("aria-valuemax", job.steps);
    this.bar.setAttribute("aria-valuenow", job.step);
    this.bar.firstElementChild.style.setProperty("--done", job.progress);
    toggle(this.bar, "data-unsure", job.state === "running" && !job.step);
    this.stop.disabled = job.cancel_requested;
    if (before && before.step !== job.step) this.came();
  }

  // One that was ordered here: it may have ended before the stream told of it.
  begun(job) {
    feed.take(job);
    this.take(feed.job(job.id) ?? job);
    this.look();
  }

  async cancel() {
    try {
      feed.take(await post(`jobs/${encodeURIComponent(this.job.id)}/cancel`));
    } catch (problem) {
      complain(problem);
    }
  }

  async tell(id) {
    const key = this.key;
    const found = await get(`captions/${encodeURIComponent(id)}`).catch((problem) => void complain(problem));
    if (!found || key !== this.key || this.job) return;
    const { job, written, failed, waiting, skipped, spent, failures, doubtful } = found;
    const counts = [tn("{count} caption written", "{count} captions written", written), failed && tn("{count} failed", "{count} failed", failed), waiting && tn("{count} left", "{count} left", waiting), skipped && tn("{count} skipped, changed meanwhile", "{count} skipped, changed meanwhile", skipped)];
    const tokens = spent.prompt_tokens + spent.completion_tokens;
    const cost = [tokens && tn("{count} token", "{count} tokens", tokens), spent.usd && dollars(spent.usd)];
    const again = failed + waiting > 0;
    const fault = job.error && h("p", { class: "caption-said" }, job.error.message, " ", job.error.remedy);
    const acts = [
      again && h("button", { type: "button", class: "button", onclick: () => this.retry(id) }, waiting ? t("Go on") : tn("Try it again", "Try the failed ones again", failed)),
      job.error?.field?.startsWith("caption_") && h("button", { type: "button", class: "button", "data-tip": t("Setup says which model describes pictures, and where it is"), onclick: () => (this.node.closest("dialog")?.close(), showSetup(SETUP)) }, t("Set it up")),
      this.whose.references && written && h("button", { type: "button", class: "quiet", onclick: () => this.undo(id) }, t("Undo")),
    ];
    const dismiss = iconButton("close", t("Dismiss"), () => (store(`captions-${id}`, String(job.attempt)), toggle(this.outcome, "hidden", true)));
    const item = (one, ...words) => h("li", {}, h("img", { src: this.thumbnail(one.id), alt: "", loading: "lazy" }), h("span", { class: "caption-said" }, ...words));
    this.outcome.replaceChildren(
      h("div", { class: "caption-outcome-head" }, icon(again || fault ? "warn" : "check"), h("p", { role: "status" }, h("strong", {}, counts.filter(Boolean).join(", ")), cost.some(Boolean) ? h("span", { class: "soft" }, ` ${cost.filter(Boolean).join(", ")}`) : null), ...acts.filter(Boolean), dismiss),
      ...[fault].filter(Boolean),
      ...(failures.length ? [h("ul", { class: "caption-list", "aria-label": t("Pictures without a caption") }, ...failures.slice(0, SHOWN).map((one) => item(one, h("strong", {}, one.error.message), " ", one.error.remedy)))] : []),
      ...(doubtful.length ? [h("details", {}, h("summary", {}, tn("{count} caption names what the pictures should teach: have a look", "{count} captions name what the pictures should teach: have a look", doubtful.length)), h("ul", { class: "caption-list" }, ...doubtful.slice(0, SHOWN).map((one) => item(one, h("strong", {}, one.traits.join(", ")), " ", one.caption))))] : []),
    );
    toggle(this.outcome, "hidden", false);
  }

  thumbnail(id) {
    return this.whose.references ? thumbnail(id) : address(`datasets/${encodeURIComponent(this.whose.dataset)}/images/${encodeURIComponent(id)}/thumbnail`);
  }

  async retry(id) {
    try {
      this.begun(await post(`captions/${encodeURIComponent(id)}/retry`));
    } catch (problem) {
      complain(problem);
    }
  }

  async undo(id) {
    try {
      const { count } = await post(`captions/${encodeURIComponent(id)}/undo`);
      toast(tn("{count} caption put back", "{count} captions put back", count), { ms: 3000 });
      toggle(this.outcome, "hidden", true);
      this.came();
    } catch (problem) {
      complain(problem);
    }
  }
}
