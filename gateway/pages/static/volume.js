// The volume view by NiiVue (https://niivue.com, BSD-2), when `make viewer` has put it into vendor/.

import { Niivue, SHOW_RENDER, SLICE_TYPE } from "./vendor/niivue.js";

const EVIDENCE = {
  R: [58, 120, 187, 237, 251, 252], G: [12, 28, 55, 105, 180, 255], B: [96, 109, 84, 37, 26, 164],
  A: [0, 110, 170, 210, 235, 255], I: [0, 51, 102, 153, 204, 255],
};
const OUTLINE = { R: [0, 255, 64], G: [0, 176, 196], B: [0, 0, 255], A: [0, 255, 255], I: [0, 128, 255] };

export async function openVolume(canvas, links) {
  const probe = document.createElement("canvas").getContext("webgl2");
  if (!probe) throw new Error("This browser draws no WebGL 2");
  const viewer = new Niivue({
    backColor: [0, 0, 0, 1], crosshairColor: [0.47, 0.86, 0.91, 0.8], isRadiologicalConvention: true, sagittalNoseLeft: true,
    show3Dcrosshair: true, isResizeCanvas: true, dragAndDropEnabled: false, loadingText: "loading", isColorbar: false,
    multiplanarLayout: 2, multiplanarShowRender: SHOW_RENDER?.ALWAYS ?? 1, logLevel: "silent",
  });
  await viewer.attachToCanvas(canvas);
  viewer.addColormap("evidence", EVIDENCE);
  viewer.addColormap("outlines", OUTLINE);
  viewer.setSliceType(SLICE_TYPE?.MULTIPLANAR ?? 3);
  await viewer.loadVolumes([{ url: links.brain, name: "brain.nii.gz", colormap: "gray", cal_min: 0, cal_max: 230 }]);
  const { activation_scale: scale } = await (await fetch(links.slices)).json();
  const [brain] = viewer.volumes, above = new Map();
  let turn = 0;

  function layer(kind) {
    if (!above.has(kind)) {
      const rim = kind === "outline";
      above.set(kind, viewer.addVolumeFromUrl(rim
        ? { url: links.brain.replace("brain.nii.gz", "outline.nii.gz"), name: "outline.nii.gz", colormap: "outlines", cal_min: 0, cal_max: 2, opacity: 1 }
        : { url: `${links.explanation}?class=${kind}&grid=brain`, name: `${kind}.nii.gz`, colormap: "evidence", cal_min: 0.15 * scale, cal_max: scale, opacity: 0.6 }));
    }
    return above.get(kind);
  }

  async function draw(state) {
    const mine = ++turn, shown = [state.overlay, state.outline && "outline"].filter(Boolean);
    await Promise.all(shown.map(layer));
    if (mine !== turn) return;
    brain.cal_min = state.level - state.window / 2;
    brain.cal_max = state.level + state.window / 2;
    for (const [kind, loading] of above) {
      const volume = await loading;
      volume.opacity = !shown.includes(kind) ? 0 : kind === "outline" ? 1 : state.opacity;
    }
    viewer.opts.crosshairWidth = state.cross ? 1 : 0;
    viewer.updateGLVolume();
    canvas.dataset.drawn = ["volume", ...shown].join(" ");
  }

  return { draw, resize: () => viewer.resizeListener() };
}
