// Three planes from cuts the server draws: anatomy through window and level, evidence and outlines above it.

const PLANES = ["axial", "coronal", "sagittal"];
const ACROSS = { axial: ["sagittal", "coronal"], coronal: ["sagittal", "axial"], sagittal: ["coronal", "axial"] };
const KEYS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5, Home: -1e4, End: 1e4 };
const KEPT = 900; // pictures in memory, a few megabytes
const EDGES = { "left-mid": "left", "right-mid": "right", "top-mid": "top", "low-mid": "bottom" };

export function openPlanes(links, geometry, onWindow) {
  const cuts = Object.fromEntries(PLANES.map((plane) => [plane, geometry.planes[plane].start]));
  const panes = Object.fromEntries(PLANES.map((plane) => [plane, document.querySelector(`[data-plane=${plane}]`)]));
  const known = new Map();
  let state = null, turn = 0;
  const self = { moved: () => {}, cut: (plane) => cuts[plane], move, draw };

  function picture(plane, cut, layer) {
    const address = `${links.planes}/${plane}/${cut}.png?layer=${layer}`;
    if (!known.has(address)) {
      const load = fetch(address).then((answer) => {
        if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
        return answer.blob();
      }).then((blob) => createImageBitmap(blob));
      load.catch(() => known.delete(address));
      known.set(address, load);
      if (known.size > KEPT) known.delete(known.keys().next().value);
    }
    return known.get(address);
  }

  // 0 to 255 becomes what lies below the window black, above it white, between them a straight line.
  function windowed(image) {
    const canvas = new OffscreenCanvas(image.width, image.height), pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    const pixels = pen.getImageData(0, 0, image.width, image.height), { data } = pixels;
    const low = state.level - state.window / 2, gain = 255 / state.window;
    for (let n = 0; n < data.length; n += 4) data[n] = data[n + 1] = data[n + 2] = (data[n] - low) * gain; // clamped by the array
    pen.putImageData(pixels, 0, 0);
    return canvas;
  }

  // Where the other planes cut this one, as a share of its width and height: columns and rows run downwards.
  function cross(plane) {
    const [across, down] = ACROSS[plane];
    return [across, down].map((other) => 1 - (cuts[other] - 0.5) / geometry.planes[other].count);
  }

  async function paint(plane, mine) {
    const about = geometry.planes[plane], cut = cuts[plane];
    const layers = [state.overlay, state.outline && "outline", state.slab && "slab"].filter(Boolean);
    const [below, ...above] = await Promise.all(["anatomy", ...layers].map((layer) => picture(plane, cut, layer)));
    const canvas = panes[plane].querySelector("canvas"), box = canvas.getBoundingClientRect();
    if (mine !== turn || !box.width) return; // out of date, or hidden: drawn once it has a size
    canvas.width = Math.round(box.width * devicePixelRatio);
    canvas.height = Math.round((box.width * devicePixelRatio * about.height) / about.width);
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(windowed(below), 0, 0, canvas.width, canvas.height);
    above.forEach((image, n) => {
      pen.globalAlpha = layers[n] === state.overlay ? state.opacity : 1;
      pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    });
    pen.globalAlpha = 1;
    if (state.cross) drawCross(pen, canvas, plane);
    canvas.dataset.drawn = `${cut} ${layers.join(" ")}`.trim();
  }

  function drawCross(pen, canvas, plane) {
    const [x, y] = cross(plane), [left, top] = [x * canvas.width, y * canvas.height], gap = 9 * devicePixelRatio;
    pen.strokeStyle = "rgba(120, 220, 232, .75)";
    pen.lineWidth = devicePixelRatio;
    pen.beginPath();
    for (const [a, b, c, d] of [[0, top, left - gap, top], [left + gap, top, canvas.width, top], [left, 0, left, top - gap], [left, top + gap, left, canvas.height]]) {
      pen.moveTo(a, b);
      pen.lineTo(c, d);
    }
    pen.stroke();
  }

  function draw(now) {
    state = now;
    const mine = ++turn;
    for (const plane of PLANES) {
      const canvas = panes[plane].querySelector("canvas"), { count } = geometry.planes[plane];
      canvas.setAttribute("aria-valuenow", cuts[plane]);
      canvas.setAttribute("aria-valuetext", `${plane} cut ${cuts[plane]} of ${count}`);
      panes[plane].querySelector(".corner").textContent = `${cuts[plane]} / ${count}`;
      paint(plane, mine).catch(() => {}); // a lost picture is asked for again at the next move
    }
  }

  function move(plane, cut) {
    cuts[plane] = Math.min(geometry.planes[plane].count, Math.max(1, Math.round(cut)));
  }

  function shift(plane, by) { move(plane, cuts[plane] + by); self.moved(); }

  function point(plane, event) {
    const box = panes[plane].querySelector("canvas").getBoundingClientRect(), [across, down] = ACROSS[plane];
    const share = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    [across, down].forEach((other, n) => move(other, (1 - share[n]) * geometry.planes[other].count + 0.5));
    self.moved();
  }

  for (const plane of PLANES) {
    const pane = panes[plane], canvas = pane.querySelector("canvas"), about = geometry.planes[plane];
    canvas.style.aspectRatio = `${about.width} / ${about.height}`;
    canvas.setAttribute("aria-valuemax", about.count);
    for (const [spot, edge] of Object.entries(EDGES)) pane.querySelector(`.${spot}`).textContent = about[edge];
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in KEYS)) return;
      event.preventDefault();
      shift(plane, KEYS[event.key]);
    });
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); shift(plane, event.deltaY > 0 ? -1 : 1); }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      if (!event.shiftKey && event.button === 0) point(plane, event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      if (event.shiftKey || event.buttons & 2) {
        onWindow(Math.min(255, Math.max(10, state.window + event.movementX)), Math.min(255, Math.max(0, state.level + event.movementY)));
      } else point(plane, event);
    });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }
  new ResizeObserver(() => state && draw(state)).observe(document.getElementById("panes"));
  return self;
}
