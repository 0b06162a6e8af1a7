"use strict";
// Follows /ui/stream and draws each state. Only the last minutes of each line are kept.

const MAX_POINTS = 300; // points of a line: at one a second, five minutes
const MAX_MODELS = 60, MAX_EVENTS = 200, MAX_DRIFTS = 3;
const history = new Map(); // "model|version|what" -> [[seconds, value], ...]
const before = new Map(); // counters of the previous state
const $ = (id) => document.getElementById(id);
const key = () => sessionStorage.getItem("modelmesh-key") || "";
const headers = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (attribute === "onclick") made.addEventListener("click", value);
    else made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

function remember(name, at, value) {
  const points = history.get(name) || [];
  points.push([at, value]);
  if (points.length > MAX_POINTS) points.shift();
  history.set(name, points);
  return points;
}

function rate(name, count, at) {
  if (!before.has(name)) before.set(name, [count, at]);
  const [lastCount, lastAt] = before.get(name);
  // A counter changes twice a second at most; between two changes the rate stays what it was.
  if (count === lastCount && at - lastAt < 3) return history.get(name)?.at(-1)?.[1] ?? 0;
  before.set(name, [count, at]);
  return at > lastAt ? Math.max(0, count - lastCount) / (at - lastAt) : 0;
}

function status(text, bad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", bad);
}

function table(caption, head, rows) {
  return make("div", { class: "scroll" }, make("table", { "aria-label": caption },
    make("thead", {}, make("tr", {}, ...head.map((cell) => make("th", { scope: "col" }, cell)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell)))))));
}

function chart(caption, names, svg) {
  const legend = names.map((name, number) => make("span", { class: `k${number % 4}` }, ` ■ ${name}`));
  return make("figure", {}, make("figcaption", {}, caption, ...legend), svg);
}

