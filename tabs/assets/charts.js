// The charts of Analytics, drawn by Plotly: of its bundles the "basic" one (bars, lines, pies), which is read four times as fast as the
// whole that comes with Gradio. It is fetched and read while nobody touches the page, so that the tab's first visit doesn't wait for it.

import { h, icon, toggle } from "./dom.js";
import { number, t } from "./language.js";

// Charts are pictures to a screen reader; the tables below them say the same.
const CHARTS = { days: t("Pictures per day"), characters: t("Pictures by character"), presets: t("Pictures by preset") };
const QUIET_MS = 600;

let reading = null;
export const plotly = () =>
  (reading ??= new Promise((resolve, reject) => {
    const src = new URL("plotly/plotly-basic.min.js", import.meta.url).href;
    const failed = () => {
      reading = null; // a line that broke: the next look tries again, which an import() would not in every browser
      reject(new Error("the charts could not be fetched"));
    };
    document.head.append(h("script", { src, onload: () => resolve(window.Plotly), onerror: failed }));
  }));

const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

// The room around a chart, in pixels. Plotly's "automargin" draws everything a second time once it knows how wide the words are.
let pen = null;
function margins(data, { font, margin, yaxis }) {
  pen ??= document.createElement("canvas").getContext("2d");
  pen.font = `${font.size}px ${font.family}`;
  const most = Math.max(0, ...data.flatMap(({ y }) => y));
  const words = yaxis.ticktext ?? [most, most / 2].map((value) => `${number(Math.round(value))}0`); // ticks may go beyond the highest bar
  const widest = Math.max(...words.map((word) => pen.measureText(word).width));
  return { ...margin, l: Math.ceil(margin.l + widest + (yaxis.ticklabelstandoff ?? 0)), b: Math.ceil(margin.b + (yaxis.ticktext ? 1.4 : 2.8) * font.size) }; // a number below, or a day and its year
}

// What was drawn before the tab was opened for the first time; it takes the place of the tab's own.
let ready = null;

class Charts extends HTMLElement {
  static observedAttributes = ["value"];

  connectedCallback() {
    if (this.childElementCount) {
      if (this.drawing) this.draw(); // the tab was opened meanwhile: now somebody waits
      return;
    }
    if (ready && ready.charts !== this) {
      const { charts, place } = ready;
      ready = null;
      this.replaceWith(charts);
      place.remove();
      return;
    }
    const label = (name) => t("{name}, as a chart. The same as a table stands below.", { name });
    const plot = ([id, name]) => h("div", { class: "analytics-chart", id: `analytics-${id}`, role: "img", "aria-label": label(name) });
    const [days, ...pair] = Object.entries(CHARTS).map((chart) => h("section", { class: "analytics-panel" }, h("h3", {}, chart[1]), plot(chart)));
    const again = h("button", { type: "button", class: "quiet", "data-tip": t("Draw the chart once more"), onclick: () => this.draw() }, icon("retry"), h("span", {}, t("Try again")));
    this.fault = h("p", { class: "soft analytics-status", role: "status", hidden: true }, t("The charts could not be fetched from the studio; the tables below say the same."), " ", again);
    this.append(this.fault, days, h("div", { class: "analytics-pair" }, ...pair));
    // Plotly itself minds the window alone, not the sidebar that folds or the tab that was closed while it drew.
    const fit = new ResizeObserver((changes) => {
      for (const { target, contentRect } of changes) if (contentRect.width && target._fullLayout && Math.round(contentRect.width) !== Math.round(target._fullLayout.width)) window.Plotly.Plots.resize(target);
    });
    for (const chart of this.querySelectorAll(".analytics-chart")) fit.observe(chart);
    this.draw();
  }

  attributeChangedCallback(_name, before, text) {
    if (before === text) return;
    this.figures = JSON.parse(text ?? "null");
    if (this.childElementCount) this.draw();
  }

