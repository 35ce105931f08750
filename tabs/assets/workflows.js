// The workflow that makes a picture on ComfyUI: which one, its own settings, and taking in one's own.

import { address, get, patch, post, remove, send, thumbnail } from "./api.js";
import { h, icon, iconButton, setText, toggle } from "./dom.js";
import { feed } from "./feed.js";
import { Field } from "./fields.js";
import { t, tn } from "./language.js";
import { BUSY } from "./setup_engine.js";
import { showSetup } from "./setup_way.js";
import { askReal, sendFile } from "./starting.js";
import { complain, toast } from "./toast.js";

// What the form has fields of its own for.
const FORM = new Set(["prompt", "negative_prompt", "width", "height", "steps", "cfg", "sampler", "scheduler", "seed", "count", "denoise", "filename_prefix"]);
// Of a workflow of one's own all that was ticked is shown by its name, but what the form asks for anyway: that goes by these.
const MAIN = { prompt: t("Prompt"), negative_prompt: t("Negative prompt"), width: t("Width"), height: t("Height"), seed: t("Seed"), count: t("Pictures") };
const LOOK_MS = 15_000;
const SOON_MS = 1_000;
const LATER_MS = 5_000;

class WorkflowField extends Field {
  static whole = true;
  role_ = "group";
  known = [];

  ready() {
    this.select = h("select", { "aria-labelledby": `${this.name}-label`, onchange: () => this.choose(this.select.value) });
    this.about = h("p", { class: "soft small" });
    this.parts = h("div", { class: "workflow-parts" });
    const words = (label, act, name) => h("button", { type: "button", class: "quiet", dataset: { act: name }, onclick: act }, label);
    this.acts = h("div", { class: "row-of-buttons" },
      words(t("Import a workflow …"), () => this.open(), "import"),
      words(t("Rename …"), () => this.rename(), "rename"),
      words(t("Export"), () => this.export(), "export"),
      words(t("Export for ComfyUI"), () => this.export("api"), "export-api"),
      words(t("Delete"), () => this.delete(), "delete"),
    );
    this.body.append(this.select, this.about, this.parts, this.acts);
    this.look();
    this.timer = setInterval(() => !document.hidden && this.look(), LOOK_MS);
    feed.addEventListener("models", () => this.look());
  }

  disconnectedCallback() {
    clearInterval(this.timer);
  }

  async look() {
    try {
      const [{ items }, health] = await Promise.all([get("workflows"), get("health")]);
      this.known = items;
      const engine = health.engines.find((one) => one.name === "comfyui");
      this.set = Boolean(engine && engine.state !== "unset");
      setText(this.note, "");
    } catch {
      setText(this.note, t("Could not be read"));
    }
    this.draw();
  }

  get chosen() {
    return this.known.find((one) => one.id === this.value?.id) ?? null;
  }

  choose(id) {
    this.pick(id ? { id, values: {} } : null);
    this.draw();
  }

  say(name, value) {
    const values = { ...this.value.values };
    if (value === null || value === "") delete values[name];
    else values[name] = value;
    this.pick({ ...this.value, values });
  }

  draw(changed) {
    if (changed === "items" || !this.select) return;
    toggle(this.closest(".block") ?? this, "data-away", !this.set && !this.known.some((one) => one.own) && !this.value);
    const key = JSON.stringify(this.known.map((one) => [one.id, one.name, one.runs]));
    if (key !== this.listed) {
      this.listed = key;
      const option = (one) => h("option", { value: one.id, disabled: !one.runs }, one.runs ? one.name : `${one.name}: ${one.lacks[0].message}`);
      const group = (label, items) => (items.length ? [h("optgroup", { label }, ...items.map(option))] : []);
      this.select.replaceChildren(
        h("option", { value: "" }, t("The model's own")),
        ...group(t("Run here"), this.known.filter((one) => one.runs)),
        ...group(t("Something is missing"), this.known.filter((one) => !one.runs)),
      );
    }
    this.select.value = this.value?.id ?? "";
    const chosen = this.chosen;
    for (const act of ["export", "export-api"]) toggle(this.acts.querySelector(`[data-act=${act}]`), "hidden", !chosen);
    for (const act of ["delete", "rename"]) toggle(this.acts.querySelector(`[data-act=${act}]`), "hidden", !chosen?.own);
    const lack = chosen?.lacks[0];
    const own = t("It draws with a model of its own, not with the one above.");
    setText(this.about, lack ? `${lack.message} ${lack.remedy}` : chosen ? [chosen.about, own].filter(Boolean).join(" ") : "");
    toggle(this.about, "hidden", !this.about.textContent);
    const drawn = JSON.stringify([chosen?.id, chosen?.parameters, this.pictures(chosen).map((name) => this.value.values[name]), this.value?.real_person]);
    if (drawn !== this.drawnParts) {
      this.drawnParts = drawn;
      this.parts.replaceChildren(...(chosen ? this.controls(chosen) : []));
    }
    this.fill();
  }

