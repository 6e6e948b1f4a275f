// What goes on inside a pod: what it uses, as plots of the last two minutes, and its log as it is written.

import { ask } from "./api.js";
import { element } from "./pods.js";
import { stream } from "./stream.js";

const POINTS = 120;
const LINES = 5000;
const [WIDTH, HEIGHT] = [240, 48];
const GB = 1e9;

// Of nothing it is undefined, and null if anything can't be measured.
const sum = (values) => (values.length ? values.reduce((a, b) => (a == null || b == null ? null : a + b)) : undefined);
const bytes = (n) => (n < GB ? `${(n / 1e6).toFixed(0)} MB` : `${(n / GB).toFixed(1)} GB`);
const mean = (values) => sum(values) && sum(values) / values.length;

/** Each: what it is called, how much it is, how much it may be, and how that is told. */
const PLOTS = [
  ["CPU", (p) => p.cpuPercent, () => 100, (v) => `${v.toFixed(0)} %`],
  ["Memory", (p) => p.memoryBytes, (p) => p.memoryLimitBytes, bytes],
  ["GPU", (p) => mean(p.gpus.map((gpu) => gpu.percent)), () => 100, (v) => `${v.toFixed(0)} %`],
  ["GPU memory", (p) => sum(p.gpus.map((gpu) => gpu.memoryBytes)), (p) => sum(p.gpus.map((gpu) => gpu.memoryTotalBytes)), bytes],
  ["Container disk", (p) => p.diskBytes, (p) => p.diskSizeBytes, bytes],
  ["Volume", (p) => p.volumeBytes, (p) => p.volumeSizeBytes, bytes],
];

const svg = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

class Plot {
  constructor([name, value, most, told]) {
    Object.assign(this, { value, most, told });
    this.line = svg("path", {});
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    picture.append(this.line);
    this.figure = element("dd", {});
    this.node = element("div", {}, element("dt", { textContent: name }), this.figure, picture);
  }

  show(points) {
    const last = points.at(-1);
    const [now, most] = last ? [this.value(last), this.most(last)] : [null, null];
    // What a pod has not got is not shown, and what can't be measured is unknown, not nothing.
    this.node.hidden = now === undefined;
    const limit = now != null && this.told === bytes && most ? ` of ${bytes(most)}` : "";
    this.figure.textContent = now == null ? (last ? "unknown" : "does not run") : this.told(now) + limit;
    let path = "";
    points.forEach((point, n) => {
      const [value, full] = [this.value(point), this.most(point)];
      if (value == null || !full) return;
      const x = WIDTH - (points.length - 1 - n) * (WIDTH / (POINTS - 1));
      const y = HEIGHT - 1 - Math.min(value / full, 1) * (HEIGHT - 2);
      path += `${path ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    });
    this.line.setAttribute("d", path);
  }
}

/** Shows a pod in `dialog` until that is closed. */
export function inside(pod, dialog) {
  const [title, figures, text] = ["h2", "dl", "pre"].map((name) => dialog.querySelector(name));
  title.textContent = pod.podName;
  text.textContent = "";
  const plots = PLOTS.map((plot) => new Plot(plot));
  figures.replaceChildren(...plots.map(({ node }) => node));
  let points = [];
  const draw = (more) => {
    points = [...points, ...more].slice(-POINTS);
    for (const plot of plots) plot.show(points);
  };
  draw([]);
  const usage = stream(`pods/${pod.podId}/metrics`, {
    heard: (type, point) => {
      if (point === null) points = [];
      draw(point === null ? [] : [point]);
    },
  });
  const from = new Date(Date.now() - POINTS * 1000).toISOString();
  const before = ask("GET", `pods/${pod.podId}/metrics?step=1&from=${from}`).catch(() => ({ data: { points: [] } }));
  before.then(({ data }) => {
    points = [...data.points.filter(({ at }) => !points[0] || at < points[0].at), ...points];
    draw([]);
  });

  const write = (line) => {
    const atEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 4;
    text.append(line);
    while (text.childNodes.length > LINES) text.firstChild.remove();
    if (atEnd) text.scrollTop = text.scrollHeight;
  };
  const log = stream(`pods/${pod.podId}/logs`, {
    heard: (type, { text: line, lost }) =>
      write(type === "gap" ? `[${lost ?? "some"} lines are missing here]\n` : `${line}\n`),
  });
  dialog.showModal();
  const end = () => {
    usage.end();
    log.end();
  };
  dialog.addEventListener("close", end, { once: true });
}
