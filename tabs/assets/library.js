// What can be done to pictures of the library from anywhere on the page.

import { address, post, Problem, signIn } from "./api.js";
import { complain, toast } from "./toast.js";
import { bytes, plural } from "./words.js";

const FEW = 200;

// Everyone who shows a picture hears `likeness:picture-changed` with {ids, change}.
const tell = (ids, change) => document.dispatchEvent(new CustomEvent("likeness:picture-changed", { detail: { ids, change } }));

// The heart fills at once; if the studio can't keep it, it empties again.
export async function favour(ids, favourite) {
  tell(ids, { favourite });
  try {
    await post("images/change", { ids, change: { favourite } });
    if (ids.length > 1) toast(`${plural(ids.length, "picture")} ${favourite ? "among your favourites" : "no favourites any more"}`, { ms: 2500 });
  } catch (problem) {
    tell(ids, { favourite: !favourite });
    complain(problem);
  }
}

// `button` can't be pressed again until the file is there.
export async function saveZip(ids, button) {
  if (button.disabled) return;
  button.disabled = true;
  const leave = toast(`Packing ${plural(ids.length, "picture")} …`, { detail: ids.length > FEW ? "Many pictures take a while; you can go on working." : "", ms: 600_000 });
  try {
    const answer = await fetch(address("images/zip"), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ids }),
    }).catch(() => {
      throw new Problem({ message: "The studio is not answering.", remedy: "Check that it still runs, then try again." });
    });
    if (answer.status === 401) signIn();
    if (!answer.ok) throw new Problem((await answer.json().catch(() => null))?.error);
    const file = await answer.blob().catch(() => {
      throw new Problem({ message: "The ZIP broke off before it was whole.", remedy: "Try again, with fewer pictures if need be." });
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "likeness.zip";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    toast(`${plural(ids.length, "picture")} in one ZIP`, { detail: bytes(file.size), ms: 4000 });
  } catch (problem) {
    complain(problem);
  } finally {
    leave();
    button.disabled = false;
  }
}