  pictures(workflow) {
    return (workflow?.parameters ?? []).filter((one) => one.type === "image" && this.value.values[one.name]).map((one) => one.name);
  }

  controls(workflow) {
    const rows = shown(workflow).map((one) => this.control(one));
    const main = workflow.own ? workflow.parameters.filter((one) => MAIN[one.name]) : [];
    if (main.length) rows.push(h("p", { class: "soft small workflow-main" }, t("Set by the form's own fields: {names}.", { names: main.map((one) => `${one.label} → ${MAIN[one.name]}`).join(", ") })));
    if (this.pictures(workflow).length) rows.push(askReal(t("Do they show real people?"), this.value, (more) => (this.pick({ ...this.value, ...more }), this.draw())));
    return rows;
  }

  control(one) {
    const name = `${this.name}-${one.name}`;
    const label = h("label", { for: name, "data-tip": one.tooltip || null }, one.label);
    return h("div", { class: "workflow-part", dataset: { part: one.name, type: one.type } }, label, this.input(one, name));
  }

  input(one, id) {
    const part = { id, dataset: { value: one.name } };
    const told = (value) => this.say(one.name, value);
    if (one.type === "image") {
      const picture = this.value.values[one.name];
      const file = h("input", { id, type: "file", accept: "image/png,image/jpeg,image/webp", onchange: () => file.files[0] && this.upload(one.name, file.files[0]) });
      const drop = h("label", { class: "drop" }, file, picture ? h("img", { src: thumbnail(picture), alt: one.label }) : icon("picture"), h("span", {}, picture ? t("Another picture") : t("Choose a picture")));
      const library = h("button", { type: "button", class: "quiet", onclick: () => this.fromLibrary(one) }, t("From the library"));
      return h("div", { class: "workflow-picture" }, drop, library, picture ? iconButton("close", t("No picture"), () => (told(null), this.draw())) : null);
    }
    if (one.type === "boolean") return h("input", { ...part, type: "checkbox", onchange: (event) => told(event.target.checked) });
    if (one.type === "integer" || one.type === "number") {
      const step = one.step ?? (one.type === "integer" ? 1 : "any");
      return h("input", { ...part, type: "number", min: one.minimum, max: one.maximum, step, placeholder: one.default, oninput: (event) => told(event.target.value === "" ? null : Number(event.target.value)) });
    }
    if (one.options.length) {
      const options = one.options.includes(one.default) || one.default === null ? one.options : [one.default, ...one.options];
      return h("select", { ...part, onchange: (event) => told(event.target.value) }, ...options.map((value) => h("option", { value }, value)));
    }
    return h("input", { ...part, type: "text", placeholder: one.default ?? "", maxlength: 10000, oninput: (event) => told(event.target.value) });
  }

  fill() {
    for (const input of this.parts.querySelectorAll("[data-value]")) {
      const one = this.chosen?.parameters.find((each) => each.name === input.dataset.value);
      const value = this.value?.values?.[input.dataset.value];
      if (input.type === "checkbox") input.checked = value ?? one?.default ?? false;
      else if (input.tagName === "SELECT") input.value = value ?? one?.default ?? one?.options[0] ?? "";
      else if (input.value !== String(value ?? "")) input.value = value ?? "";
    }
  }

  async upload(name, file) {
    try {
      const kept = await sendFile(file);
      this.say(name, kept.id);
      this.draw();
    } catch (problem) {
      complain(problem);
    }
  }

