// Draws the plots of the dashboard from the tables beside them, and keeps its figures fresh without disturbing a reader.

const SIZES = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const plots = new Map();

/** Return a colour of the design system in the present mode, light or dark. */
function colour(token) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${token})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** Read a table: the labels of its rows, and each column to draw. */
function read(table) {
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows];
  const series = heads.flatMap((head, column) => head.dataset.series ? [{
    name: head.textContent.trim(),
    token: head.dataset.series,
    values: rows.map((row) => row.cells[column].dataset.value === "" ? null : Number(row.cells[column].dataset.value)),
    texts: rows.map((row) => row.cells[column].textContent.trim() || "–"),
  }] : []);
  return { labels: rows.map((row) => row.cells[0].textContent.trim()), series: series.filter((each) => each.values.some(Boolean)) };
}

/** Return the marks of an axis of seconds, as whole steps of the unit that fits. */
function inUnits(units) {
  const names = Object.fromEntries(["s", "min", "h", "d"].map((unit, index) => [unit, units[index]]));
  const fitting = (highest) => SIZES.find(([, size]) => highest >= 2 * size) ?? SIZES.at(-1);
  return {
    splits: (_plot, _axis, _low, high, step) => {
      const [, size] = fitting(high);
      const wide = [1, 2, 3, 5, 6, 12, 24, 50, 100, 200, 500, 1000].find((many) => many * size >= step) ?? Math.ceil(step / size);
      const marks = [];
      for (let mark = 0; mark <= high; mark += wide * size) marks.push(mark);
      return marks;
    },
    values: (_plot, marks) => {
      const [unit, size] = fitting(marks.at(-1) ?? 0);
      return marks.map((mark) => mark === 0 ? "0" : `${Math.round(10 * mark / size) / 10} ${names[unit]}`);
    },
  };
}

function draw(figure) {
  const place = figure.querySelector(".plot");
  const { labels, series } = read(figure.querySelector("details table"));
  plots.get(place)?.destroy();
  plots.delete(place);
  if (!series.length) return;
  const stacked = figure.dataset.plot === "stack";
  const seconds = figure.dataset.unit === "seconds";
  const at = labels.map((_, index) => index);
  // A stack is drawn from its highest sum down, each over the one before.
  const sums = series.map((_, index) => at.map((row) => series.slice(0, index + 1).reduce((sum, each) => sum + (each.values[row] ?? 0), 0)));
  const order = series.map((_, index) => index);
  if (stacked) order.reverse();
  const ink = colour("soft"), line = colour("line"), paper = colour("paper");
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
  const lines = order.map((index) => {
    const { name, token, texts } = series[index];
    const stroke = colour(token);
    const shown = { label: name, stroke, value: (_plot, _value, _series, row) => row == null ? "" : texts[row] };
    return stacked
      ? { ...shown, fill: stroke, stroke: paper, width: 1, paths: uPlot.paths.bars({ size: [0.7, 48] }), points: { show: false } }
      : { ...shown, width: 2, dash: index ? [6, 4] : undefined, spanGaps: false, points: { show: true, size: 6, fill: stroke } };
  });
  const options = {
    width: place.clientWidth,
    height: 232,
    scales: { x: { time: false, range: [-0.6, labels.length - 0.4] }, y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.05 : 1] } },
    axes: [
      { ...axis, splits: () => at, grid: { show: false }, values: (plot, marks) => {
        const every = Math.ceil(marks.length * 56 / plot.width);
        return marks.map((mark) => (labels.length - 1 - mark) % every ? "" : labels[mark]);
      } },
      { ...axis, size: 64, ...(seconds ? inUnits(figure.dataset.units.split(",")) : { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000] }) },
    ],
    series: [{ value: (_plot, _value, _series, row) => row == null ? "" : labels[row], label: figure.querySelector("details thead th").textContent }, ...lines],
    cursor: { y: false, drag: { x: false, y: false } },
    legend: { live: true },
  };
  const data = [at, ...order.map((index) => stacked ? sums[index] : series[index].values)];
  plots.set(place, new uPlot(options, data, place));
}

function drawAll() {
  for (const place of plots.keys()) {
    if (!place.isConnected) {
      plots.get(place).destroy();
      plots.delete(place);
    }
  }
  for (const figure of document.querySelectorAll("figure[data-plot]")) draw(figure);
}

drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
let width = document.body.clientWidth;
new ResizeObserver(() => {
  if (width === document.body.clientWidth) return;
  width = document.body.clientWidth;
  drawAll();
}).observe(document.body);

// Load figures every 30 s, but not while the reader uses the page.
document.addEventListener("htmx:beforeRequest", (event) => {
  const figures = event.target;
  if (figures.id !== "figures") return;
  const inside = figures.contains(document.activeElement) || figures.querySelector("details[open]");
  const marked = !getSelection().isCollapsed && figures.contains(getSelection().anchorNode);
  if (inside || marked || document.hidden) event.preventDefault();
});
document.addEventListener("htmx:afterSettle", (event) => { if (event.target.id === "figures" || event.detail.target?.id === "figures") drawAll(); });
