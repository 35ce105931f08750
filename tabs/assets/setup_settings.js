// Every setting in plain words, grouped, saved as soon as it is changed.

import { get, patch, post } from "./api.js";
import { h, icon, iconButton } from "./dom.js";
import { t } from "./language.js";
import { complain, toast } from "./toast.js";
import { faultWords } from "./words.js";

// [name, title, how it is shown]: `advanced` ones only appear in the Advanced view.
const GROUPS = [
  {
    id: "page",
    title: t("The page"),
    fields: [
      ["port", t("Port")],
      ["open_browser", t("Open the browser at the start")],
      ["listen", t("Address to listen on"), { advanced: true }],
    ],
  },
  {
    id: "access",
    title: t("Who may come in"),
    fields: [
      ["password", t("Password")],
      ["session_hours", t("A sign-in lasts"), { unit: t("hours") }],
      ["always_sign_in", t("Ask at this computer too"), { advanced: true }],
    ],
  },
  {
    id: "making",
    title: t("Making pictures"),
    fields: [
      ["device", t("Compute on")],
      ["idle_unload_s", t("Free the memory after"), { unit: t("seconds") }],
      ["previews_per_s", t("Live previews"), { unit: t("a second") }],
      ["prompt_template", t("A character's words"), { wide: true, advanced: true }],
      ["threads", t("Processor threads"), { advanced: true }],
      ["dtype", t("Numbers"), { advanced: true }],
      ["engine_timeout_s", t("Give up after"), { unit: t("seconds"), advanced: true }],
      ["poll_interval_s", t("Look for new jobs every"), { unit: t("seconds"), advanced: true }],
    ],
  },
  {
    id: "uploads",
    title: t("Uploads"),
    fields: [
      ["max_upload_mb", t("Largest file"), { unit: t("MB") }],
      ["max_upload_megapixels", t("Largest picture"), { unit: t("megapixels") }],
      ["explicit_threshold", t("Edits of real photos count as explicit from"), { advanced: true }],
    ],
  },
  {
    id: "captions",
    title: t("Captions by a vision model"),
    tries: true,
    fields: [
      ["caption_url", t("Address"), { wide: true }],
      ["caption_model", t("Model")],
      ["caption_key", t("Key")],
      ["caption_timeout_s", t("Longest wait for a caption"), { unit: t("seconds"), advanced: true }],
      ["caption_side", t("Size of what is shown to it"), { unit: t("pixels"), advanced: true }],
    ],
  },
  {
    id: "folders",
    title: t("Folders and records"),
    fields: [
      ["data", t("Data folder"), { wide: true }],
      ["models_dir", t("Models folder"), { wide: true }],
      ["loras_dir", t("LoRA folder"), { wide: true }],
      ["database_url", t("Database"), { advanced: true }],
      ["log_level", t("Write to the log"), { advanced: true }],
    ],
  },
  {
    id: "others",
    title: t("Other programs"),
    advanced: true,
    fields: [
      ["comfyui_url", t("ComfyUI address"), { wide: true }],
      ["comfyui_token", t("ComfyUI token")],
      ["comfyui_arguments", t("ComfyUI's arguments"), { wide: true }],
      ["comfyui_python", t("ComfyUI's Python"), { wide: true }],
      ["comfyui_torch", t("ComfyUI's torch")],
      ["engine_pins", t("File of pinned versions"), { wide: true }],
      ["aitoolkit_path", t("AI-Toolkit folder"), { wide: true }],
      ["aitoolkit_python", t("AI-Toolkit's Python"), { wide: true }],
      ["aitoolkit_torch", t("AI-Toolkit's torch")],
      ["hf_token", t("Hugging Face token")],
      ["runpod_api_key", t("RunPod key")],
    ],
  },
];
const LOOK_MS = 400;
// What the values of a choice are called.
const CHOICES = { device: { auto: t("The fastest"), cpu: t("Processor"), cuda: t("NVIDIA card"), mps: t("Apple chip") } };
// Where programs that many have listen, so that nobody has to look it up.
const NEAR = { caption_url: [["Ollama", "http://127.0.0.1:11434/v1"], ["LM Studio", "http://127.0.0.1:1234/v1"]] };
// The walkthrough keeps this one itself.
const HIDDEN = new Set(["walked_through"]);

// Whether the vision model works, asked of the model itself.
class TryOut {
  constructor() {
    this.button = h("button", { type: "button", class: "button", "data-tip": t("Shows it a small drawing of two colours"), onclick: () => this.run() }, t("Try it"));
    this.said = h("p", { class: "try-said", role: "status" });
    this.node = h("div", { class: "try-out" }, this.button, this.said);
  }

