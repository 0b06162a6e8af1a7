"use strict";
// Small SVG charts: lines over time, and two histograms side by side. An aria-label describes each to screen readers.

const Charts = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const WIDTH = 300, HEIGHT = 70;

  function element(name, attributes = {}, text = "") {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return made;
  }

  function round(value) {
    return Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 1 ? value.toFixed(1) : value.toPrecision(2);
  }

  function frame(label) {
    const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + 14}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
    return svg;
  }

  // `series` is a list of {name, points: [[x, y], ...]}; `limit` a threshold, drawn if it is in range.
  function lines(label, series, { limit = null, unit = "", log = false } = {}) {
    const scale = log ? (y) => Math.log10(Math.max(1, y)) : (y) => y;
    const all = series.flatMap((one) => one.points);
    const last = series.map((one) => `${one.name} ${one.points.length ? round(one.points.at(-1)[1]) + unit : "nothing yet"}`).join(", ");
    const svg = frame(`${label}: ${last}`);
    if (!all.length) return svg;
    const from = Math.min(...all.map((p) => p[0])), to = Math.max(from + 1, ...all.map((p) => p[0]));
    const top = Math.max(1e-9, ...all.map((p) => scale(p[1])), limit === null ? 0 : scale(limit)) * 1.1;
    const place = ([x, y]) => `${(WIDTH * (x - from) / (to - from)).toFixed(1)},${(HEIGHT * (1 - scale(y) / top) + 4).toFixed(1)}`;
    if (limit !== null) {
      const y = HEIGHT * (1 - scale(limit) / top) + 4;
      svg.append(element("line", { x1: 0, x2: WIDTH, y1: y, y2: y, class: "line limit" }));
    }
    series.forEach((one, number) => {
      if (one.points.length > 1) svg.append(element("polyline", { points: one.points.map(place).join(" "), class: `line s${number % 4}` }));
    });
    return svg;
  }

  function histograms(label, reference, live) {
    const svg = frame(label);
    const share = (counts) => { const sum = counts.reduce((a, b) => a + b, 0) || 1; return counts.map((count) => count / sum); };
    const a = share(reference), b = share(live), top = Math.max(...a, ...b, 1e-9), step = WIDTH / a.length;
    a.forEach((value, bin) => {
      for (const [height, offset, kind] of [[value, 0.1, "f0"], [b[bin] || 0, 0.5, "f1"]]) {
        const tall = HEIGHT * height / top;
        svg.append(element("rect", { x: (bin + offset) * step, width: 0.4 * step, y: HEIGHT - tall + 4, height: tall, class: kind }));
      }
    });
    return svg;
  }

  return { lines, histograms, round };
})();
