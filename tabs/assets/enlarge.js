// Enlarging: twice or four times as large, or with more detail; what can't be done here says why, and where to mend it.

import { get, post } from "./api.js";
import { h, icon } from "./dom.js";
import { feed } from "./feed.js";
import { showTab } from "./header.js";
import { t, tn } from "./language.js";
import { showSetup } from "./setup_way.js";
import { complain, place, toast } from "./toast.js";
import { confirmed } from "./tray.js";

const WAYS = {
  "2x": [t("Upscale 2×"), t("Twice as wide and high, with an upscaling model")],
  "4x": [t("Upscale 4×"), t("Four times as wide and high, with an upscaling model")],
  detail: [t("More detail (hires fix)"), t("Drawn again from its words and seed, and refined at a larger size")],
};
const MOST = 100;

// `leave` closes what stands in front of the tab that a way out leads to.
export async function enlarge(ids, leave = () => {}) {
  if (ids.length > MOST) return void complain({ message: t("At most {count} pictures can be enlarged at once.", { count: MOST }), remedy: t("Select fewer.") });
  let ways;
  try {
    ({ items: ways } = await get("images/enlarge", { id: ids }));
  } catch (problem) {
    return void complain(problem);
  }
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "ask", "aria-labelledby": "enlarge-title", onclose: (event) => event.target === dialog && (dialog.remove(), place(), resolve()) });
    const out = () => (dialog.close(), leave(), showSetup());
    // What keeps several of them from being gone is said once, above them.
    const words = (way) => (way.runs ? "" : [way.why_not, way.remedy].filter(Boolean).join(" "));
    const shared = ways.filter((way, place) => words(way) && ways.findIndex((other) => words(other) === words(way)) < place).map(words);
    const common = ways.filter((way, place) => shared.includes(words(way)) && ways.findIndex((other) => words(other) === words(way)) === place);
    dialog.append(
      h("h2", { id: "enlarge-title" }, ids.length > 1 ? tn("Enlarge {count} picture", "Enlarge {count} pictures", ids.length) : t("Enlarge this picture")),
      h("p", {}, t("The result is a new picture; this one stays.")),
      ...common.map((way) => h("div", { class: "sheet-obstacle enlarge-common" }, icon("warn"), h("p", {}, way.link ? "" : `${t("Larger pictures are made on ComfyUI.")} `, words(way)), wayOut(way, out, "button"))),
      h("div", { class: "enlarge-ways" }, ...ways.map((way) => choice(way, shared.includes(words(way)) ? "" : words(way), () => (dialog.close(), order(ids, way.way, leave)), out))),
      h("div", { class: "ask-acts" }, h("button", { type: "button", class: "button", "data-tip": t("Leave the picture as it is"), onclick: () => dialog.close() }, t("Cancel"))),
    );
    document.body.append(dialog);
    dialog.showModal();
    place();
  });
}

// Where what is missing can be had.
function wayOut(way, out, look = "quiet") {
  if (way.link) return h("a", { href: way.link, target: "_blank", rel: "noreferrer" }, t("Get it"));
  return way.remedy.includes("Setup") ? h("button", { type: "button", class: look, onclick: out }, t("Open Setup")) : null;
}

function choice(way, why, act, out) {
  const [words, about] = WAYS[way.way];
  const button = h("button", { type: "button", class: "button", disabled: !way.runs, dataset: { way: way.way }, onclick: act }, h("span", {}, words), h("small", {}, about));
  if (!why) return h("div", { class: "enlarge-way" }, button);
  return h("div", { class: "enlarge-way" }, button, h("p", {}, icon("warn"), ` ${why}`), wayOut(way, out));
}

async function order(ids, by, leave, more = {}) {
  try {
    const { job_ids: jobs } = await post("images/enlarge", { ids, by, ...more });
    for (const job of jobs.slice(0, 20)) feed.expect(job);
    toast(tn("{count} picture is being enlarged", "{count} pictures are being enlarged", jobs.length), { action: t("Show"), act: () => (leave(), showTab("generate"), document.dispatchEvent(new CustomEvent("likeness:look", { detail: jobs[0] }))), ms: 6000 });
  } catch (problem) {
    if (problem.field !== "real_person") return complain(problem);
    const nobody = await confirmed(t("Does it show a real person?"), t("It came from outside. Photos of real people belong to a character with their consent: add it to the character's photos, and enlarge it there."), t("Nobody real"), t("Leave it"));
    if (nobody) return order(ids, by, leave, { real_person: false });
  }
  return undefined;
}
