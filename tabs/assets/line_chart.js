// Lines over the steps of a training, drawn by Plotly and changed in place. Their colours come from train.css.

import { plotly } from "./charts.js";
import { h, toggle } from "./dom.js";
import { t } from "./language.js";

const REM = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;

export class LineChart {
  // `lines` are their names, for the legend and for train.css, which knows them as line-0, line-1 …; `label` says to a screen reader what it is.
  constructor({ label, lines, height = 240 }) {
    this.height = height;
    this.plot = h("div", { class: "train-chart", role: "img", "aria-label": label, style: { "min-height": `${height / 16}rem` } });
    this.legend = h("ul", { class: "train-legend", "aria-hidden": "true", hidden: lines.length < 2 });
    this.name(lines);
    this.fault = h("p", { class: "soft train-small", role: "status", hidden: true }, t("The chart could not be fetched from the studio."));
    this.node = h("div", { class: "train-chart-box" }, this.legend, this.plot, this.fault);
    // Plotly itself minds the window alone, not the sidebar that folds or the tab that was closed while it drew.
    new ResizeObserver(([{ contentRect }]) => {
      const drawn = this.plot._fullLayout;
      if (drawn && contentRect.width && Math.round(contentRect.width) !== Math.round(drawn.width)) window.Plotly.Plots.resize(this.plot);
      else if (!drawn && contentRect.width && this.waiting) this.draw(...this.waiting);
    }).observe(this.plot);
  }

  name(lines) {
    this.legend.replaceChildren(...lines.map((name, index) => h("li", { class: `line-${index}` }, h("i"), name)));
  }

  // `lines` are [{x, y, hover, dots, mark}]: numbers, Plotly's words for a point, whether points are seen, and the x of one that stands out.
  async draw(lines, { log = false, percent = false } = {}) {
    this.waiting = [lines, { log, percent }];
    if (!this.plot.isConnected || !this.plot.clientWidth) return;
    let drawn = null;
    try {
      drawn = await plotly();
    } catch {
      // Said below; nothing else on the page needs it.
    }
    toggle(this.fault, "hidden", drawn);
    toggle(this.plot, "hidden", !drawn);
    if (!drawn || this.waiting[0] !== lines) return;
    const size = REM();
    const axis = { fixedrange: true, zeroline: false, nticks: 6, ticklabelstandoff: 4 };
    const data = lines.map(({ x, y, hover, dots, mark }) => ({
      type: "scatter",
      mode: dots || x.length < 2 ? "lines+markers" : "lines",
      x,
      y,
      hovertemplate: `${hover}<extra></extra>`,
      line: { width: 2 * size, shape: "linear" },
      marker: { size: x.map((step) => (step === mark ? 13 : 7) * size) },
    }));
    const layout = {
      margin: { l: 52 * size, r: 12 * size, t: 8 * size, b: 30 * size },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: false,
      dragmode: false,
      hovermode: "closest",
      hoverlabel: { align: "left" },
      font: { family: "Likeness Sans, system-ui, sans-serif", size: Math.round(12 * size) },
      height: Math.round(this.height * size),
      xaxis: { ...axis, showgrid: false, tickformat: ",d", ...(lines[0]?.x.length < 7 ? { tickvals: lines[0].x } : {}) },
      yaxis: { ...axis, nticks: 5, ...(log ? { type: "log", tickformat: "~g", dtick: "D2" } : { tickformat: "~g" }), ...(percent ? { range: [-4, 104], tickvals: [0, 50, 100], ticktext: ["0 %", "50 %", "100 %"] } : {}) },
    };
    await drawn.react(this.plot, data, layout, { displayModeBar: false });
  }
}
