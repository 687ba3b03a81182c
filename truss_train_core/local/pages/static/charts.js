// Charts of what the server sends: {title, x, lines: [{label, points, aside}]}, and the steps at which a run was resumed.

import { clock } from "./times.js";

const drawn = new Map(); // by the figure: what it shows, so that only what changed is drawn again

export function drawCharts(place, { charts, resumes = [] }, kind) {
  if (!charts.length) return;
  place.hidden = false;
  place.querySelector(":scope > p")?.remove();
  const figures = new Map([...place.querySelectorAll("figure")].map((figure) => [figure.dataset.title, figure]));
  for (const chart of charts) {
    const figure = figures.get(chart.title) ?? place.appendChild(newFigure(chart.title));
    figures.delete(chart.title);
    show(figure, chart, resumes, kind);
  }
  for (const [, figure] of figures) remove(figure);
}

function newFigure(title) {
  const figure = document.createElement("figure");
  figure.dataset.title = title;
  figure.innerHTML =
    "<figcaption><b></b><button type='button' title='Logarithmic scale' aria-pressed='false' hidden>log</button>" +
    "<span class='values'></span></figcaption><div class='plot' role='img'></div>";
  figure.querySelector("b").textContent = title;
  figure.querySelector("button").onclick = (event) => {
    const button = event.currentTarget;
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    drawAnew(figure);
  };
  resizes.observe(figure);
  return figure;
}

function show(figure, chart, resumes, kind) {
  const data = [chart.x, ...chart.lines.map((line) => line.points)];
  const form = JSON.stringify([chart.lines.map((line) => [line.label, line.aside]), resumes]);
  const before = drawn.get(figure);
  if (before?.form === form) {
    before.chart = chart;
    before.plot.setData(data);
  } else {
    before?.plot.destroy();
    const plot = new uPlot(options(figure, chart, resumes, kind), data, figure.querySelector(".plot"));
    drawn.set(figure, { plot, form, chart, resumes, kind });
  }
  figure.querySelector("button").hidden = kind !== "step" || !isPositive(chart);
  Object.assign(figure.dataset, {
    points: chart.x.length,
    range: `${chart.x[0]} to ${chart.x.at(-1)}`,
    resumes: resumes.map((resume) => resume.step).join(" "),
  });
  showValues(figure, chart, null);
}

const isPositive = (chart) => chart.lines.every((line) => line.points.every((point) => point == null || point > 0));

function drawAnew(figure) {
  const { plot, chart, resumes, kind } = drawn.get(figure);
  plot.destroy();
  drawn.delete(figure);
  show(figure, chart, resumes, kind);
}

function remove(figure) {
  drawn.get(figure)?.plot.destroy();
  drawn.delete(figure);
  figure.remove();
}

/** What the lines show at the place that is pointed at, or at their ends. */
function showValues(figure, chart, place) {
  const shown = figure.querySelector(".values");
  shown.replaceChildren();
  const lines = chart.lines.filter((line) => !line.aside);
  lines.forEach((line, number) => {
    const value = place === null ? line.points.findLast((point) => point != null) : line.points[place];
    const entry = document.createElement("span");
    entry.className = `line-${number % COLOURS}`;
    const label = lines.length > 1 || line.label !== chart.title ? `${line.label} ` : "";
    entry.textContent = `${label}${value == null ? "–" : short(value)}`;
    shown.append(entry, " ");
  });
  figure.querySelector(".plot").setAttribute("aria-label", `${chart.title}, latest: ${shown.textContent.trim()}`);
}

const short = (value) => (Math.abs(value) >= 1e6 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(Number(value.toPrecision(4))));

// ---------------------------------------------------------------- uPlot

const COLOURS = 6;
const HEIGHT = 170;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(figure, chart, resumes, kind) {
  const [text, grid, quiet] = [colour("--quiet"), colour("--line"), colour("--faint")];
  const font = "11px system-ui, sans-serif";
  const axis = { stroke: text, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 } };
  const counted = chart.lines.filter((line) => !line.aside).map((line) => line.label);
  return {
    width: Math.max(200, figure.clientWidth),
    height: HEIGHT,
    scales: {
      x: { time: kind === "time" },
      y: isLog(figure, chart) ? { distr: 3 } : { range: (_, low, high) => range(low, high, kind) },
    },
    legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false }, points: { size: 6 } },
    axes: [
      { ...axis, size: 28, space: 70, ...(kind === "time" && { values: (_, ticks) => ticks.map((tick) => clock(new Date(tick * 1000))) }) },
      { ...axis, size: 46, values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : short(tick))) },
    ],
    series: [
      {},
      ...chart.lines.map((line) => ({
        label: line.label,
        stroke: line.aside ? quiet : colour(`--line-${counted.indexOf(line.label) % COLOURS}`),
        width: line.aside ? 1 : 1.75,
        dash: line.aside ? [4, 4] : undefined,
        spanGaps: true,
        points: { show: chart.x.length < 3, size: 5 },
      })),
    ],
    hooks: {
      setCursor: [(plot) => showValues(figure, drawn.get(figure)?.chart ?? chart, plot.cursor.idx ?? null)],
      draw: [(plot) => resumes.forEach((resume) => markResume(plot, resume, text))],
    },
  };
}

const isLog = (figure, chart) => figure.querySelector("button").getAttribute("aria-pressed") === "true" && isPositive(chart);

function range(low, high, kind) {
  if (low == null) return [0, 1];
  if (kind === "time") return [0, high > 0 ? high * 1.1 : 1];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [low - room, high + room];
}

/** A thin line where an attempt went on from, with its number. */
function markResume(plot, { step, attempt }, stroke) {
  const { ctx, bbox } = plot;
  const x = Math.round(plot.valToPos(step, "x", true));
  if (x < bbox.left || x > bbox.left + bbox.width) return;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = stroke;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.font = `${10 * devicePixelRatio}px system-ui, sans-serif`;
  const isLeft = x < bbox.left + bbox.width / 2;
  ctx.textAlign = isLeft ? "left" : "right";
  ctx.textBaseline = "top";
  ctx.fillText(`attempt ${attempt}`, x + (isLeft ? 4 : -4) * devicePixelRatio, bbox.top + 2 * devicePixelRatio);
  ctx.restore();
}

const resizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const plot = drawn.get(target)?.plot;
    if (plot && contentRect.width) plot.setSize({ width: contentRect.width, height: HEIGHT });
  }
});

/** Colours are read when a chart is made, so dark and light make it anew. */
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const figure of [...drawn.keys()]) drawAnew(figure);
});
