// The slice viewer: anatomy below, the painted slice above it; their mix is the overlay's opacity.

import { ask } from "./api.js";
import { element } from "./words.js";

const SCALE = 2;
const at = (id) => document.getElementById(id);

export async function openViewer(links, decided) {
  const { body: about } = await ask(links.slices);
  const known = new Map(); // address -> promise of an object URL, so that scrolling needs no network
  const last = about.slices.length;
  let wanted = 0;

  function picture(n, overlay) {
    const query = new URLSearchParams(overlay ? { scale: SCALE, overlay, opacity: 1 } : { scale: SCALE });
    const address = `${links.slices}/${n}.png?${query}`;
    if (!known.has(address)) {
      const load = fetch(address).then((answer) => {
        if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
        return answer.blob();
      }).then(URL.createObjectURL);
      load.catch(() => known.delete(address));
      known.set(address, load);
    }
    return known.get(address);
  }

  const chosen = () => document.querySelector("input[name=overlay]:checked")?.value ?? "";

  async function show() {
    const n = Number(at("slice").value), overlay = chosen(), turn = ++wanted;
    at("count").textContent = `${n} / ${last}`;
    at("slice").setAttribute("aria-valuetext", `slice ${n} of ${last}`);
    [...at("strip").children].forEach((bar, index) => bar.classList.toggle("on", index + 1 === n));
    const [below, above] = await Promise.all([picture(n, ""), overlay ? picture(n, overlay) : ""]);
    if (turn !== wanted) return;
    at("plain").src = below;
    at("plain").alt = `Axial slice ${n} of ${last}`;
    at("painted").hidden = !overlay;
    if (overlay) at("painted").src = above;
  }

  function drawStrip() {
    const key = chosen() || decided;
    const values = about.slices.map((slice) => slice.logits[key]);
    const all = about.slices.flatMap((slice) => Object.values(slice.logits));
    const low = Math.min(...all), range = Math.max(...all) - low || 1;
    at("strip").replaceChildren(...values.map((value) => {
      const bar = element("i");
      bar.style.height = `${6 + (94 * (value - low)) / range}%`;
      return bar;
    }));
  }

  function move(by) {
    at("slice").value = Math.min(last, Math.max(1, Number(at("slice").value) + by));
    show();
  }

  const KEYS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5, Home: -last, End: last };
  at("film").addEventListener("keydown", (event) => {
    if (event.key in KEYS) { event.preventDefault(); move(KEYS[event.key]); }
  });
  at("film").addEventListener("wheel", (event) => { event.preventDefault(); move(event.deltaY > 0 ? -1 : 1); }, { passive: false });
  at("strip").addEventListener("click", (event) => {
    const box = at("strip").getBoundingClientRect();
    at("slice").value = 1 + Math.floor(((event.clientX - box.left) / box.width) * last);
    show();
  });
  at("slice").addEventListener("input", show);
  const mix = () => { at("painted").style.opacity = at("opacity").value / 100; };
  at("opacity").addEventListener("input", mix);
  for (const radio of document.querySelectorAll("input[name=overlay]")) {
    radio.checked = radio.value === decided;
    radio.addEventListener("change", () => { drawStrip(); show(); });
  }

  at("slice").max = last;
  at("left").textContent = about.left_edge;
  at("right").textContent = about.left_edge === "R" ? "L" : "R";
  at("slice").value = 1 + about.slices.reduce((best, slice, n) =>
    slice.logits[decided] > about.slices[best].logits[decided] ? n : best, 0);
  mix();
  drawStrip();
  await show();
  for (let n = 1; n <= last; n++) await Promise.all([picture(n, ""), picture(n, chosen() || decided)]).catch(() => {});
}
