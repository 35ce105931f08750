// What can be done to pictures of the library from anywhere on the page.

import { address, post, Problem, signIn } from "./api.js";
import { t, tn } from "./language.js";
import { complain, toast } from "./toast.js";
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
export async function saveZip(ids, button) {
  if (button.disabled) return;
  button.disabled = true;
  const leave = toast(tn("Packing {count} picture …", "Packing {count} pictures …", ids.length), { detail: ids.length > FEW ? t("Many pictures take a while; you can go on working.") : "", ms: 600_000 });
  try {
    const answer = await fetch(address("images/zip"), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ids }),
    }).catch(() => {
      throw new Problem({ message: t("The studio is not answering."), remedy: t("Check that it still runs, then try again.") });
    });
    if (answer.status === 401) signIn();
    if (!answer.ok) throw new Problem((await answer.json().catch(() => null))?.error);
    const file = await answer.blob().catch(() => {
      throw new Problem({ message: t("The ZIP broke off before it was whole."), remedy: t("Try again, with fewer pictures if need be.") });
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "likeness.zip";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    toast(tn("{count} picture in one ZIP", "{count} pictures in one ZIP", ids.length), { detail: bytes(file.size), ms: 4000 });
  } catch (problem) {
    complain(problem);
  } finally {
    leave();
    button.disabled = false;
  }
}
