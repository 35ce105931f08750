// Each tab has an address, so that Back goes to the tab before and a reload, or a link, comes to the same one.

import { onTab, showTab, tabShown } from "./header.js";

const TABS = new Set(["setup", "characters", "train", "generate", "gallery", "analytics"]);
const TRY_MS = 50;
const TRIES = 200;

// With the stroke no element is meant: a browser that went to one would take the focus from where it is.
const addressed = () => {
  const id = location.hash.slice(2);
  return TABS.has(id) ? id : null;
};

export function startAddresses() {
  const wanted = addressed();
  if (wanted && wanted !== "generate") arrive(wanted, TRIES);
  else follow();
  addEventListener("popstate", () => {
    const id = addressed() ?? "generate";
    if (id !== tabShown()) showTab(id);
  });
}

// The page begins with a tab of its own, and takes a moment until its tabs can be pressed.
function arrive(id, tries) {
  const gone = addressed() !== id; // Back was pressed meanwhile
  if (tabShown() !== id && !gone) showTab(id);
  if (tabShown() === id || gone || !tries) follow();
  else setTimeout(() => arrive(id, tries - 1), TRY_MS);
}

function follow() {
  let known = tabShown();
  onTab((id) => {
    if (id === known) return;
    known = id;
    if ((addressed() ?? "generate") !== id) history.pushState(null, "", `#/${id}`);
  });
}
