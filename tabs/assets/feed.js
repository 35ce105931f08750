// What the studio is doing, as it does it: one stream of events, kept whole after every reconnect.

import { address, get, signIn } from "./api.js";
import { paced } from "./dom.js";

const ENDED = new Set(["done", "failed", "cancelled", "poisoned"]);
const MOST_QUEUED = 2000;
const KEPT_ENDED = 30;
const HIDDEN_TOO_LONG_MS = 60_000;

export const ended = (job) => ENDED.has(job.state);
// The answer to a click may come after the stream told how that ended. Whoever goes on after an end has a new attempt.
const over = (job) => ended(job) || job.state === "paused";
const older = (job, known) => job.attempt < known.attempt || (job.attempt === known.attempt && over(known) && !over(job));
export const paints = (job) => job.kind === "generate"; // others train

class Feed extends EventTarget {
  #jobs = new Map();
  #pictures = new Map();
  #source = null;
  #tries = 0;
  #timer = 0;
  #syncing = null;
  #again = false;
  #late = new Map();
  #greeted = false;
  #changed = paced(() => this.#sort());

  connected = null; // null: not known yet
  synced = false;
  running = [];
  paused = [];
  queued = [];
  ended = [];
  queuedMore = false;
  engine = null; // what is being done with an engine now

  start() {
    this.#open();
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.#timer);
      // A browser allows six connections to a host: pages that nobody looks at give theirs back.
      if (document.hidden) this.#timer = setTimeout(() => this.#close(), HIDDEN_TOO_LONG_MS);
      else if (!this.#source) this.#open();
    });
    window.addEventListener("online", () => this.#source || this.#open());
  }

  job(id) {
    return this.#jobs.get(id) ?? null;
  }