const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(value < 0.1 ? 2 : 1)} %`);
const whole = (value) => value.toFixed(0);
const number = (value) => (value === null || value === undefined ? "–" : Charts.round(value));

function right(figures) {
  if (!figures) return "–";
  return figures.accuracy === undefined ? `± ${number(figures.mean_absolute_error)}` : `${percent(figures.accuracy)} of ${whole(figures.rows)}`;
}

function drawModel(model, at) {
  const card = make("article", { "data-model": model.name, "aria-label": model.name });
  const buttons = make("div", { class: "buttons" });
  if (model.strategy === "canary") {
    buttons.append(
      make("button", { onclick: () => change(`/deployments/canary/${model.id}/promote`, {}) }, "Promote"),
      make("button", { onclick: () => change(`/deployments/canary/${model.id}/rollback`, {}) }, "Roll back"));
  }
  buttons.append(make("button", { onclick: () => deploy(model) }, "Deploy…"));
  card.append(make("div", { class: "head" }, make("h3", {}, model.name), make("span", { class: "tag strategy" }, model.strategy), buttons));

  const traffic = [];
  const rows = model.variants.map((variant) => {
    const figures = model.versions[variant.version] || {};
    const name = `${model.id}|${variant.version}`;
    const persecond = rate(`${name}|rate`, figures.requests || 0, at);
    traffic.push({ name: variant.version, points: remember(`${name}|rate`, at, persecond) });
    const ms = figures.latency_ms || {};
    return [`${variant.version} (${variant.role})`, percent(variant.weight), number(persecond), percent(figures.failure_rate),
      number(ms.p50), number(ms.p95), number(ms.p99), right(model.accuracy[variant.version])];
  });
  card.append(table(`versions of ${model.name}`, ["version", "share", "a second", "failed", "p50 ms", "p95", "p99", "right"], rows));
  card.append(chart("requests a second", traffic.map((one) => one.name), Charts.lines(`requests a second of ${model.name}`, traffic)));

  const comparisons = Object.entries(model.comparisons);
  if (comparisons.length) {
    const series = comparisons.map(([what, found]) => ({ name: what, points: remember(`${model.id}|evidence|${what}`, at, found.evidence) }));
    const limit = Math.min(...comparisons.map(([, found]) => found.limit));
    card.append(chart(`evidence against the candidate, rolled back at ${number(limit)}`, series.map((one) => one.name),
      Charts.lines(`evidence against the candidate of ${model.name}`, series, { limit, log: true })));
    if (model.decision) card.append(make("p", {}, `The judge: ${model.decision.kind}${model.decision.reason ? `, ${model.decision.reason}` : ""}`));
  }
  if (model.shadow) {
    const shadow = model.shadow;
    card.append(make("p", {}, `Shadow: ${shadow.paired} paired, ${percent(shadow.agreement)} agree`));
  }
  for (const [version, watch] of Object.entries(model.drift)) {
    const features = [...(watch.features || [])].sort((a, b) => b.psi - a.psi).slice(0, MAX_DRIFTS);
    if (!features.length) continue;
    const details = make("details", watch.drifting ? { open: "" } : {}, make("summary", watch.drifting ? { class: "bad" } : {},
      `Inputs of ${version}: ${watch.drifting ? "drifting" : "as the reference"}`));
    for (const feature of features) {
      if (!feature.reference) continue;
      details.append(chart(`${feature.feature}: PSI ${number(feature.psi)}`, ["reference", "live"],
        Charts.histograms(`${feature.feature} of ${model.name} ${version}, reference and live`, feature.reference, feature.window)));
    }
    card.append(details);
  }
  return card;
}

function answersASecond(replica, at) {
  // Heartbeats come ten times a second: each state has a new count.
  const [lastCount, lastAt, last] = before.get(replica.replica) || [replica.answered, at, 0];
  const now = at > lastAt ? Math.max(0, replica.answered - lastCount) / (at - lastAt) : last;
  before.set(replica.replica, [replica.answered, at, now]);
  return now;
}

function draw(state) {
  status(`${state.models.length} models, ${state.replicas.length} replicas`);
  if (!document.hidden) {
    const opened = new Set([...document.querySelectorAll("details[open] summary")].map((one) => one.textContent));
    const focused = document.activeElement;
    // Do not redraw while a button has the focus: it would disappear before the click.
    if (!focused || !$("models").contains(focused)) {
      if (state.models.length) $("models").replaceChildren(...state.models.slice(0, MAX_MODELS).map((model) => drawModel(model, state.at)));
      for (const summary of document.querySelectorAll("details summary")) if (opened.has(summary.textContent)) summary.parentElement.open = true;
    }
    $("replicas").replaceChildren(...state.replicas.map((replica) => make("tr", {},
      make("td", {}, replica.replica), make("td", {}, replica.role),
      make("td", { class: "rate" }, whole(answersASecond(replica, state.at))),
      make("td", {}, whole(replica.queued)), make("td", {}, whole(replica.in_service)),
      make("td", {}, whole(replica.lag)), make("td", {}, number(replica.batch_requests)), make("td", {}, number(replica.service_ms)),
      make("td", replica.breakers.length ? { class: "bad" } : {},
        replica.breakers.map((one) => `${one.model} ${one.version} ${one.state}`).join(", ") || "closed"))));
  }
  const alive = new Set(state.models.map((model) => model.id));
  for (const kept of [history, before]) {
    for (const name of kept.keys()) if (name.includes("|") && !alive.has(name.split("|")[0])) kept.delete(name);
  }
}

function tell(event) {
  $("events").querySelector(".none")?.remove();
  const at = new Date(1000 * event.at);
  $("events").prepend(make("li", { "data-kind": event.kind },
    make("time", { datetime: at.toISOString() }, at.toLocaleTimeString()), make("strong", {}, event.kind), ` ${event.summary}`));
  while ($("events").childElementCount > MAX_EVENTS) $("events").lastElementChild.remove();
}

async function change(path, body) {
  try {
    const answer = await fetch(path, { method: "POST", headers: { ...headers(), "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const document_ = await answer.json();
    if (!answer.ok) status(document_.detail || document_.error || `HTTP ${answer.status}`, true);
  } catch (error) { status(`the gateway cannot be reached: ${error.message}`, true); }
}

function deploy(model) {
  const version = prompt(`Which version of ${model.name} shall get all requests?`);
  if (version) change("/deployments", { model: model.name, version: version.trim(), reason: "from the dashboard" });
}

async function follow() {
  for (;;) {
    try {
      const answer = await fetch("/ui/stream", { headers: headers() });
      if (answer.status === 401 || answer.status === 403) {
        status((await answer.json()).detail, true);
        await new Promise((retry) => { follow.retry = retry; });
        continue;
      }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ""; ;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const kind = /^event: (\w+)\ndata: /.exec(text);
          if (!kind) continue;
          const data = JSON.parse(text.slice(kind[0].length, end));
          if (kind[1] === "state") draw(data); else tell(data);
        }
      }
    } catch (error) { status(`the gateway cannot be reached: ${error.message}`, true); }
    await new Promise((again) => setTimeout(again, 1000));
  }
}

$("key-form").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  sessionStorage.setItem("modelmesh-key", $("key").value.trim());
  $("key").value = "";
  follow.retry?.();
});

$("log-form").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const id = encodeURIComponent($("request-id").value.trim());
  const get = async (path) => (await fetch(path, { headers: headers() })).json();
  const found = await Promise.all([`/inference-log/${id}`, `/inference-log/${id}/records`].map(get));
  // If several requests have the id, all are shown.
  if (found[0].code === "several_requests") found[1] = await get(`/inference-log?request_id=${id}`);
  $("log").textContent = found.map((one) => JSON.stringify(one, null, 2)).join("\n");
});

follow();
