"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const tip = document.getElementById("tip");
  const canvas = document.getElementById("canvas");
  const status = document.getElementById("shown");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let viewer = null, current = null, repeat = false;
  const FEW_ATOMS = 12;

  const number = x => (x === null || x === undefined) ? "–"
    : Math.abs(x) >= 1e5 || (x !== 0 && Math.abs(x) < 1e-3) ? x.toExponential(3)
    : String(+x.toPrecision(6)).replace("-", "\u2212");

  function text(n) {
    const t = data.trials[n];
    if (!t) return "trial " + n;
    const lines = ["trial " + n + (t.name ? ", " + t.name : ""), t.generator + ", step " + t.step];
    if (t.state !== "done") lines.push(t.state + (t.reason ? ": " + t.reason : ""));
    for (const [name, value] of t.values) lines.push(name + ": " + number(value));
    if (t.mean !== null) lines.push("predicted: " + number(t.mean) + " \u00b1 " + number(t.sigma) + " eV");
    return lines.join("\n");
  }

  const marks = new Map();
  for (const element of document.querySelectorAll("svg [data-trial]")) {
    const n = element.dataset.trial;
    if (!marks.has(n)) marks.set(n, []);
    marks.get(n).push(element);
  }
  function heat(n, on) {
    for (const element of marks.get(String(n)) || []) element.classList.toggle("hot", on);
  }

  let hot = null;
  function hover(event) {
    const at = event.target.closest && event.target.closest("[data-trial]");
    if (hot !== null && hot !== String(current)) heat(hot, false);
    hot = at ? at.dataset.trial : null;
    tip.hidden = !at;
    if (!at) return;
    heat(hot, true);
    tip.textContent = text(hot);
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
    const above = event.clientY + 18 + box.height > innerHeight;
    tip.style.top = (above ? event.clientY - box.height - 12 : event.clientY + 18) + "px";
  }
  document.addEventListener("pointerover", hover);
  document.addEventListener("click", event => {
    const at = event.target.closest("[data-trial]");
    if (at) show(at.dataset.trial, !at.closest(".list"));
  });

  function cellLines(s, origin) {
    const c = s.cell, vectors = [0, 1, 2].filter(i => s.periodic[i]).map(i => c.slice(3 * i, 3 * i + 3));
    const corners = [[origin, []]];
    vectors.forEach((v, i) => {
      for (const [p, used] of corners.slice()) corners.push([p.map((x, k) => x + v[k]), used.concat(i)]);
    });
    const lines = [];
    for (const [p, used] of corners) vectors.forEach((v, i) => {
      if (!used.includes(i)) lines.push([p, p.map((x, k) => x + v[k])]);
    });
    return lines;
  }

  function images(s) {
    const shifts = [[0, 0, 0]];
    if (repeat && s.cell) for (let i = 0; i < 3; i++) if (s.periodic[i]) {
      const v = s.cell.slice(3 * i, 3 * i + 3);
      for (const at of shifts.slice()) shifts.push(at.map((x, k) => x + v[k]));
    }
    return shifts;
  }

  function xyz(s, shifts) {
    const rows = [];
    for (const at of shifts) s.symbols.forEach((symbol, i) => {
      const p = [0, 1, 2].map(k => (s.positions[3 * i + k] + at[k]).toFixed(4));
      rows.push(symbol + " " + p.join(" "));
    });
    return rows.length + "\n\n" + rows.join("\n") + "\n";
  }

  function draw(keepView) {
    const s = data.structures[current];
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--muted").trim();
    const soft = getComputedStyle(document.documentElement).getPropertyValue("--soft").trim();
    const view = keepView ? viewer.getView() : null;
    viewer.setBackgroundColor(soft);
    viewer.removeAllModels();
    viewer.removeAllShapes();
    viewer.addModel(xyz(s, images(s)), "xyz");
    viewer.setStyle({}, {sphere: {scale: 0.34, colorscheme: "Jmol"},
      stick: {radius: 0.11, colorscheme: "Jmol"}});
    if (s.cell) {
      let origin = [0, 0, 0];
      if (!s.periodic.every(Boolean)) origin[2] = Math.min(...s.positions.filter((_, i) => i % 3 === 2));
      for (const [a, b] of cellLines(s, origin)) viewer.addCylinder({
        start: {x: a[0], y: a[1], z: a[2]}, end: {x: b[0], y: b[1], z: b[2]},
        radius: 0.045, color: ink, fromCap: 1, toCap: 1});
    }
    if (view) viewer.setView(view);
    else {
      viewer.zoomTo();
      if (s.cell) { viewer.rotate(-78, "x"); viewer.rotate(-24, "y"); viewer.rotate(6, "x"); }
      viewer.zoom(0.95);
    }
    viewer.render();
  }

  function show(n, scroll) {
    if (current !== null) heat(current, false);
    for (const button of document.querySelectorAll(".list button"))
      button.setAttribute("aria-current", button.dataset.trial === String(n));
    current = n;
    heat(n, true);
    if (!canvas) return;
    const s = data.structures[n];
    status.textContent = text(n).replaceAll("\n", " · ") + (s ? "" : " · its structure is not in this page");
    document.getElementById("save").disabled = !s;
    document.getElementById("repeat").hidden = !(s && s.cell);
    if (s && viewer) draw(false);
    if (scroll) canvas.closest("section").scrollIntoView({behavior: "smooth", block: "nearest"});
  }

  if (canvas) {
    try {
      viewer = $3Dmol.createViewer(canvas, {antialias: true});
    } catch (error) {
      viewer = null;
    }
    if (!viewer) canvas.innerHTML = "<p>This browser shows no WebGL: save the structures to see them elsewhere.</p>";
    document.getElementById("repeat").addEventListener("click", event => {
      repeat = !repeat;
      event.target.setAttribute("aria-pressed", repeat);
      if (viewer) draw(false);
    });
    document.getElementById("save").addEventListener("click", () => {
      const s = data.structures[current];
      const lattice = s.cell ? 'Lattice="' + s.cell.join(" ") + '" ' : "";
      const pbc = 'pbc="' + s.periodic.map(p => p ? "T" : "F").join(" ") + '"';
      const body = xyz(s, [[0, 0, 0]]).split("\n");
      body[1] = lattice + "Properties=species:S:1:pos:R:3 " + pbc + " trial=" + current;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([body.join("\n")], {type: "chemical/x-xyz"}));
      link.download = "trial-" + current + ".extxyz";
      link.click();
      URL.revokeObjectURL(link.href);
    });
    dark.addEventListener("change", () => { if (viewer && data.structures[current]) draw(true); });
    const first = data.structures[data.first];
    repeat = Boolean(first && first.cell && first.symbols.length <= FEW_ATOMS);
    document.getElementById("repeat").setAttribute("aria-pressed", repeat);
    if (data.first !== null) show(data.first, false);
  }
})();