  async draw() {
    this.hidden = !this.figures;
    if (!this.figures) return;
    const { figures } = this;
    const turn = (this.drawing = {});
    const charts = Object.entries(figures).map(([name, figure]) => [this.querySelector(`#analytics-${name}`), figure]);
    for (const [chart, { layout }] of charts) chart.style.minHeight = `${layout.height}px`; // nothing below jumps when they come
    let drawn = null;
    try {
      drawn = await plotly();
    } catch {
      // Said below; nothing else on the page needs them.
    }
    toggle(this.fault, "hidden", drawn);
    for (const panel of this.querySelectorAll(".analytics-panel")) toggle(panel, "hidden", !drawn);
    if (!drawn) return;
    await painted(); // the numbers above
    for (const [chart, { data, layout }] of charts) {
      if (this.parentElement?.inert) await resting(); // drawn early
      if (this.drawing !== turn) return; // newer ones came meanwhile
      await drawn.react(chart, data, { ...layout, margin: margins(data, layout) }, { displayModeBar: false });
    }
    this.drawing = null;
  }
}
customElements.define("likeness-charts", Charts);

// Asks for the numbers once the charts could be drawn, and draws them where nobody sees it, as wide as the tab will be.
class Early extends HTMLElement {
  static observedAttributes = ["value"];

  ask() {
    if (!document.querySelector("likeness-charts")) this.dispatchEvent(new CustomEvent("ask"));
  }

  attributeChangedCallback(_name, _before, text) {
    const { told = null, figures = null } = JSON.parse(text ?? "null") ?? {};
    if (!told || document.querySelector("likeness-charts")) return;
    this.told = told;
    if (!figures) return;
    const charts = h("likeness-charts", { value: JSON.stringify(figures) });
    const width = document.querySelector("#tabs [role=tabpanel]").parentElement.clientWidth;
    const place = h("div", { class: "analytics-early", inert: true, "aria-hidden": "true", style: { width: `${width}px` } }, charts);
    ready = { charts, place };
    document.querySelector(".gradio-container").append(place);
  }
}
customElements.define("likeness-early", Early);

// Charts take three times as long until the browser has compiled what draws them; let those be some that nobody waits for.
async function rehearse(drawn) {
  const stage = h("div", { "aria-hidden": "true", style: { position: "fixed", left: "-2000px", width: "600px" } });
  document.body.append(stage);
  const axis = { fixedrange: true, zeroline: false, nticks: 5, rangemode: "tozero", tickformat: ",d" };
  const count = (bars) => Array.from({ length: bars }, (_, place) => place);
  const dates = count(30).map((place) => `2026-01-${String(place + 1).padStart(2, "0")}`);
  const days = { data: [{ type: "bar", x: dates, y: count(30), hovertemplate: "%{x|%a %e %b}: %{y:,}<extra></extra>" }], layout: { xaxis: axis, yaxis: axis } };
  const bars = { type: "bar", orientation: "h", x: count(12), y: count(12), customdata: dates, hovertemplate: "%{customdata}: %{x:,}<extra></extra>", name: "…" };
  const names = { ...axis, tickvals: bars.y, ticktext: dates.slice(0, 12), ticklabelstandoff: 6 };
  const legend = { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, traceorder: "normal", itemclick: false };
  const shares = { data: [bars, bars], layout: { barmode: "stack", showlegend: true, legend, xaxis: axis, yaxis: names } };
  for (const { data, layout } of [days, shares, days, shares, days, shares]) {
    await resting();
    await drawn.newPlot(stage, structuredClone(data), { ...structuredClone(layout), bargap: 0.25, dragmode: false, height: 260 }, { displayModeBar: false });
    drawn.purge(stage);
  }
  stage.remove();
}

// Reading the bundle takes a moment in which the page can't answer, and so does each chart: they wait until the hands are off it.
const TOUCHES = ["pointerdown", "pointermove", "keydown", "wheel"];
let touched = 0;
const touch = () => (touched = performance.now());

async function resting() {
  for (let left; (left = touched + QUIET_MS - performance.now()) > 0; ) await new Promise((resolve) => setTimeout(resolve, left));
  await new Promise((resolve) => (window.requestIdleCallback ?? setTimeout)(() => resolve()));
}

export async function warmCharts() {
  if (navigator.connection?.saveData) return;
  for (const name of TOUCHES) addEventListener(name, touch, { capture: true, passive: true });
  touch();
  try {
    await resting();
    await rehearse(await plotly());
    document.querySelector("likeness-early")?.ask();
  } catch {
    // What could not be fetched now is when the tab is opened.
  }
}
