"use strict";
(() => {
  const root = document.documentElement;
  const { plots } = JSON.parse(document.getElementById("data").textContent);
  root.classList.add("js");

  // What the curves show. Nulls of several sweeps hide each other, so they start hidden.
  const hidden = new Set();
  const pressed = (one) => one.getAttribute("aria-pressed") === "true";
  const toggles = [...document.querySelectorAll("[data-role]")];
  const shows = (role) => toggles.every((one) => one.dataset.role !== role || pressed(one));
  const axisButton = document.getElementById("axis");
  const isLog = () => !axisButton || pressed(axisButton);

  // ---- light and dark
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const themeButton = document.getElementById("theme");
  const stored = () => { try { return localStorage.getItem("onset-theme"); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem("onset-theme", theme); } catch { /* a page from a file may not */ } };
  const isDark = () => (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { themeButton.querySelector("span").textContent = isDark() ? "light" : "dark"; };
  const style = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const palette = () => ({
    ink: style("--ink"), soft: style("--soft"), grid: style("--line"), card: style("--card"),
    heat: isDark() ? [[0, "#20252c"], [0.5, "#a3502c"], [1, "#ffd08a"]]
                   : [[0, "#f6f2ea"], [0.5, "#e58a4e"], [1, "#7f1d10"]],
  });

  // ---- plots, which are drawn when they come into view
  const matrices = new Map();
  function unpack(id) {
    if (!matrices.has(id)) {
      const { shape: [frames, rows, columns], peak, bytes } = plots[id].frames;
      const numbers = Int8Array.from(atob(bytes), (one) => one.charCodeAt(0));
      const cell = (at) => (numbers[at] === -128 ? null : (numbers[at] * peak) / 127);
      matrices.set(id, Array.from({ length: frames }, (_, f) =>
        Array.from({ length: rows }, (_, r) =>
          Array.from({ length: columns }, (_, c) => cell((f * rows + r) * columns + c)))));
    }
    return matrices.get(id);
  }
  const slider = (id) => document.querySelector(`[data-slides="${id}"]`);
  const frame = (id) => Number(slider(id)?.value ?? 0);

  function trace(id, one, colors) {
    const made = { ...one };
    for (const part of ["line", "marker", "textfont"]) {
      if (made[part]?.color === "ink") made[part] = { ...made[part], color: colors.ink };
    }
    if (made.colorscale === "heat") made.colorscale = colors.heat;
    if (made.marker?.colorbar) made.marker = { ...made.marker, colorbar: { ...made.marker.colorbar, outlinewidth: 0, tickfont: { color: colors.soft } } };
    if (made.colorbar) made.colorbar = { ...made.colorbar, outlinewidth: 0, tickfont: { color: colors.soft } };
    if (plots[id].frames) made.z = unpack(id)[frame(id)];
    const { meta } = made;
    if (meta) {
      if (!isLog()) made.x = meta.linear;
      made.visible = !hidden.has(meta.entry) && (meta.role === "middle" || shows(meta.role));
      if (made.error_y) made.error_y = { ...made.error_y, visible: shows("bars") };
    }
    return made;
  }

  function layout(id, colors) {
    const { layout: own, knob, axis, square } = plots[id];
    const plain = { gridcolor: colors.grid, zerolinecolor: colors.grid, linecolor: colors.grid, automargin: true };
    const shapes = (own.shapes || []).map((one) => ({
      ...one, line: { ...one.line, color: one.line.color === "faint" ? colors.grid : colors.ink },
    }));
    const made = {
      height: 270, margin: { l: 52, r: 14, t: 10, b: 44 }, hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colors.ink, family: "system-ui, sans-serif", size: 12 },
      hoverlabel: { bgcolor: colors.card, font: { color: colors.ink } },
      legend: { orientation: "h", y: -0.25, font: { size: 11 } },
      ...own, shapes,
      xaxis: { ...plain, ...own.xaxis }, yaxis: { ...plain, ...own.yaxis },
    };
    if (square) {
      made.height = 330;
      made.yaxis = { ...made.yaxis, scaleanchor: "x", constrain: "domain" };
      made.xaxis.constrain = "domain";
    }
    if (knob) {
      made.xaxis = { ...made.xaxis, title: { text: axis.name, standoff: 8 }, zeroline: false, tickangle: 0 };
      if (isLog()) {
        Object.assign(made.xaxis, { tickvals: axis.ticks, ticktext: axis.texts, range: axis.range });
        if (axis.gap !== null) {
          shapes.push({ type: "line", yref: "paper", y0: 0, y1: 1, x0: axis.gap, x1: axis.gap,
                        line: { color: colors.grid, dash: "dash", width: 1 }, layer: "below" });
        }
      } else {
        made.xaxis.range = [-0.03 * axis.most, 1.04 * axis.most];
      }
    }
    return made;
  }

  const config = {
    displaylogo: false, responsive: true,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };
  const drawn = new Set();
  function draw(id) {
    const colors = palette();
    const data = plots[id].data.map((one) => trace(id, one, colors));
    const made = layout(id, colors);
    document.getElementById(id).style.height = `${made.height}px`;
    drawn.add(id);
    return Plotly.react(id, data, made, config);
  }
  const redraw = () => { for (const id of drawn) draw(id); };
  const watcher = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (isIntersecting) { watcher.unobserve(target); draw(target.id); }
    }
  }, { rootMargin: "200px" });
  for (const place of document.querySelectorAll(".plot")) {
    place.classList.toggle("square", Boolean(plots[place.id].square));
    watcher.observe(place);
  }

  // ---- controls
  for (const button of document.querySelectorAll(".toggle")) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(!pressed(button)));
      const { entry } = button.dataset;
      if (entry !== undefined) hidden[pressed(button) ? "delete" : "add"](Number(entry));
      redraw();
    });
  }
  for (const input of document.querySelectorAll("[data-slides]")) {
    const id = input.dataset.slides;
    const show = () => {
      const name = plots[id].labels[frame(id)];
      input.nextElementSibling.textContent = new DOMParser().parseFromString(name, "text/html").body.textContent;
      input.setAttribute("aria-valuetext", input.nextElementSibling.textContent);
      if (drawn.has(id)) draw(id);
    };
    input.addEventListener("input", show);
    show();
  }
  themeButton.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    keep(root.dataset.theme);
    nameTheme();
    redraw();
  });
  prefersDark.addEventListener("change", () => { nameTheme(); redraw(); });
  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
  nameTheme();

  // ---- tables: a head sorts the rows, again in reverse; what is unknown stays last
  for (const table of document.querySelectorAll(".sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      heads.forEach((one) => one.setAttribute("aria-sort", one === head ? order : "none"));
      const sign = order === "ascending" ? 1 : -1;
      const key = (row) => row.cells[column].dataset.key;
      const numeric = (one) => one.cells[column].classList.contains("number");
      const compare = (a, b) => {
        if (!key(a) || !key(b)) return Number(!key(a)) - Number(!key(b));
        if (numeric(a) && numeric(b)) return sign * (Number(key(a)) - Number(key(b)));
        return sign * key(a).localeCompare(key(b));
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(compare));
    }));
  }

  // ---- a link to a sweep opens it; paper shows everything, in light
  const openTarget = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  addEventListener("hashchange", openTarget);
  openTarget();
  let before = null;
  addEventListener("beforeprint", () => {
    before = { theme: root.dataset.theme, closed: [...document.querySelectorAll("details:not([open])")] };
    before.closed.forEach((one) => { one.open = true; });
    root.dataset.theme = "light";
    root.classList.add("paper");
    for (const id of Object.keys(plots)) draw(id);
  });
  addEventListener("afterprint", () => {
    if (!before) return;
    before.closed.forEach((one) => { one.open = false; });
    if (before.theme) root.dataset.theme = before.theme; else delete root.dataset.theme;
    before = null;
    root.classList.remove("paper");
    redraw();
  });
})();
