// How the server does.

import { call, info } from "../api.js";
import { html, useEffect, useState } from "../lib.js";
import { number, t } from "../i18n.js";
import { Fact, Failure } from "../parts/common.js";
import { Histogram } from "../parts/histogram.js";

const EVERY_MS = 3000;

export default function Server() {
  const [state, setState] = useState(null);
  const [usage, setUsage] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    const look = () =>
      call("GET", "cosy/v1/server").then((found) => {
        setState(found);
        setError(null);
      }, setError);
    look();
    call("GET", "cosy/v1/usage").then((found) => setUsage(found.usage), () => undefined);
    const timer = setInterval(() => !document.hidden && look(), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  if (!state) return html`<${Failure} error=${error} />${!error && html`<p>${t("loading")}</p>`}`;
  const { first_audio_s, slack_s } = state.histograms;
  return html`<div class="sides even">
    <${Failure} error=${error} />
    <${Health} state=${state} />
    <${Histogram} title=${t("server.first_audio")} about=${t("server.first_audio.about")} cumulative=${first_audio_s} />
    <${Histogram} title=${t("server.slack")} about=${t("server.slack.about")} cumulative=${slack_s} />
    <${Usage} rows=${usage} />
    <${Model} />
    <${Load} stats=${state.stats} />
  </div>`;
}

function Load({ stats }) {
  return html`<section class="card whole" aria-labelledby="load">
    <h2 id="load">${t("server.load")}</h2>
    <dl class="facts long">
      ${Object.entries(stats).map(
        ([name, value]) => html`<${Fact} key=${name} name=${name} label=${name}>${number(value, Number.isInteger(value) ? 0 : 2)}<//>`,
      )}
    </dl>
  </section>`;
}

function Health({ state }) {
  const { ready, reason } = state.health;
  return html`<section class="card whole" aria-labelledby="health">
    <h2 id="health">${t("server.health")}</h2>
    <dl class="facts">
      <${Fact} name="health" label=${t("server.health")}>${ready ? t("server.ready") : t("server.notready", { reason })}<//>
      <${Fact} name="active" label=${t("server.active")}>${number(state.active)}<//>
      <${Fact} name="queue" label=${t("server.queue")}>${number(state.queue)}<//>
      <${Fact} name="version" label=${t("server.version")}>${info.value?.version}<//>
    </dl>
  </section>`;
}

function Model() {
  const model = info.value?.model;
  if (!model) return null;
  return html`<section class="card" aria-labelledby="model">
    <h2 id="model">${t("server.model")}</h2>
    <dl class="facts">
      <${Fact} name="model" label=${t("server.model")}>${model.name}<//>
      <${Fact} name="rate" label=${t("server.rate")}>${number(model.sample_rate_hz)} Hz<//>
    </dl>
    ${model.bundled && html`<p class="hint">${t("server.bundled")}</p>`}
    ${model.card &&
    html`<details>
      <summary>${t("server.card")}</summary>
      <pre tabindex="0" lang="en" class="wrap">${model.card}</pre>
    </details>`}
  </section>`;
}

function Usage({ rows }) {
  if (!rows) return null;
  return html`<section class="card" aria-labelledby="usage">
    <h2 id="usage">${t("server.usage")}</h2>
    ${rows.length ? html`<${Table} rows=${rows} />` : html`<p>${t("server.usage.none")}</p>`}
  </section>`;
}

function Table({ rows }) {
  const columns = ["requests", "characters", "audio"];
  return html`<div class="scroll" tabindex="0" role="region" aria-labelledby="usage">
    <table>
      <thead>
        <tr>
          <th scope="col">${t("server.day")}</th>
          <th scope="col">${t("server.key")}</th>
          ${columns.map((name) => html`<th scope="col" class="n">${t(`server.${name}`)}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr>
            <td>${row.day}</td>
            <td>${row.name || t("server.nokey")}</td>
            <td class="n">${number(row.requests)}</td>
            <td class="n">${number(row.characters)}</td>
            <td class="n">${number(row.audio_s, 1)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
