// The answer in words and bars; what the model cannot tell is said as plainly as what it can.

import { CLASSES, cdrName, element, figure, measure, percent, plain, seconds } from "./words.js";

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

const TOLD = { age: (v) => `age ${v}`, sex: (v) => ({ F: "woman", M: "man" })[v], education: (v) => `education level ${v}`, mmse: (v) => `MMSE ${v}` };

function clinical(found, told) {
  if (!found) return [];
  const known = found.used.map((name) => TOLD[name](told?.[name] ?? "?")).join(", ");
  const shares = CLASSES.map(([key, cdr]) => `${cdrName(cdr)} ${percent(found.probabilities[key])}`).join(" · ");
  return [element("div", { className: "alert plain" },
    element("p", {}, element("strong", { textContent: `With what was told (${known}): ${found.label} (${cdrName(found.cdr)})` })),
    element("p", { textContent: shares }))];
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

function notice(one) {
  return element("div", { className: one.severity === "warning" ? "alert bad" : "alert plain" },
    element("p", {}, element("strong", { textContent: one.severity === "warning" ? "Warning: " : "Note: " }), one.text));
}

const seriesName = (one) => [one.number ? `series ${one.number}` : "series", one.description].filter(Boolean).join(" ");

function seriesRead(found) {
  if (!found) return [];
  const edges = found.voxel_mm.map((edge) => +edge.toFixed(2)).join(" × ");
  const others = found.passed_over.map((one) => element("li", { textContent: `${seriesName(one)}, ${one.images} images: ${one.reason}` }));
  return [
    element("p", {}, element("strong", { textContent: "Read: " }), `${seriesName(found)}, ${found.images} images, ${edges} mm`),
    ...(others.length ? [element("p", { textContent: "Passed over:" }), element("ul", {}, ...others)] : []),
  ];
}

function figures(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) =>
    [element("dt", { textContent: name }), element("dd", { textContent: value })]));
}

export function showAnswer(result, job) {
  at("verdict").replaceChildren(...verdict(result));
  at("notices").replaceChildren(...(result.notices ?? []).map(notice));
  at("series").replaceChildren(...seriesRead(result.series));
  at("bars").replaceChildren(...CLASSES.map((one) => bar(result, one)));
  at("clinical").replaceChildren(...clinical(result.clinical, job.covariates));
  at("unusual").replaceChildren(unusual(result.out_of_distribution));
  figures(at("quality"), Object.entries(result.quality).map(([name, value]) => measure(name, value)));
  at("regions-list").replaceChildren(...regions(result.regions ?? {}));
  const spans = { wait_preprocess: "Waited", preprocess: "Prepared", wait_infer: "Waited for the model", infer: "Scored", total: "In all" };
  figures(at("times"), job.cache === "hit"
    ? [["In all", `${seconds(job.timings.total)} (known volume)`]]
    : Object.entries(spans).map(([key, name]) => [name, seconds(job.timings[key])]));
  figures(at("provenance"), [
    ["Volume SHA-256", result.content_digest], ["Pipeline", result.pipeline_digest],
    ["Model", result.model_digest], ["Arithmetic", result.model_engine || "–"], ["Trace", job.trace_id], ["Job", job.id],
    ...(job.rescored_from ? [["Scored again from", job.rescored_from]] : []),
    ...(job.supersedes ? [["Takes the place of", job.supersedes]] : []),
    ...(job.superseded_by ? [["Superseded by", job.superseded_by]] : []),
  ]);
  const files = [
    [job.links.result, "Result (JSON)", "stage, probabilities, intervals, provenance"],
    [job.links.result, "Report (PDF)", "one page to print", "application/pdf", "pdf"],
    [job.links.brain, "Brain (NIfTI)", "without skull, along the template's axes, lies on the volume you sent"],
    [job.links.explanation, "Evidence map (NIfTI)", "decided group, on the voxel grid of the volume you sent"],
    [job.links.overview, "All slices (PNG)", "with the evidence for the decided group"],
    ...(job.links.qc ? [[job.links.qc, "Quality sheet (PNG)", "brain and template outlined, every figure of the gate"]] : []),
  ];
  at("downloads").replaceChildren(...files.map((one) => download(job, one)));
}

// An address that answers in several formats is asked by fetch: a link cannot send an Accept header.
function download(job, [address, name, about, media, ending]) {
  const link = element("a", { href: address, textContent: name, download: "" });
  if (media) {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      const answer = await fetch(address, { headers: { Accept: media } });
      const held = URL.createObjectURL(await answer.blob());
      element("a", { href: held, download: `${job.id}.${ending}` }).click();
      setTimeout(() => URL.revokeObjectURL(held), 10_000);
    });
  }
  return element("li", {}, link, element("small", { textContent: about }));
}

function regions(found) {
  const most = Math.max(1, ...Object.values(found));
  return Object.entries(found).sort(([, one], [, other]) => other - one).map(([name, value]) => {
    const fill = element("div", { className: "fill" });
    fill.style.width = `${(100 * value) / most}%`;
    return element("div", { className: value > 1 ? "bar above" : "bar" },
      element("span", { textContent: name }), element("span", { className: "num", textContent: value.toFixed(2) }),
      element("div", { className: "track thin", ariaHidden: "true" }, fill));
  });
}