  // After something went to the trash or came back: ask anew which pictures jobs have.
  forgetPictures() {
    for (const entry of this.#pictures.values()) entry.stamp = "";
    this.#changed();
  }

  // The pictures of a job that are not in the trash; asked for once, and again when the library changed while it was at work.
  pictures(job) {
    const known = this.#pictures.get(job.id);
    const stamp = `${job.attempt}-${job.state}-${ended(job) ? "" : this.#libraryStamp}`;
    if (known && known.stamp === stamp) return known.items;
    const entry = { stamp, items: known?.items ?? null };
    this.#pictures.set(job.id, entry);
    get(`jobs/${encodeURIComponent(job.id)}/artifacts`).then(
      (found) => {
        entry.items = found.items.filter((picture) => !picture.trashed_at);
        entry.told = true;
        this.#tell("change");
      },
      () => this.#pictures.get(job.id) === entry && this.#pictures.delete(job.id),
    );
    return entry.items;
  }

  // False while what `pictures` gives was read before the job came to where it is now.
  knows(job) {
    this.pictures(job);
    return Boolean(this.#pictures.get(job.id)?.told);
  }

  #libraryStamp = 0;

  // A job that a click of this page made, before the stream tells of it.
  async expect(id) {
    try {
      this.#take(await get(`jobs/${encodeURIComponent(id)}`));
      this.#changed();
    } catch {
      // The stream will tell.
    }
  }

  take(job) {
    this.#take(job);
    this.#changed();
  }

  #open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const source = new EventSource(address("events"));
    this.#source = source;
    source.addEventListener("hello", () => {
      this.#tries = 0;
      this.#link(true);
      // What came while nobody listened was told to nobody; a page that is new has just read it.
      if (this.#greeted) this.#tell("models");
      this.#greeted = true;
      // What is still being done is told again right after this.
      this.#work(null);
      this.sync();
    });
    source.addEventListener("engine", (event) => {
      const work = JSON.parse(event.data);
      const over = work.state !== "running";
      this.#work(over ? null : work);
      if (over) this.#tell("engine", work);
    });
    source.addEventListener("job", (event) => {
      this.#take(JSON.parse(event.data));
      this.#changed();
    });
    source.addEventListener("pictures", () => this.#library());
    source.addEventListener("models", () => this.#tell("models"));
    source.onerror = () => {
      if (this.#source !== source) return;
      this.#close();
      this.#link(false);
      const wait = Math.min(30_000, 500 * 2 ** this.#tries++) * (0.75 + Math.random() / 2);
      this.#timer = setTimeout(() => this.#reopen(), wait);
    };
  }

  async #reopen() {
    // An EventSource doesn't say why it failed; this does, and a lost session leads to the sign-in.
    const answer = await fetch(address("jobs", { limit: 1 })).catch(() => null);
    if (answer?.status === 401) signIn();
    this.#open();
  }

  #close() {
    this.#source?.close();
    this.#source = null;
  }

  #link(connected) {
    if (this.connected === connected) return;
    this.connected = connected;
    this.#tell("link");
  }

  #work(work) {
    if (!work && !this.engine) return;
    this.engine = work;
    this.#tell("engine-now");
  }

  #library() {
    this.#libraryStamp += 1;
    for (const id of this.#pictures.keys()) if (!this.#jobs.has(id)) this.#pictures.delete(id);
    this.#tell("pictures");
    this.#changed();
  }

  async sync() {
    if (this.#syncing) {
      this.#again = true;
      return;
    }
    this.#late = new Map();
    this.#syncing = this.#look();
    try {
      const found = await this.#syncing;
      for (const [id, job] of this.#late) {
        const there = found.get(id);
        if (!there || !older(job, there)) found.set(id, job);
      }
      this.#jobs = found;
      this.synced = true;
      this.#library();
    } catch {
      if (this.connected) setTimeout(() => this.sync(), 2000);
    } finally {
      this.#syncing = null;
      if (this.#again) {
        this.#again = false;
        this.sync();
      }
    }
  }

  async #look() {
    // Finished jobs are asked for apart: a thousand cancelled ones must not push them out of sight.
    const [running, done, others, queued] = await Promise.all([
      get("jobs", { state: ["running", "paused"], limit: 100 }),
      get("jobs", { state: "done", limit: KEPT_ENDED }),
      get("jobs", { state: ["failed", "cancelled", "poisoned"], limit: KEPT_ENDED }),
      this.#lookQueued(),
    ]);
    return new Map([...queued, ...running.items, ...done.items, ...others.items].map((job) => [job.id, job]));
  }

  // The list is newest first and what comes next is at its end, so all of it is read, up to a limit.
  async #lookQueued() {
    const items = [];
    let page = await get("jobs", { state: "queued", limit: 100 });
    items.push(...page.items);
    while (page.next && items.length < MOST_QUEUED) {
      page = await get("jobs", { state: "queued", limit: 500, cursor: page.next });
      items.push(...page.items);
    }
    this.queuedMore = Boolean(page.next);
    return items;
  }

  #take(job) {
    const before = this.#jobs.get(job.id);
    if (before && older(job, before)) return;
    if (this.#syncing) this.#late.set(job.id, job);
    this.#jobs.set(job.id, job);
    if (before && !ended(before) && ended(job)) this.#tell("ended", job);
  }

  #sort() {
    const all = [...this.#jobs.values()];
    const by = (key) => (one, other) => (key(one) < key(other) ? -1 : key(one) > key(other) ? 1 : 0);
    this.running = all.filter((job) => job.state === "running").sort(by((job) => job.started_at ?? ""));
    this.paused = all.filter((job) => job.state === "paused").sort(by((job) => job.started_at ?? ""));
    this.queued = all.filter((job) => job.state === "queued").sort((one, other) => one.priority - other.priority || by((job) => (job.queued_at ?? job.created_at) + job.id)(one, other));
    this.ended = all.filter(ended).sort((one, other) => -by((job) => job.finished_at ?? "")(one, other));
    const room = { done: KEPT_ENDED, rest: KEPT_ENDED };
    this.ended = this.ended.filter((job) => room[job.state === "done" ? "done" : "rest"]-- > 0 || (this.#jobs.delete(job.id), false));
    this.#tell("change");
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

export const feed = new Feed();