  async run() {
    this.button.disabled = true;
    this.said.replaceChildren(t("Trying …"));
    delete this.said.dataset.ok;
    try {
      let tried = await post("captions/try");
      while (tried.trying || !tried.verdict) {
        await new Promise((done) => setTimeout(done, LOOK_MS));
        tried = await get("captions/try");
      }
      const { ok, message, remedy, sends_away: away } = tried.verdict;
      this.said.dataset.ok = ok;
      this.said.replaceChildren(h("span", { class: "caption-said" }, [message, remedy].filter(Boolean).join(" ")), away ? ` ${t("Pictures would leave this computer.")}` : "");
    } catch (problem) {
      this.said.replaceChildren([problem.message, problem.remedy].filter(Boolean).join(" "));
    }
    this.button.disabled = false;
  }
}

export class SettingsCard {
  constructor() {
    this.body = h("div", { class: "settings-body" });
    this.tryOut = new TryOut();
    this.node = h(
      "section",
      { class: "setup-card settings-card", "aria-labelledby": "settings-title" },
      h("div", { class: "card-head" }, h("h3", { id: "settings-title" }, t("Settings")), h("p", { class: "soft" }, t("Saved as soon as you change them."))),
      this.body,
    );
  }

  async load(settings = get("settings")) {
    try {
      const { items } = await settings;
      this.draw(items);
    } catch (problem) {
      this.body.replaceChildren(h("p", { class: "empty-line" }, `${problem.message} ${problem.remedy}`));
    }
  }

  draw(items) {
    // What is being written stays as it is, and so does what is being saved or was refused.
    if (this.body.contains(document.activeElement) && document.activeElement.matches("input, textarea")) return;
    if (this.body.querySelector(".setting:is(.saving, .wrong)")) return;
    const known = new Map(items.map((item) => [item.name, item]));
    const named = new Set(GROUPS.flatMap((group) => group.fields.map(([name]) => name)));
    const rest = items.filter((item) => !named.has(item.name) && !HIDDEN.has(item.name)).map((item) => [item.name, plainName(item.name)]);
    const groups = rest.length ? [...GROUPS, { id: "more", title: t("More"), fields: rest }] : GROUPS;
    this.body.replaceChildren(
      ...groups.map((group) =>
        h(
          "div",
          { class: group.advanced ? "settings-group advanced-only" : "settings-group", role: "group", "aria-label": group.title },
          h("h4", { id: `${group.id}-title`, tabindex: "-1" }, group.title),
          ...group.fields.filter(([name]) => known.has(name)).map(([name, title, look]) => this.row(known.get(name), title, look ?? {})),
          group.tries ? this.tryOut.node : null,
        ),
      ),
    );
  }

