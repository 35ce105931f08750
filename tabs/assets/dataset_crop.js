// Cropping and turning a picture of a dataset: a box over it, moved and sized with the mouse, a finger or keys.

import { h, iconButton, setText, toggle } from "./dom.js";
import { t } from "./language.js";
import { place } from "./toast.js";

const LEAST = 16;
const HANDLES = ["nw", "ne", "sw", "se"];

// What POST …/crop takes: {turns, left, top, width, height}; null when the person thought better of it.
export function cropPicture(source, picture) {
  return new Promise((resolve) => {
    let turns = 0;
    let square = false;
    let box = null;
    const size = () => (turns % 2 ? [picture.height, picture.width] : [picture.width, picture.height]);
    const image = h("img", { src: source, alt: "", draggable: "false" });
    const frame = h("div", { class: "crop-box", tabindex: 0, role: "group", "aria-label": t("The part that is kept. Arrow keys move it, with Shift they size it.") }, ...HANDLES.map((corner) => h("i", { dataset: { corner } })));
    const stage = h("div", { class: "crop-stage" }, image, frame);
    const words = h("p", { role: "status" });
    const whole = () => {
      const [width, height] = size();
      box = { left: 0, top: 0, width, height };
      if (square) {
        const side = Math.min(width, height);
        box = { left: (width - side) >> 1, top: (height - side) >> 1, width: side, height: side };
      }
      draw();
    };
    const fit = (next) => {
      const [width, height] = size();
      if (square) next.width = next.height = Math.min(Math.max(next.width, next.height), width, height);
      next.width = Math.round(Math.min(width, Math.max(LEAST, next.width)));
      next.height = Math.round(Math.min(height, Math.max(LEAST, next.height)));
      next.left = Math.round(Math.min(width - next.width, Math.max(0, next.left)));
      next.top = Math.round(Math.min(height - next.height, Math.max(0, next.top)));
      box = next;
      draw();
    };
    const draw = () => {
      const [width, height] = size();
      stage.style.setProperty("--ratio", width / height);
      image.style.setProperty("--turns", `${turns * 90}deg`);
      // A turned picture is laid out as if it were not: its sides are those of the stage, swapped.
      Object.assign(image.style, turns % 2 ? { width: `${(100 * height) / width}%`, height: `${(100 * width) / height}%` } : { width: "100%", height: "100%" });
      Object.assign(frame.style, { left: `${(100 * box.left) / width}%`, top: `${(100 * box.top) / height}%`, width: `${(100 * box.width) / width}%`, height: `${(100 * box.height) / height}%` });
      setText(words, `${box.width} × ${box.height}`);
      const same = !turns && box.width === width && box.height === height;
      go.disabled = same;
    };
    const turn = (step) => {
      turns = (turns + step + 4) % 4;
      whole();
    };
    let grip = null;
    frame.addEventListener("pointerdown", (event) => {
      frame.setPointerCapture(event.pointerId);
      grip = { x: event.clientX, y: event.clientY, corner: event.target.dataset.corner ?? "", from: { ...box } };
      event.preventDefault();
      frame.focus();
    });
    frame.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const shown = stage.getBoundingClientRect();
      const [width, height] = size();
      const [x, y] = [((event.clientX - grip.x) / shown.width) * width, ((event.clientY - grip.y) / shown.height) * height];
      const { from, corner } = grip;
      if (!corner) return fit({ ...from, left: from.left + x, top: from.top + y });
      const west = corner.includes("w");
      const north = corner.includes("n");
      let wide = Math.max(LEAST, from.width + (west ? -x : x));
      let high = Math.max(LEAST, from.height + (north ? -y : y));
      wide = Math.min(wide, west ? from.left + from.width : width - from.left);
      high = Math.min(high, north ? from.top + from.height : height - from.top);
      if (square) wide = high = Math.min(wide, high);
      fit({ left: west ? from.left + from.width - wide : from.left, top: north ? from.top + from.height - high : from.top, width: wide, height: high });
    });
    for (const type of ["pointerup", "pointercancel"]) frame.addEventListener(type, () => (grip = null));
    frame.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (!(event.key in moves)) return;
      event.preventDefault();
      const step = Math.max(1, Math.round(Math.max(...size()) / 50));
      const [x, y] = moves[event.key].map((each) => each * step);
      if (!event.shiftKey) fit({ ...box, left: box.left + x, top: box.top + y });
      else if (square) fit({ ...box, width: box.width + x + y, height: box.height + x + y });
      else fit({ ...box, width: box.width + x, height: box.height + y });
    });
    const shape = (words_, on, tip) => h("button", { type: "button", "data-tip": tip, "aria-pressed": on === square, onclick: (event) => ((square = on), [...event.currentTarget.parentElement.children].forEach((one) => one.setAttribute("aria-pressed", one === event.currentTarget)), whole()) }, words_);
    const go = h("button", { type: "button", class: "button primary", "data-tip": t("Keeps what the frame shows; can be undone"), onclick: () => (resolve({ turns, ...box }), dialog.close()) }, t("Crop"));
    const dialog = h(
      "dialog",
      { class: "ask dataset-dialog crop-dialog", "aria-label": t("Crop or turn {name}", { name: picture.name }), onclose: (event) => event.target === dialog && (resolve(null), dialog.remove(), place()) },
      h("div", { class: "panel-head" }, h("h2", {}, t("Crop or turn")), iconButton("close", t("Close"), () => dialog.close())),
      h("div", { class: "crop-place" }, stage),
      h("div", { class: "crop-tools" }, iconButton("restore", t("Turn to the left"), () => turn(-1)), iconButton("retry", t("Turn to the right"), () => turn(1)), h("div", { class: "switch", role: "group", "aria-label": t("Shape") }, shape(t("Free"), false, t("The frame can have any shape")), shape(t("Square"), true, t("The frame is as wide as it is high"))), words),
      h("div", { class: "ask-acts" }, h("button", { type: "button", class: "button", "data-tip": t("Close this and change nothing"), onclick: () => dialog.close() }, t("Cancel")), go),
    );
    toggle(dialog, "data-ready", true);
    document.body.append(dialog);
    dialog.showModal();
    place();
    whole();
    frame.focus();
  });
}
