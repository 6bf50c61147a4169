// The answer in words and bars; what the model cannot tell is said as plainly as what it can.

import { CLASSES, cdrName, element, figure, percent, plain, seconds } from "./words.js";

const at = (id) => document.getElementById(id);

function verdict(result) {
  const likely = `${result.label} (${cdrName(result.cdr)})`;
  const kept = result.prediction_set;
  const sure = kept.length === 1;
  const words = result.uncertain || kept.length === 0
    ? ["Uncertain", `The 90 % set holds every group: this volume tells too little. Most probable, but not to be relied on: ${likely}.`]
    : sure
      ? [result.label, `${cdrName(result.cdr)}. The other groups lie outside the 90 % prediction set.`]
      : [`${result.label}, not certain`, `${cdrName(result.cdr)} is most probable, but the 90 % prediction set also holds ${kept.filter((c) => c !== result.cdr).map(cdrName).join(" and ")}.`];
  const title = words[0][0].toUpperCase() + words[0].slice(1);
  const set = CLASSES.map(([, cdr, label]) =>
    element("span", { className: kept.includes(cdr) ? "chip busy" : "chip out", textContent: `${cdrName(cdr)} ${label}` }));
  return [
    element("p", { className: "verdict" }, title, element("small", { textContent: words[1] })),
    element("div", { className: "set" }, element("span", { className: "faint", textContent: "90 % set:" }), ...set),
  ];
}

function bar(result, [key, cdr, label]) {
  const share = result.probabilities[key], [low, high] = result.interval[key];
  const fill = element("div", { className: "fill" }), span = element("div", { className: "span" });
  fill.style.width = `${100 * share}%`;
  span.style.left = `${100 * low}%`;
  span.style.width = `${100 * (high - low)}%`;
  const track = element("div", { className: "track", role: "img", ariaLabel: `${percent(share)}, interval ${percent(low)} to ${percent(high)}` }, fill, span);
  return element("div", { className: cdr === result.cdr ? "bar top-one" : "bar" },
    element("span", {}, element("b", { textContent: cdrName(cdr) }), ` ${label}`),
    element("span", { className: "num" }, element("strong", { textContent: percent(share) }), ` (${Math.round(100 * low)}–${percent(high)})`),
    track);
}

function unusual(score) {
  const odd = score > 1;
  const words = odd
    ? "This volume is unlike the data the model learned from. Do not rely on the answer."
    : "This volume resembles the data the model learned from.";
  return element("div", { className: odd ? "alert bad" : "alert good" },
    element("p", {}, element("strong", { textContent: `Distance from training data: ${figure(score)}` }), " (above 1 is unusual)"),
    element("p", { textContent: words }));
}

function figures(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) =>
    [element("dt", { textContent: name }), element("dd", { textContent: value })]));
}

export function showAnswer(result, job) {
  at("verdict").replaceChildren(...verdict(result));
  at("bars").replaceChildren(...CLASSES.map((one) => bar(result, one)));
  at("unusual").replaceChildren(unusual(result.out_of_distribution));
  figures(at("quality"), Object.entries(result.quality).map(([name, value]) => [plain(name), figure(value)]));
  const spans = { wait_preprocess: "Waited", preprocess: "Prepared", wait_infer: "Waited for the model", infer: "Scored", total: "In all" };
  figures(at("times"), job.cache === "hit"
    ? [["In all", `${seconds(job.timings.total)} (known volume)`]]
    : Object.entries(spans).map(([key, name]) => [name, seconds(job.timings[key])]));
  figures(at("provenance"), [
    ["Volume SHA-256", result.content_digest], ["Pipeline", result.pipeline_digest],
    ["Model", result.model_digest], ["Arithmetic", result.model_engine || "–"], ["Trace", job.trace_id], ["Job", job.id],
  ]);
  const files = [
    [job.links.result, "Result (JSON)", "stage, probabilities, intervals, provenance"],
    [job.links.explanation, "Evidence map (NIfTI)", "decided group, on the voxel grid of the volume you sent"],
    [job.links.overview, "All slices (PNG)", "with the evidence for the decided group"],
  ];
  at("downloads").replaceChildren(...files.map(([address, name, about]) =>
    element("li", {}, element("a", { href: address, textContent: name, download: "" }), element("small", { textContent: about }))));
}
