// How states, stages, figures and times are said.

export const STATES = {
  queued: ["waiting", ""], preprocessing: ["preparing", "busy"], queued_infer: ["waiting for the model", ""],
  inferring: ["scoring", "busy"], succeeded: ["done", "good"], failed: ["failed", "bad"],
  canceled: ["canceled", ""], expired: ["expired", "bad"],
};
export const ENDED = ["succeeded", "failed", "canceled", "expired"];
export const CLASSES = [["cdr0", "0", "normal"], ["cdr05", "0.5", "very mild"], ["cdr1", ">=1", "mild or worse"]];
export const cdrName = (cdr) => `CDR ${cdr.replace(">=", "≥ ")}`;
export const outcome = ({ cdr, label, uncertain }) => (uncertain ? `uncertain (${cdrName(cdr)} most probable)` : `${cdrName(cdr)} ${label}`);
export const percent = (share) => `${Math.round(100 * share)} %`;
export const plain = (name) => name.replaceAll("_", " ");

export function figure(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0 s";
  return value < 10 ? `${value.toFixed(2)} s` : value < 90 ? `${value.toFixed(0)} s` : `${(value / 60).toFixed(1)} min`;
}

export function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
export const moment = (text) => clock.format(new Date(text));

export function put(chip, state) {
  const [word, kind] = STATES[state];
  chip.textContent = word;
  chip.className = `chip ${kind}`;
}

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Measures of the quality gate: how they are said, and in which unit.
const share = (value) => `${Math.round(100 * value)} %`;
const yes = (value) => (value ? "yes" : "no");
const MEASURES = {
  brain_ml: ["Brain", (value) => `${Math.round(value)} ml`], overlap: ["Fit of brain and template (Dice)", figure],
  residual: ["Intensity unlike the template", share], slab_covered: ["Model's field in the image", share],
  size_ratio: ["Size against the template", figure], noise: ["Noise over grey-white contrast", figure],
  grey_to_csf: ["Grey over fluid, whole brain (log)", figure], white_to_grey: ["White over grey, whole brain (log)", figure],
  rim_of_misfit: ["Rim where nothing fits", figure], mirror_overlap: ["Fit of left and right half (Dice)", figure],
  white_grey_ratio: ["White over grey matter", figure], fluid_white_ratio: ["Fluid over white matter", figure],
  ventricle_white_ratio: ["Ventricles over white matter", figure],
  white_dark_ratio: ["White over grey matter with fluid", figure], same_neighbours: ["Equal neighbours", share],
  contrast_uncertain: ["T1 contrast uncertain", yes],
  voxel_mm3: ["Voxel, mm³", figure],
  surface: ["Surface over a ball's", figure],
  voxel_edge_mm: ["Longest voxel edge", (value) => `${value.toFixed(2)} mm`], orientation_assumed: ["Orientation assumed", yes],
  series_in_archive: ["Series in the archive", (value) => `${value}`],
  stripped_before: ["Came without skull", yes], escalated: ["Looked at by the second network", yes],
};
export function measure(name, value) {
  const [words, say] = MEASURES[name] ?? [plain(name), figure];
  return [words, say(value)];
}