  async fromLibrary(one) {
    try {
      const { items } = await get("images", { kind: "all", limit: 60 });
      const pictures = items.filter((picture) => picture.kind !== "mask");
      const choose = (picture) => (dialog.close(), this.say(one.name, picture.id), this.draw());
      const card = (picture) => h("button", { type: "button", class: "ref-card", onclick: () => choose(picture) }, h("img", { src: thumbnail(picture.id), alt: picture.caption || picture.name || picture.recipe?.prompt || t("Picture"), loading: "lazy" }));
      const dialog = makeDialog("library-dialog", one.label, [pictures.length ? h("div", { class: "ref-grid" }, ...pictures.map(card)) : h("p", { class: "soft" }, t("No pictures yet."))]);
    } catch (problem) {
      complain(problem);
    }
  }

  // The whole of it, to be imported again, or as ComfyUI's own page opens it; the server names the file.
  export(format = "likeness") {
    h("a", { href: address(`workflows/${encodeURIComponent(this.value.id)}/export`, { format }), download: "" }).click();
  }

  async delete() {
    const { id, name } = this.chosen;
    try {
      await remove(`workflows/${encodeURIComponent(id)}`);
      this.choose("");
      await this.look();
      const back = async () => {
        await post(`workflows/${encodeURIComponent(id)}/restore`).catch(complain);
        await this.look();
        this.choose(id);
      };
      toast(t("{name} is in the trash", { name }), { action: t("Undo"), act: back });
    } catch (problem) {
      complain(problem);
    }
  }

