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
  return t("Everything is as it should be.");
}

export function checklist(checks) {
  const rows = checks.toSorted((one, other) => ORDER[one.status] - ORDER[other.status]);
  const row = (check) =>
    h(
      "li",
      { class: "check", dataset: { status: check.status } },
      h("span", { class: "check-sign", role: "img", "aria-label": MEANING[check.status], "data-tip": MEANING[check.status] }, icon(SIGN[check.status])),
      h("div", {}, h("strong", {}, check.name), h("span", { class: "check-detail" }, check.detail), check.remedy ? h("span", { class: "check-remedy" }, check.remedy) : null),
    );
  const [ill, well] = [rows.filter((check) => check.status !== "ok"), rows.filter((check) => check.status === "ok")];
  return [
    ill.length ? h("ul", { class: "checks ill", "aria-label": t("Needs attention") }, ...ill.map(row)) : null,
    h("ul", { class: "checks", "aria-label": t("In order") }, ...well.map(row)),
  ].filter(Boolean);
}
