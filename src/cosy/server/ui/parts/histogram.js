// A histogram, by uPlot, with the same figures as a table for those who do not see it.

import { html, useEffect, useRef } from "../lib.js";
import { number, t, tag } from "../i18n.js";
import { colour } from "./common.js";

const HEIGHT = 200; // px
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000, 100000]; // steps of the count

/** How many fell between the bounds: [[from, to, count]] of cumulative [[bound or null, count]]. */
export function bins(cumulative) {
  return cumulative.map(([bound, count], i) => {
    const [before, less] = cumulative[i - 1] ?? [null, 0];
    return [before, bound, count - less];
  });
}

const bound = (value) => value.toLocaleString(tag.value, { maximumFractionDigits: 2 });
const range = ([from, to]) =>
  from === null ? `≤ ${bound(to)}` : to === null ? `> ${bound(from)}` : `${bound(from)} – ${bound(to)}`;

function style() {
  const css = new URL("../vendor/uplot.css", import.meta.url).href;
  if (document.querySelector(`link[href="${css}"]`)) return;
  const link = document.createElement("link");
  Object.assign(link, { rel: "stylesheet", href: css });
  document.head.append(link);
}

async function draw(box, data) {
  style();
  const { default: Plot } = await import("../vendor/uplot.js");
  const [text, line, accent] = ["soft", "line", "accent"].map(colour);
  const label = (i) => (i % 2 ? "" : bound(data[i][1] ?? data[i][0]));
  const options = {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [-0.7, data.length - 0.3] } },
    axes: [
      { stroke: text, grid: { show: false }, ticks: { show: false }, splits: () => data.map((_, i) => i), values: (_, at) => at.map(label) },
      { stroke: text, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 50, incrs: WHOLE },
    ],
    series: [{}, { fill: accent, width: 0, paths: Plot.paths.bars({ size: [0.8] }), points: { show: false } }],
  };
  box.replaceChildren();
  return new Plot(options, [data.map((_, i) => i), data.map(([, , count]) => count)], box);
}

export function Histogram({ title, about, cumulative }) {
  const box = useRef(null);
  const data = bins(cumulative);
  const total = cumulative.at(-1)?.[1] ?? 0;
  useEffect(() => {
    let plot = null;
    let gone = false;
    if (total) draw(box.current, data).then((made) => (gone ? made.destroy() : (plot = made)));
    return () => {
      gone = true;
      plot?.destroy();
    };
  }, [JSON.stringify(cumulative)]);
  return html`<section class="card" aria-label=${title}>
    <h2>${title}</h2>
    <p class="hint">${about}</p>
    ${!total && html`<p>${t("server.nodata")}</p>`}
    <div ref=${box} aria-hidden="true"></div>
    ${total > 0 &&
    html`<details>
      <summary>${t("server.table")}</summary>
      <table>
        <thead><tr><th scope="col">${t("server.range")}</th><th scope="col" class="n">${t("server.count")}</th></tr></thead>
        <tbody>
          ${data.filter(([, , count]) => count).map((bin) => html`<tr><td>${range(bin)}</td><td class="n">${number(bin[2])}</td></tr>`)}
        </tbody>
      </table>
    </details>`}
  </section>`;
}