  row(item, title, look) {
    const id = `setting-${item.name}`;
    const node = h("div", {
      class: ["setting", (look.wide || item.kind === "folder") && "wide", look.advanced && "advanced-only"].filter(Boolean).join(" "),
      dataset: { setting: item.name },
    });
    const control = this.control(item, id, look, title);
    const help = h("p", { class: "setting-help", id: `${id}-help` }, ...item.help.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part)));
    const environment = h("code", { class: "setting-env advanced-only", "data-tip": t("The name of this setting in the environment and in .env") }, item.environment);
    node.append(
      h(
        "div",
        { class: "setting-words" },
        h(item.kind === "secret" || item.fixed_by ? "span" : "label", item.kind === "secret" || item.fixed_by ? { class: "setting-title" } : { class: "setting-title", for: id }, title),
        help,
        this.near(item),
        h("p", { class: "setting-facts" }, environment, ...this.facts(item)),
      ),
      h("div", { class: "setting-control" }, control, this.reset(item, title)),
    );
    return node;
  }

  near(item) {
    const known = item.fixed_by ? [] : (NEAR[item.name] ?? []).filter(([, url]) => url !== item.value);
    if (!known.length) return null;
    const press = (url) => this.save(item, url, this.body.querySelector(`#setting-${item.name}`));
    return h("p", { class: "setting-near" }, ...known.map(([name, url]) => h("button", { type: "button", class: "quiet", "data-tip": t("Its usual address: {url}", { url }), onclick: () => press(url) }, t("{program} on this computer", { program: name }))));
  }

  facts(item) {
    if (item.secret) return [h("span", { class: "advanced-only" }, t("Only from the environment or .env")), h("span", { class: "simple-only" }, t("A secret is not written on a page: put it into the file .env as {name}=…", { name: item.environment }))];
    if (item.fixed_by) return [h("span", { class: "fact" }, icon("lock"), h("span", { class: "advanced-only" }, t("Fixed by {what}", { what: item.fixed_by })), h("span", { class: "simple-only" }, t("Can't be changed here")))];
    return [
      item.now !== null ? h("span", { class: "fact" }, t("Runs with {value} this time", { value: item.now })) : null,
      item.pending ? h("span", { class: "fact waits" }, icon("retry"), t("Applies after the next start")) : null,
    ].filter(Boolean);
  }

  control(item, id, look, title) {
    if (item.kind === "secret") return h("span", { class: item.set ? "tag good" : "tag" }, item.set ? t("Set") : t("Not set"));
    const about = { id, "aria-describedby": `${id}-help`, "aria-label": item.fixed_by ? title : null, disabled: Boolean(item.fixed_by) };
    if (item.kind === "switch") {
      const box = h("input", { ...about, type: "checkbox", role: "switch", class: "toggle", onchange: () => this.save(item, box.checked, box) });
      box.checked = Boolean(item.value);
      return box;
    }
    if (item.kind === "choice") {
      const menu = h("select", { ...about, class: "setting-input", onchange: () => this.save(item, menu.value, menu) }, ...item.choices.map((value) => h("option", { value }, CHOICES[item.name]?.[value] ?? value)));
      menu.value = item.value;
      return menu;
    }
    const number = item.kind === "whole" || item.kind === "number";
    const long = item.name === "prompt_template";
    const field = h(long ? "textarea" : "input", {
      ...about,
      class: number ? "setting-input short" : "setting-input",
      type: long ? null : number ? "number" : "text",
      rows: long ? 2 : null,
      step: item.kind === "whole" ? 1 : "any",
      min: number ? item.least : null,
      max: number ? item.most : null,
      inputmode: number ? "decimal" : null,
      spellcheck: "false",
      autocomplete: "off",
      placeholder: item.default === null || item.default === "" ? (item.kind === "folder" ? t("In the data folder") : t("Not set")) : String(item.default),
    });
    field.value = item.value ?? "";
    field.addEventListener("change", () => this.save(item, field.value.trim() === "" ? null : number ? Number(field.value) : field.value, field));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !long) field.blur();
      if (event.key === "Escape") {
        field.value = item.value ?? "";
        this.fault(field, null);
      }
    });
    return look.unit ? h("span", { class: "with-unit" }, field, h("span", { class: "unit" }, look.unit)) : field;
  }

  reset(item, title) {
    if (item.secret || item.fixed_by || item.value === item.default) return null;
    return iconButton("restore", item.default === "" || item.default === null ? t("Back to the default: empty") : t("Back to the default: {value}", { value: item.default }), (event) => this.save(item, null, event.currentTarget, title), { class: "icon-button setting-reset" });
  }

  async save(item, value, control) {
    const row = control.closest(".setting");
    this.fault(control, null);
    row.classList.add("saving");
    try {
      const { items } = await patch("settings", { [item.name]: value });
      const [now] = items;
      const title = row.querySelector(".setting-title").textContent;
      toast(!now.pending && value === null ? t("Back to the default: {value}", { value: title }) : t("Saved: {title}", { title }), { detail: now.pending ? t("It applies after the next start of the studio.") : "", ms: 4000 });
      const again = this.row(now, title, lookOf(item.name));
      const focused = row.contains(document.activeElement);
      row.replaceWith(again);
      if (focused) again.querySelector("input, select, textarea")?.focus({ preventScroll: true });
    } catch (problem) {
      row.classList.remove("saving");
      if (control.matches("[type=checkbox]")) control.checked = Boolean(item.value);
      if (problem.field) this.fault(control, problem);
      else complain(problem);
    }
  }

  fault(control, problem) {
    const row = control.closest(".setting");
    row.querySelector(".field-error")?.remove();
    control.toggleAttribute("aria-invalid", false);
    row.classList.toggle("wrong", Boolean(problem));
    if (!problem) return;
    control.setAttribute("aria-invalid", "true");
    row.append(h("p", { class: "field-error", role: "alert" }, faultWords(problem, row.querySelector(".setting-title").textContent)));
  }
}

const lookOf = (name) => GROUPS.flatMap((group) => group.fields).find(([known]) => known === name)?.[2] ?? {};
const plainName = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
