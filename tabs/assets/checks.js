// What the doctor found, as a list: what needs attention first, with what to do about it.

import { h, icon } from "./dom.js";
import { t, tn } from "./language.js";

const ORDER = { fail: 0, warn: 1, ok: 2 };
const MEANING = { ok: t("Fine"), warn: t("Worth a look"), fail: t("Needs you") };
const SIGN = { ok: "check", warn: "warn", fail: "close" };

export function doctorWords(checks) {
  const count = (status) => checks.filter((check) => check.status === status).length;
  const [failed, amber] = [count("fail"), count("warn")];
  if (failed) return tn("One thing keeps the studio from working well. What to do stands below it.", "{count} things keep the studio from working well. What to do stands below it.", failed);
  if (amber) return tn("The studio works. {count} thing could be better.", "The studio works. {count} things could be better.", amber);
  return t("All is well: this computer is ready to make pictures.");
}

// What a check that went well means for whoever makes pictures. The doctor's own words, which name versions and paths, are the detail.
const PLAIN = {
  Engine: t("What draws the pictures is ready"),
  ComfyUI: t("ComfyUI can be reached"),
  "AI-Toolkit": t("AI-Toolkit can train"),
  GPU: t("Processor and graphics card are known"),
  "Starter model": t("The model that comes with the studio is whole"),
  Models: t("Your models are found"),
  "Picture check": t("Edits of real people's photos are guarded"),
  Memory: t("There is enough memory"),
  Disk: t("There is enough room on the drive"),
  "Data folder": t("Your pictures can be saved"),
  Database: t("Characters and jobs can be kept"),
  Port: t("The page can be reached"),
  Packages: t("All parts of the studio are installed"),
  Python: t("Python is new enough"),
  SQLite: t("The built-in database is new enough"),
  "Last run": t("The last run left no error"),
};

// The same of what is not used at all, and needs not be.
const UNUSED = { ComfyUI: [/^no address/, t("ComfyUI is not used; only larger models need one")], "AI-Toolkit": [/^not installed/, t("AI-Toolkit is not used; only trainings of larger models need it")] };
const plainWords = ({ name, detail }) => (UNUSED[name]?.[0].test(detail) ? UNUSED[name][1] : (PLAIN[name] ?? name));

// `folded` keeps what went well behind one click.
export function checklist(checks, { folded = false } = {}) {
  const rows = checks.toSorted((one, other) => ORDER[one.status] - ORDER[other.status]);
  const sign = (check) => h("span", { class: "check-sign", role: "img", "aria-label": MEANING[check.status], "data-tip": MEANING[check.status] }, icon(SIGN[check.status]));
  const illRow = (check) =>
    h(
      "li",
      { class: "check", dataset: { status: check.status } },
      sign(check),
      h("div", {}, h("strong", {}, check.name), h("span", { class: "check-detail" }, check.detail), check.remedy ? h("span", { class: "check-remedy" }, check.remedy) : null),
    );
  const wellRow = (check) =>
    h(
      "li",
      { class: "check", dataset: { status: check.status } },
      sign(check),
      h("div", {}, h("span", { class: "check-plain" }, plainWords(check)), h("span", { class: "check-detail" }, `${check.name}: ${check.detail}`)),
    );
  const [ill, well] = [rows.filter((check) => check.status !== "ok"), rows.filter((check) => check.status === "ok")];
  const fine = h("ul", { class: "checks well", "aria-label": t("In order") }, ...well.map(wellRow));
  const details = h("button", { type: "button", class: "quiet checks-details", "data-tip": t("Versions, sizes and places, as a report of a fault wants them"), "aria-expanded": "false", onclick: () => open(details.getAttribute("aria-expanded") !== "true") }, t("Technical details"));
  const open = (on) => {
    details.setAttribute("aria-expanded", on);
    fine.toggleAttribute("data-technical", on);
  };
  return [
    ill.length ? h("ul", { class: "checks ill", "aria-label": t("Needs attention") }, ...ill.map(illRow)) : null,
    ...(folded ? [h("details", { class: "checks-fold" }, h("summary", {}, tn("{count} thing was looked at and is fine", "{count} things were looked at and are fine", well.length)), fine, details)] : [fine, details]),
  ].filter(Boolean);
}
