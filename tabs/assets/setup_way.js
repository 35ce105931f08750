// The way to one part of the Setup tab, from anywhere on the page.

import { showTab } from "./header.js";

const TRIES = 200;
const EVERY_MS = 50;

// `id` is the part's; the tab is drawn when it is first shown, and a walkthrough that stands there makes way.
export async function showSetup(id = "comfy-title") {
  showTab("setup");
  for (let tries = 0; tries < TRIES; tries++) {
    document.dispatchEvent(new CustomEvent("likeness:board"));
    const node = document.getElementById(id);
    if (node?.checkVisibility()) {
      node.scrollIntoView({ block: "center" });
      return node.focus();
    }
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
  return undefined;
}
