// The charts of Analytics, drawn by Plotly: of its bundles the "basic" one (bars, lines, pies), which is read four times as fast as the
// whole that comes with Gradio. It is fetched and read while nobody touches the page, so that the tab's first visit doesn't wait for it.

import { h, icon, toggle } from "./dom.js";
import { number, t } from "./language.js";

// Charts are pictures to a screen reader; the tables below them say the same.
const CHARTS = { days: t("Pictures per day"), characters: t("Pictures by character"), presets: t("Pictures by preset") };
const QUIET_MS = 1000;

let reading = null;
const plotly = () =>
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

class Charts extends HTMLElement {
  static observedAttributes = ["value"];

  connectedCallback() {
    if (this.childElementCount) return;
    const label = (name) => t("{name}, as a chart. The same as a table stands below.", { name });
    const plot = ([id, name]) => h("div", { class: "analytics-chart", id: `analytics-${id}`, role: "img", "aria-label": label(name) });
    const [days, ...pair] = Object.entries(CHARTS).map((chart) => h("section", { class: "analytics-panel" }, h("h3", {}, chart[1]), plot(chart)));
    const again = h("button", { type: "button", class: "quiet", onclick: () => this.draw() }, icon("retry"), h("span", {}, t("Try again")));
    this.fault = h("p", { class: "soft analytics-status", role: "status", hidden: true }, t("The charts could not be fetched from the studio; the tables below say the same."), " ", again);
    this.append(this.fault, days, h("div", { class: "analytics-pair" }, ...pair));
    // Plotly itself minds the window alone, not the sidebar that folds or the tab that was closed while it drew.
    const fit = new ResizeObserver((changes) => {
      for (const { target, contentRect } of changes) if (target._fullLayout && contentRect.width) window.Plotly.Plots.resize(target);
    });
    for (const chart of this.querySelectorAll(".analytics-chart")) fit.observe(chart);
    this.draw();
  }

  attributeChangedCallback(_name, _before, text) {
    this.figures = JSON.parse(text ?? "null");
    if (this.childElementCount) this.draw();
  }

  async draw() {
    this.hidden = !this.figures;
    if (!this.figures) return;
    const figures = this.figures;
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
    for (const [chart, { data, layout }] of charts) {
      await painted(); // the numbers above, then chart by chart
      if (this.figures !== figures) return; // newer ones came meanwhile
      await drawn.react(chart, data, { ...layout, margin: margins(data, layout) }, { displayModeBar: false });
    }
  }
}
customElements.define("likeness-charts", Charts);

// Charts take three times as long until the browser has compiled what draws them; let those be some that nobody waits for.
async function rehearse(drawn) {
  const stage = h("div", { "aria-hidden": "true", style: { position: "fixed", left: "-2000px", width: "600px" } });
  document.body.append(stage);
  const axis = { fixedrange: true, zeroline: false, nticks: 5, rangemode: "tozero" };
  const days = { data: [{ type: "bar", x: ["2026-01-01", "2026-01-02", "2026-01-03"], y: [1, 2, 3] }], layout: { xaxis: axis, yaxis: { ...axis, tickformat: ",d" } } };
  const bars = { type: "bar", orientation: "h", x: [1, 2, 3], y: [0, 1, 2], name: "…" };
  const names = { ...axis, tickvals: bars.y, ticktext: ["a", "b", "c"] };
  const shares = { data: [bars, bars], layout: { barmode: "stack", showlegend: true, legend: { orientation: "h" }, xaxis: { ...axis, tickformat: ",d" }, yaxis: names } };
  for (const { data, layout } of [days, shares, days, shares]) {
    await resting();
    await drawn.newPlot(stage, structuredClone(data), { ...structuredClone(layout), height: 260 }, { displayModeBar: false });
    drawn.purge(stage);
  }
  stage.remove();
}

const resting = () => new Promise((resolve) => (window.requestIdleCallback ?? setTimeout)(() => resolve()));

// Reading the bundle takes a moment in which the page can't answer, so it waits until the hands are off it.
export function warmCharts() {
  if (navigator.connection?.saveData) return;
  const touches = ["pointerdown", "keydown", "wheel"];
  let timer = 0;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(begin, QUIET_MS);
  };
  const begin = () => {
    for (const touch of touches) removeEventListener(touch, wait, true);
    plotly().then(rehearse, () => {}); // what could not be fetched now is when the tab is opened
  };
  for (const touch of touches) addEventListener(touch, wait, { capture: true, passive: true });
  wait();
}
