// Painting a mask: white where the picture is drawn anew. The file has exactly the picture's own size.

import { h, iconButton } from "./dom.js";
import { t } from "./language.js";
import { place } from "./toast.js";
import { confirmed } from "./tray.js";

// The same in light and dark: it lies on pictures, not on the page.
const STRIPE = "#c2410c";

// A PNG of the mask, or null when the person thought better of it.
export async function paintMask(address, width, height, before) {
  const [picture, mask] = await Promise.all([loaded(address), before ? loaded(before) : null]);
  const paper = h("canvas", { width, height, class: "mask-paper", tabindex: 0, "aria-label": t("Paint over what should be drawn anew. Arrow keys move the brush, Space paints.") });
  const pen = paper.getContext("2d");
  const ink = stripes(pen, Math.max(width, height));
  const strokes = [];
  let made = 0;
  let erase = false;
  let size = Math.round(Math.max(width, height) / 8);
  let last = null;
  let at = { x: width / 2, y: height / 2 };

  if (mask) {
    // A kept mask is white on black; on the paper its white part is painted, the rest is clear.
    pen.drawImage(mask, 0, 0, width, height);
    const pixels = pen.getImageData(0, 0, width, height);
    for (let index = 0; index < pixels.data.length; index += 4) pixels.data[index + 3] = pixels.data[index];
    pen.putImageData(pixels, 0, 0);
    Object.assign(pen, { globalCompositeOperation: "source-in", fillStyle: ink });
    pen.fillRect(0, 0, width, height);
  }

  const keep = () => {
    made += 1;
    strokes.push(pen.getImageData(0, 0, width, height));
    if (strokes.length > 30) strokes.shift();
  };
  const dab = (from, to) => {
    pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
    Object.assign(pen, { lineCap: "round", lineJoin: "round", lineWidth: size, strokeStyle: ink });
    pen.beginPath();
    pen.moveTo(from.x, from.y);
    pen.lineTo(to.x + 0.01, to.y);
    pen.stroke();
  };
  const spot = (event) => {
    const box = paper.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
  };
  const brush = h("span", { class: "mask-brush", "aria-hidden": "true", hidden: true });
  const showBrush = () => {
    brush.hidden = false;
    brush.style.left = `${(at.x / width) * 100}%`;
    brush.style.top = `${(at.y / height) * 100}%`;
    brush.style.width = `${(size / width) * 100}%`;
  };
  paper.addEventListener("pointerdown", (event) => {
    paper.setPointerCapture(event.pointerId);
    keep();
    at = last = spot(event);
    dab(last, last);
    showBrush();
  });
  paper.addEventListener("pointermove", (event) => {
    at = spot(event);
    showBrush();
    if (!last) return;
    dab(last, at);
    last = at;
  });
  for (const type of ["pointerup", "pointercancel"]) paper.addEventListener(type, () => (last = null));
  paper.addEventListener("pointerleave", () => (brush.hidden = true));
  paper.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in moves) {
      event.preventDefault();
      const [x, y] = moves[event.key];
      at = { x: Math.max(0, Math.min(width, at.x + (x * size) / 3)), y: Math.max(0, Math.min(height, at.y + (y * size) / 3)) };
      showBrush();
    } else if (event.key === " ") {
      event.preventDefault();
      keep();
      dab(at, at);
      showBrush();
    }
  });

  return new Promise((resolve) => {
    const use = async () => {
      resolve(await painted(paper, width, height));
      dialog.close();
    };
    let asking = false;
    // Strokes are work: they don't go without a question.
    const leave = async () => {
      if (asking) return;
      asking = true;
      const sure = !made || (await confirmed(t("Leave without this mask?"), t("What you have painted here is not kept."), t("Discard"), t("Keep painting")));
      asking = false;
      if (sure) dialog.close();
    };
    const range = h("input", { type: "range", min: 2, max: Math.max(width, height) / 2, value: size, "aria-label": t("Size of the brush"), "data-tip": t("How broad the brush paints"), oninput: () => ((size = Number(range.value)), showBrush()) });
    const eraser = h("button", { type: "button", class: "button", "aria-pressed": false, "data-tip": t("The brush takes paint away instead"), onclick: () => ((erase = !erase), eraser.setAttribute("aria-pressed", erase)) }, t("Erase"));
    const clear = h("button", { type: "button", class: "button", "data-tip": t("Take all paint away"), onclick: () => (keep(), pen.clearRect(0, 0, width, height)) }, t("Clear"));
    const undo = h("button", { type: "button", class: "button", "data-tip": t("Take back the last stroke"), onclick: () => strokes.length && (pen.putImageData(strokes.pop(), 0, 0), (made -= 1)) }, t("Undo"));
    const dialog = h("dialog", { class: "mask-dialog", "aria-labelledby": "mask-title", onclose: () => (resolve(null), dialog.remove(), place()) },
      h("div", { class: "panel-head" }, h("h2", { id: "mask-title" }, t("Paint over what should be drawn anew")), iconButton("close", t("Close"), leave)),
      h("div", { class: "mask-easel", style: { "--ratio": width / height } }, h("img", { src: picture.src, alt: "" }), paper, brush),
      h("div", { class: "mask-tools" }, h("label", {}, t("Brush"), range), eraser, undo, clear),
      h("div", { class: "ask-acts" }, h("button", { type: "button", class: "button", "data-tip": t("Leave the mask as it was"), onclick: leave }, t("Cancel")), h("button", { type: "button", class: "button primary", "data-tip": t("What is painted is drawn anew, the rest stays"), onclick: use }, t("Use this mask"))),
    );
    // By key, not by the dialog's own event: a browser lets only the first of two presses be refused.
    dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      leave();
    });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      leave();
    });
    document.body.append(dialog);
    dialog.showModal();
    paper.focus();
  });
}

function painted(paper, width, height) {
  const whole = h("canvas", { width, height });
  const pen = whole.getContext("2d");
  pen.drawImage(paper, 0, 0);
  for (const [how, colour] of [["source-in", "#fff"], ["destination-over", "#000"]]) {
    Object.assign(pen, { globalCompositeOperation: how, fillStyle: colour });
    pen.fillRect(0, 0, width, height);
  }
  return new Promise((resolve) => whole.toBlob(resolve, "image/png"));
}

// What a mask is shown in: slanted stripes of a colour and white, which no picture has all of. They lie still, whatever is painted over.
function stripes(pen, longest) {
  const cell = Math.max(4, Math.round(longest / 48));
  const tile = h("canvas", { width: cell, height: cell });
  const brush = tile.getContext("2d");
  brush.fillStyle = "#fff";
  brush.fillRect(0, 0, cell, cell);
  Object.assign(brush, { strokeStyle: STRIPE, lineWidth: cell / 2 });
  for (const from of [-cell, 0, cell]) {
    brush.beginPath();
    brush.moveTo(from - cell, cell * 2);
    brush.lineTo(from + cell * 2, -cell);
    brush.stroke();
  }
  return pen.createPattern(tile, "repeat");
}

async function loaded(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}