  // The name, the description and the labels of one's own.
  rename() {
    const { id, name, about } = this.chosen;
    const title = h("input", { type: "text", value: name, maxlength: 100, required: true });
    const words = h("textarea", { rows: 3, maxlength: 2000 });
    words.value = about;
    const labels = shown(this.chosen).map((one) => [one, h("input", { type: "text", value: one.label, maxlength: 200, dataset: { label: one.name } })]);
    const line = (label, input) => h("label", { class: "import-name" }, h("span", {}, label), input);
    const state = h("p", { class: "wrong", role: "alert", hidden: true });
    const keep = h("button", { type: "submit", class: "button primary" }, t("Save"));
    const cancel = h("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("Cancel"));
    const save = async (event) => {
      event.preventDefault();
      keep.disabled = true;
      const changed = labels.filter(([one, input]) => input.value.trim() && input.value.trim() !== one.label);
      const change = { name: title.value.trim(), about: words.value.trim(), labels: Object.fromEntries(changed.map(([one, input]) => [one.name, input.value.trim()])) };
      try {
        const kept = await patch(`workflows/${encodeURIComponent(id)}`, change);
        dialog.close();
        await this.look();
        toast(t("Saved as {name}", { name: kept.name }), { ms: 3000 });
      } catch (problem) {
        setText(state, `${problem.message} ${problem.remedy}`);
        state.hidden = false;
        keep.disabled = false;
      }
    };
    const form = h("form", { class: "rename-form", onsubmit: save },
      line(t("Name"), title),
      line(t("Description"), words),
      ...(labels.length ? [h("h3", {}, t("Labels in the form"))] : []),
      h("div", { class: "rename-labels" }, ...labels.map(([one, input]) => line(one.name.replaceAll("_", " "), input))),
      state,
      h("div", { class: "ask-acts" }, cancel, keep));
    const dialog = makeDialog("import-dialog library-dialog", t("Rename a workflow"), [form]);
    title.select();
  }

  // A file is chosen or dropped, its inputs are ticked and named, and it is kept and chosen.
  open() {
    const file = h("input", { type: "file", accept: ".json,application/json,image/png,image/webp,image/jpeg", "aria-label": t("The workflow's file"), onchange: () => file.files[0] && read(file.files[0]) });
    const drop = h("label", { class: "drop" }, file, icon("upload"), h("span", {}, t("Drop a JSON of ComfyUI's Export (API) here, or a picture that ComfyUI saved")));
    const state = h("p", { class: "soft", role: "status" });
    const found = h("div", { class: "import-found" });
    const keep = h("button", { type: "button", class: "button primary", disabled: true, onclick: () => save() }, t("Import"));
    const cancel = h("button", { type: "button", class: "button", onclick: () => dialog.close() }, t("Cancel"));
    const dialog = makeDialog("import-dialog library-dialog", t("Import a workflow"), [drop, state, found, h("div", { class: "ask-acts" }, cancel, keep)]);
    let given = null;
    let said = null;
    const wrong = (problem) => {
      setText(state, `${problem.message} ${problem.remedy}`);
      state.classList.add("wrong");
    };
    const read = async (one) => {
      found.replaceChildren();
      keep.disabled = true;
      state.classList.remove("wrong");
      setText(state, t("Reading …"));
      try {
        said = await send("workflows/inspect", formOf(one));
      } catch (problem) {
        return wrong(problem);
      }
      given = one;
      keep.disabled = false;
      setText(state, nodeWords(said));
      found.replaceChildren(h("label", { class: "import-name" }, h("span", {}, t("Name")), h("input", { type: "text", value: said.name, maxlength: 100, dataset: { name: "" } })), ...(said.exported ? [] : [h("p", { class: "soft small" }, t("Tick what you want to set in the form, and name it.")), ...said.inputs.map(inputRow)]));
    };
    const save = async () => {
      keep.disabled = true;
      const rows = [...found.querySelectorAll(".import-row")].filter((row) => row.querySelector("[type=checkbox]").checked);
      const expose = rows.map((row) => ({ node: row.dataset.node, input: row.dataset.input, label: row.querySelector("[type=text]").value.trim() || row.dataset.label }));
      const name = found.querySelector("[data-name]").value.trim();
      const form = formOf(given);
      form.append("choices", JSON.stringify({ ...(name ? { name } : {}), ...(said.exported ? {} : { expose }) }));
      try {
        const kept = await send("workflows", form);
        dialog.close();
        await this.look();
        if (kept.runs) this.choose(kept.id);
        toast(t("{name} was imported", { name: kept.name }), kept.runs ? { ms: 3000 } : { kind: "warn", detail: `${kept.lacks[0].message} ${kept.lacks[0].remedy}` });
      } catch (problem) {
        wrong(problem);
        keep.disabled = false;
      }
    };
    dialog.addEventListener("dragover", (event) => event.preventDefault());
    dialog.addEventListener("drop", (event) => {
      event.preventDefault();
      if (event.dataTransfer.files[0]) read(event.dataTransfer.files[0]);
    });
  }
}

// What a workflow has that the form has no field of its own for.
function shown(workflow) {
  const elsewhere = (name) => (workflow.own ? name in MAIN || name === "filename_prefix" : FORM.has(name));
  return workflow.parameters.filter((one) => !elsewhere(one.name) && one.name !== "mask");
}

function inputRow(one) {
  const id = `import-${one.node}-${one.input}`;
  const tick = h("input", { type: "checkbox", id });
  tick.checked = one.usual;
  const { parameter } = one;
  return h("div", { class: "import-row", dataset: { node: one.node, input: one.input, label: parameter.label } },
    tick,
    h("label", { for: id, "data-tip": parameter.tooltip || null }, h("span", {}, `${one.title}: ${one.input}`), h("small", {}, rangeWords(parameter))),
    h("input", { type: "text", value: parameter.label, maxlength: 200, "aria-label": t("Label of {name}", { name: `${one.title}: ${one.input}` }) }),
  );
}

// What an input holds now, and what it can be: as the server's nodes say, or guessed.
function rangeWords({ default: value, minimum, maximum, choices }) {
  const now = String(value ?? "");
  if (choices.length) return [now, tn("{count} choice", "{count} choices", choices.length)].filter(Boolean).join(" · ");
  if (minimum === null || maximum === null) return now;
  return `${now} · ${t("{low} to {high}", { low: short(minimum), high: short(maximum) })}`;
}

function short(number) {
  return Math.abs(number) >= 1e15 ? number.toExponential(1) : String(number);
}

function nodeWords({ nodes, missing_nodes: missing, missing_packs: packs }) {
  if (missing === null) return t("No ComfyUI server was seen, so nobody knows whether its nodes are there.");
  const told = packs.map((lack) => `${lack.message} ${lack.remedy}`);
  const rest = missing.filter((name) => !packs.some((lack) => lack.nodes.includes(name)));
  if (rest.length) told.push(t("Your server lacks these nodes: {names}. Install the node packs that they are part of.", { names: rest.join(", ") }));
  if (told.length) return told.join(" ");
  return tn("Your server has its {count} kind of node.", "Your server has all {count} kinds of nodes.", nodes.length);
}

function formOf(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  return form;
}

function makeDialog(looks, title, parts) {
  const dialog = h("dialog", { class: looks, "aria-label": title, onclose: () => dialog.remove() },
    h("div", { class: "panel-head" }, h("h2", {}, title), iconButton("close", t("Close"), () => dialog.close())), ...parts);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Stands in the place of the Generate button while the engine that is chosen can't be reached, with the one thing to do about it.
class Offline extends HTMLElement {
  connectedCallback() {
    this.model = "";
    document.addEventListener("likeness:menu", ({ detail: { name, value } }) => name === "model" && ((this.model = value ?? ""), this.look()));
    document.addEventListener("pick", (event) => event.target.closest?.("#field-workflow") && this.look());
    this.setAttribute("role", "status");
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
  }

  async look() {
    clearTimeout(this.timer);
    this.asked = this.model.startsWith("comfyui/") || Boolean(document.querySelector("#field-workflow [label]")?.value);
    const health = this.asked && !document.hidden ? await get("health").catch(() => null) : null;
    const engine = health?.engines.find((one) => one.name === "comfyui");
    const info = engine && ["offline", "unset"].includes(engine.state) ? await get("engines/comfyui").catch(() => null) : null;
    if (!document.hidden) this.draw(info && !info.reachable ? info : null);
    const waiting = info && (info.busy || ["running", "asking"].includes(info.state));
    clearTimeout(this.timer);
    if (this.asked) this.timer = setTimeout(() => this.look(), waiting ? SOON_MS : LATER_MS);
  }

  draw(info) {
    document.getElementById("go")?.toggleAttribute("data-offline", Boolean(info));
    if (!info) return void this.replaceChildren();
    const key = JSON.stringify([info.state, info.busy, info.action_required, info.problem, info.servers.map((server) => server.problem)]);
    if (this.key !== key || !this.childElementCount) {
      this.key = key;
      const { title, words, act } = this.said(info);
      this.note = h("span", {}, words);
      this.bar = act ? null : h("div", { class: "bar", "data-unsure": true, role: "progressbar", "aria-label": t("Progress") }, h("i"));
      this.replaceChildren(...[h("p", {}, h("strong", {}, title), " ", this.note), act, this.bar].filter(Boolean));
    }
    if (!this.bar) return;
    if (info.note) setText(this.note, info.note);
    this.bar.firstElementChild.style.setProperty("--done", info.progress);
    toggle(this.bar, "data-unsure", info.progress === 0);
  }

  // What is the matter, and the state's one button; none where only waiting helps.
  said(info) {
    const button = (words, act) => h("button", { type: "button", class: "button primary", onclick: act }, words);
    const faults = info.servers.map((server) => [server.problem, server.remedy]).flat().join(" ");
    // What its log said is for Setup: here stand no stack traces.
    const trouble = info.problem ? t("The last attempt failed; Setup says why, in the log.") : faults;
    if (info.busy) return { title: t("ComfyUI:"), words: BUSY[info.busy] ?? "" };
    if (info.action_required === "start") return { title: t("ComfyUI does not run."), words: trouble || t("It is on this computer: start it here."), act: button(t("Start ComfyUI"), () => this.start()) };
    if (info.action_required === "install") return { title: t("ComfyUI is not installed."), words: trouble || t("Setup installs it, or connects to one that runs elsewhere."), act: button(t("Install it on Setup"), () => showSetup()) };
    if (info.state === "asking") return { title: t("Asking ComfyUI …"), words: t("In a few seconds it is known whether it answers.") };
    if (info.state === "running" && !info.action_required) return { title: t("ComfyUI is starting."), words: t("Loading takes up to a minute.") };
    return { title: t("ComfyUI is not reachable."), words: trouble, act: button(t("Show its address"), () => showSetup("comfy-address")) };
  }

  async start() {
    try {
      this.draw(await post("engines/comfyui/start"));
    } catch (problem) {
      complain(problem);
    }
    this.look();
  }
}

customElements.define("likeness-workflow", WorkflowField);
customElements.define("likeness-offline", Offline);
