"use strict";
(() => {
  const KINDS = { u1: Uint8Array, i2: Int16Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };
  const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis
  const CLASSES = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#9c755f", "#ff9da7", "#2f4b7c", "#86bc25"];
  const UNKNOWN = "#c8c8c8", REACH = 12, STYLE = { stick: { radius: 0.12 }, sphere: { scale: 0.24 } };
  const DECODED = { stick: { radius: 0.07, color: "#e07b00" }, sphere: { scale: 0.14, color: "#e07b00" } };

  const at = id => document.getElementById(id);
  function array({ type, bytes }) {
    const text = atob(bytes), found = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
    return new KINDS[type](found.buffer);
  }
  const data = JSON.parse(at("data").textContent);
  const [source, offset, z, position] = ["source", "offset", "z", "position"].map(name => array(data[name]));
  const maps = data.maps.map(map => ({ ...map, place: array(map.place) }));
  const columns = data.columns.map(column => ({ ...column, values: array(column.values) }));
  const n = offset.length - 1;

  // molecules

  const xyz = (z, x, unit) => `${z.length}\n\n` + Array.from(z, (k, i) =>
    `${data.symbols[k]} ${x[3 * i] * unit} ${x[3 * i + 1] * unit} ${x[3 * i + 2] * unit}`).join("\n");

  function viewerIn(element) {
    try {
      return $3Dmol.createViewer(element, { backgroundColor: "white" });
    } catch (error) {
      element.textContent = "This browser draws no molecules: WebGL is missing.";
      return null;
    }
  }

  function draw(viewer, row, decoded) {
    viewer.removeAllModels();
    const [first, last] = [offset[row], offset[row + 1]];
    viewer.addModel(xyz(z.subarray(first, last), position.subarray(3 * first, 3 * last), data.unit), "xyz").setStyle({}, STYLE);
    if (decoded) viewer.addModel(xyz(decoded.z, decoded.position, 1), "xyz").setStyle({}, DECODED);
    viewer.zoomTo();
    viewer.render();
  }

  function described(row) {
    const found = [["title", data.title[row]], ["record", `${data.record[row]} of ${data.sources[source[row]]}`]];
    for (const { name, classes, values, chart } of columns) {
      if (!chart) continue;
      const value = values[row];
      if (classes.length ? value >= 0 : !Number.isNaN(value)) found.push([name, classes.length ? classes[value] : String(+value.toPrecision(10))]);
    }
    for (const [name, values] of Object.entries(data.texts)) if (values[row]) found.push([name, values[row]]);
    return found;
  }

  let viewer = null, chosen = 0;
  function show(row, decoded) {
    chosen = row;
    viewer = viewer || viewerIn(at("viewer"));
    if (viewer) draw(viewer, row, decoded);
    at("details").replaceChildren(...described(row).flatMap(pair => pair.map((text, k) => {
      const element = document.createElement(k ? "dd" : "dt");
      element.textContent = text;
      return element;
    })));
    paint();
  }

  async function pictures() {
    const hidden = document.createElement("div"), cards = [...document.querySelectorAll("[data-row]")];
    const shown = card => [+card.dataset.row, data.decoded[card.dataset.decoded]];
    for (const card of cards) card.addEventListener("click", () => {
      show(...shown(card));
      at("maps").scrollIntoView({ behavior: "smooth" });
    });
    hidden.style.cssText = "position:absolute;left:-9999px;width:240px;height:180px";
    document.body.append(hidden);
    const small = cards.length ? viewerIn(hidden) : null;
    for (const card of small ? cards : []) {
      await new Promise(next => setTimeout(next)); // the page answers in between
      draw(small, ...shown(card));
      card.querySelector(".picture").style.backgroundImage = `url(${small.pngURI()})`;
    }
    hidden.remove();
  }

  // the map

  const canvas = at("scatter"), tip = at("tip");
  let map = maps[0], colours = [], view = null, width = 0, height = 0;

  function fit() {
    const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
    map.place.forEach((value, i) => { low[i % 2] = Math.min(low[i % 2], value); high[i % 2] = Math.max(high[i % 2], value); });
    const scale = [0, 1].map(k => (high[k] - low[k]) || 1);
    view = { x: (low[0] + high[0]) / 2, y: (low[1] + high[1]) / 2, sx: 0.92 * width / scale[0], sy: 0.92 * height / scale[1] };
  }
  const pixel = row => [width / 2 + (map.place[2 * row] - view.x) * view.sx, height / 2 - (map.place[2 * row + 1] - view.y) * view.sy];

  function size() {
    const ratio = window.devicePixelRatio || 1;
    [width, height] = [canvas.clientWidth, canvas.clientHeight];
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    fit();
    paint();
  }

  let waiting = false;
  function paint() {
    if (!waiting) requestAnimationFrame(drawn);
    waiting = true;
  }

  function drawn() {
    const context = canvas.getContext("2d"), radius = n > 5000 ? 1.5 : n > 500 ? 2.5 : 4;
    waiting = false;
    context.clearRect(0, 0, width, height);
    for (let row = 0; row < n; row++) {
      const [x, y] = pixel(row);
      context.fillStyle = colours[row];
      if (n > 5000) { // discs of this many take long
        context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
        continue;
      }
      context.beginPath();
      context.arc(x, y, radius, 0, 7);
      context.fill();
    }
    const [x, y] = pixel(chosen);
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, radius + 4, 0, 7);
    context.stroke();
  }

  const viridis = share => {
    const place = 4 * Math.min(Math.max(share, 0), 1), k = Math.min(Math.floor(place), 3);
    return `rgb(${STOPS[k].map((low, i) => Math.round(low + (STOPS[k + 1][i] - low) * (place - k)))})`;
  };

  function colour() {
    const { classes, values, range, logarithmic } = columns[+at("colour").value];
    const measure = logarithmic ? Math.log : x => x, [low, high] = range.map(measure);
    colours = Array.from(values, value => {
      if (classes.length) return CLASSES[value] || UNKNOWN;
      return Number.isNaN(value) ? UNKNOWN : viridis((measure(value) - low) / ((high - low) || 1));
    });
    const parts = classes.length
      ? [...classes.slice(0, CLASSES.length).map((name, k) => [CLASSES[k], name]), ...(values.some(v => !CLASSES[v]) ? [[UNKNOWN, "others"]] : [])]
      : [[null, String(+range[0].toPrecision(4))], [`linear-gradient(90deg, ${[0, 1, 2, 3, 4].map(k => viridis(k / 4))})`, String(+range[1].toPrecision(4))]];
    at("legend").replaceChildren(...parts.flatMap(([paint, text]) => {
      const mark = document.createElement("i");
      if (!paint) return [text];
      mark.style.background = paint;
      if (!classes.length) mark.className = "scale";
      return [mark, text];
    }));
    paint();
  }

  function nearest(event) {
    let best = REACH ** 2, found = -1;
    for (let row = 0; row < n; row++) {
      const [x, y] = pixel(row), far = (x - event.offsetX) ** 2 + (y - event.offsetY) ** 2;
      if (far < best) [best, found] = [far, row];
    }
    return found;
  }

  function listen() {
    let from = null, moved = false;
    const hint = at("axes").textContent;
    const choose = () => {
      map = maps[+at("map").value];
      at("axes").textContent = `→ ${map.axes[0]}, ↑ ${map.axes[1]}. ${map.about} ${hint}`;
      fit();
      paint();
    };
    at("map").addEventListener("change", choose);
    at("colour").addEventListener("change", colour);
    window.addEventListener("resize", size);
    canvas.addEventListener("dblclick", () => { fit(); paint(); });
    canvas.addEventListener("pointerdown", event => { from = event; moved = false; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointerup", () => { from = null; });
    canvas.addEventListener("pointerleave", () => { tip.style.display = "none"; });
    canvas.addEventListener("pointermove", event => {
      if (from) {
        const [dx, dy] = [event.offsetX - from.offsetX, event.offsetY - from.offsetY];
        if (!moved && Math.hypot(dx, dy) < 4) return;
        [view.x, view.y, from, moved] = [view.x - dx / view.sx, view.y + dy / view.sy, event, true];
        paint();
        return;
      }
      const row = nearest(event);
      tip.style.display = row < 0 ? "none" : "block";
      if (row < 0) return;
      tip.textContent = data.title[row] || `record ${data.record[row]}`;
      [tip.style.left, tip.style.top] = [`${event.clientX + 14}px`, `${event.clientY + 10}px`];
    });
    canvas.addEventListener("click", event => {
      const row = nearest(event);
      if (!moved && row >= 0) show(row);
    });
    canvas.addEventListener("wheel", event => {
      event.preventDefault();
      const factor = Math.exp(-event.deltaY / 400), [dx, dy] = [event.offsetX - width / 2, height / 2 - event.offsetY];
      [view.x, view.y] = [view.x + dx / view.sx * (1 - 1 / factor), view.y + dy / view.sy * (1 - 1 / factor)];
      [view.sx, view.sy] = [view.sx * factor, view.sy * factor];
      paint();
    }, { passive: false });
    choose();
  }

  if (!n) return;
  size();
  listen();
  colour();
  show(0);
  window.report = { pixel }; // where a row is drawn
  pictures();
})();
