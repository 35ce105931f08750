// What can be done to pictures of the library from anywhere on the page.

import { address, post, Problem, signIn } from "./api.js";
import { t, tn } from "./language.js";
import { complain, toast, working } from "./toast.js";
import { bytes } from "./words.js";

const FEW = 200;

// Everyone who shows a picture hears `likeness:picture-changed` with {ids, change}.
const tell = (ids, change) => document.dispatchEvent(new CustomEvent("likeness:picture-changed", { detail: { ids, change } }));

// The heart fills at once; if the studio can't keep it, it empties again.
export async function favour(ids, favourite) {
  tell(ids, { favourite });
  try {
    await post("images/change", { ids, change: { favourite } });
    if (ids.length > 1) toast(favourite ? tn("{count} picture among your favourites", "{count} pictures among your favourites", ids.length) : tn("{count} picture no favourites any more", "{count} pictures no favourites any more", ids.length), { ms: 2500 });
  } catch (problem) {
    tell(ids, { favourite: !favourite });
    complain(problem);
  }
}

// `button` can't be pressed again until the file is there.
export function saveZip(ids, button) {
  return saveFile("images/zip", button, {
    body: { ids },
    name: "likeness.zip",
    words: tn("Packing {count} picture …", "Packing {count} pictures …", ids.length),
    detail: ids.length > FEW ? t("Many pictures take a while; you can go on working.") : "",
    done: tn("{count} picture in one ZIP", "{count} pictures in one ZIP", ids.length),
    broken: t("Try again, with fewer pictures if need be."),
  });
}

// A file that the studio puts together: fetched with its bytes counted, then kept as any download. With a `body` it is asked for by POST.
export async function saveFile(path, button, { body = null, name, words, detail = "", done, broken = t("Try it again.") }) {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  const work = working(words, detail);
  try {
    const asked = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
    const answer = await fetch(address(path), asked).catch(() => {
      throw new Problem({ message: t("The studio is not answering."), remedy: t("Check that it still runs, then try again.") });
    });
    if (answer.status === 401) signIn();
    if (!answer.ok) throw new Problem((await answer.json().catch(() => null))?.error);
    const file = await received(answer, work.on).catch(() => {
      throw new Problem({ message: t("The file broke off before it was whole."), remedy: broken });
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    toast(done, { detail: bytes(file.size), ms: 4000 });
  } catch (problem) {
    complain(problem);
  } finally {
    work.leave();
    button.ariaDisabled = null;
  }
}

async function received(answer, on) {
  const total = Number(answer.headers.get("Content-Length")) || 0;
  const parts = [];
  let size = 0;
  const reader = answer.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    size += part.value.length;
    on(size, total);
  }
  return new Blob(parts, { type: answer.headers.get("Content-Type") ?? "" });
}
