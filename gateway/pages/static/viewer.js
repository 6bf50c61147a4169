// What the viewer shows: one state that the controls change and that the planes, or NiiVue, draw.

import { ask, Problem } from "./api.js";
import { openPlanes } from "./planes.js";
import { element } from "./words.js";

const at = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value ?? "";
const WINDOW = 230, LEVEL = 115;

function read() {
  return {
    overlay: chosen("overlay"), opacity: at("opacity").value / 100,
    window: Number(at("window").value), level: Number(at("level").value),
    outline: at("outline").checked, slab: at("slab").checked, cross: at("cross").checked,
  };
}

function drawStrip(slices, key) {
  const all = slices.flatMap((slice) => Object.values(slice.logits));
  const low = Math.min(...all), range = Math.max(...all) - low || 1;
  at("strip").replaceChildren(...slices.map((slice) => {
    const bar = element("i");
    bar.style.height = `${6 + (94 * (slice.logits[key] - low)) / range}%`;
    return bar;
  }));
}

async function volumeDrawer(links) {
  const { openVolume } = await import("./volume.js");
  return openVolume(at("gl"), links);
}

export async function openViewer(links, decided) {
  const built = document.querySelector("input[name=mode][data-built]");
  if (built) built.checked = true; // before anything is waited for: whoever switches meanwhile has the last word
  for (const radio of document.querySelectorAll("input[name=overlay]")) radio.checked = radio.value === decided;
  const { body: about } = await ask(links.slices);
  const { body: geometry } = await ask(links.planes).catch((error) => {
    if (!(error instanceof Problem)) throw error;
    at("panes").hidden = true; // made before brains were kept, or no longer kept: the slices below remain
    at("gone").hidden = false;
    at("gone").textContent = error.message;
    return { body: null };
  });
  if (!geometry) return;
  const planes = openPlanes(links, geometry, (window, level) => { at("window").value = window; at("level").value = level; draw(); });
  let volume = null;

  function draw() {
    const state = read();
    drawStrip(about.slices, state.overlay || decided);
    [...at("strip").children].forEach((bar, n) => bar.classList.toggle("on", geometry.slab[n] === planes.cut("axial")));
    if (at("volume").hidden) planes.draw(state);
    else volume?.draw(state);
  }

  async function switchMode() {
    const wanted = chosen("mode") === "volume";
    if (wanted && !volume) {
      try {
        volume = await volumeDrawer(links);
      } catch { // no WebGL 2 here: the planes show the same
        at("modes").hidden = true;
        document.querySelector("input[name=mode][value=planes]").checked = true;
        return switchMode();
      }
    }
    at("volume").hidden = !wanted;
    at("panes").hidden = wanted;
    at("viewer").dataset.mode = wanted ? "volume" : "planes";
    draw();
    volume?.resize();
  }

  const best = about.slices.reduce((top, slice, n) => (slice.logits[decided] > about.slices[top].logits[decided] ? n : top), 0);
  planes.move("axial", geometry.slab[best]);
  planes.moved = draw;
  for (const id of ["opacity", "window", "level", "outline", "slab", "cross"]) at(id).addEventListener("input", draw);
  for (const radio of document.querySelectorAll("input[name=overlay]")) radio.addEventListener("change", draw);
  for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", switchMode);
  at("reset").addEventListener("click", () => { at("window").value = WINDOW; at("level").value = LEVEL; draw(); });
  at("strip").addEventListener("click", (event) => {
    const box = at("strip").getBoundingClientRect();
    planes.move("axial", geometry.slab[Math.floor(((event.clientX - box.left) / box.width) * about.slices.length)]);
    draw();
  });
  await switchMode();
}
