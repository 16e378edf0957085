"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const plots = read("plots"), labels = read("labels");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const PRINTED_PX = 680, PRINTED_SMALL_PX = 330;

  const theme = (isDark) => isDark
    ? { ink: "#e7ebf0", grid: "#2d3642", paper: "#1a2029" } : { ink: "#1c2430", grid: "#e3e8ee", paper: "#ffffff" };

  const axesOf = (layout) => Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));

  // Plotly's names of what the reader's setting changes
  const themed = (layout, isDark) => {
    const { ink, grid, paper } = theme(isDark);
    const found = {
      "font.color": ink, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      "hoverlabel.bgcolor": paper, "hoverlabel.font.color": ink, "hoverlabel.bordercolor": grid,
    };
    for (const axis of axesOf(layout)) {
      for (const name of ["gridcolor", "zerolinecolor", "linecolor"]) found[`${axis}.${name}`] = grid;
    }
    return found;
  };

  const put = (object, path, value) => {
    const names = path.split("."), last = names.pop();
    let place = object;
    for (const name of names) place = place[name] ??= {};
    place[last] = value;
  };

  const whole = (plot) => {
    const layout = structuredClone(plot.layout);
    layout.xaxis ??= {};
    layout.yaxis ??= {};
    layout.font = { family: "system-ui, sans-serif", size: 12 };
    layout.margin = { l: 8, r: 14, t: 8, b: 8 };
    layout.legend = { orientation: "h", x: 0, y: 1.01, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" };
    layout.dragmode = touch ? false : "zoom";
    layout.hovermode = "closest";
    layout.hoverlabel = { align: "left" };
    for (const axis of axesOf(layout)) layout[axis].automargin = true;
    for (const [path, value] of Object.entries(themed(layout, dark.matches))) put(layout, path, value);
    const data = plot.data.map((trace) => trace.meta === "label"
      ? { ...trace, text: trace.customdata.map((number) => labels[number] ?? "") } : trace);
    return [data, layout];
  };

  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };
  const element = (plot) => document.getElementById(`plot-${plot.key}`);
  const drawAll = async () => {
    for (const plot of plots) {
      await new Promise((go) => setTimeout(go));
      await Plotly.newPlot(element(plot), ...whole(plot), config);
    }
    document.body.dataset.drawn = plots.length;
  };

  const recolour = (isDark, sized) => {
    for (const plot of plots) {
      const place = element(plot);
      if (place.layout) Plotly.relayout(place, { ...themed(place.layout, isDark), ...sized(place) });
    }
  };
  dark.addEventListener("change", () => recolour(dark.matches, () => ({})));
  addEventListener("beforeprint", () => recolour(false, (place) =>
    ({ autosize: false, width: place.closest(".small") ? PRINTED_SMALL_PX : PRINTED_PX })));
  addEventListener("afterprint", () => recolour(dark.matches, () => ({ autosize: true, width: null })));

  // The table of trials
  const body = document.querySelector("#trials tbody"), rows = [...body.rows];
  const number = (text) => (text === "" ? NaN : Number(text.replaceAll(",", "")));
  const compared = (a, b) => {
    const x = number(a), y = number(b);
    if (a === "" || b === "") return (a === "") - (b === "");
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  const heads = [...document.querySelectorAll("#trials th")];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = rows.map((row) => [row.cells[column].textContent, row]);
    keyed.sort(([a], [b]) => (a === "" || b === "" ? compared(a, b) : (down ? -1 : 1) * compared(a, b)));
    body.append(...keyed.map(([, row]) => row));
  }));
  const filter = document.getElementById("filter"), state = document.getElementById("state");
  const apply = () => {
    const words = filter.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word))
        && (!state.value || row.classList.contains(state.value));
      row.hidden = !fits;
      shown += fits;
    }
    document.getElementById("shown").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} trials`;
  };
  filter.addEventListener("input", apply);
  state.addEventListener("change", apply);
  drawAll();
})();
