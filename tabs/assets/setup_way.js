// The way to one part of the Setup tab, from anywhere on the page.

import { showTab } from "./header.js";

const TRIES = 200;
const EVERY_MS = 50;
const STAY_MS = 8000;

// `id` is the part's; the tab is drawn when it is first shown, and a walkthrough that stands there makes way.
export async function showSetup(id = "comfy-title") {
  showTab("setup");
  for (let tries = 0; tries < TRIES; tries++) {
    document.dispatchEvent(new CustomEvent("likeness:board"));
    const node = document.getElementById(id);
    if (node?.checkVisibility()) {
      node.focus();
      return stayAt(node);
    }
    await new Promise((done) => setTimeout(done, EVERY_MS));
  }
  return undefined;
}

// What stands above it is still being asked for and pushes it away when it comes; whoever moves the page themselves is let go.
function stayAt(node) {
  const own = ["wheel", "touchstart", "pointerdown", "keydown"];
  const end = () => {
    clearInterval(timer);
    for (const type of own) removeEventListener(type, end, true);
  };
  const look = () => {
    const { top, bottom } = node.getBoundingClientRect();
    if (top < 0 || bottom > innerHeight || performance.now() < first) node.scrollIntoView({ block: "center" });
    if (performance.now() > last) end();
  };
  const [first, last] = [performance.now() + 100, performance.now() + STAY_MS];
  const timer = setInterval(look, EVERY_MS);
  for (const type of own) addEventListener(type, end, { capture: true, passive: true });
  look();
}
