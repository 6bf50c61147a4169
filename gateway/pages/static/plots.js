// Small plots in SVG: lines over time and bars; colours are classes, so that the sheet themes them.

const SPACE = "http://www.w3.org/2000/svg";
const [WIDE, HIGH, LEFT, LOW] = [560, 190, 46, 22];

function part(tag, attributes, text) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A round number at or above value: 1, 2 or 5 times a power of ten.
function above(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value);
}

function frame(about, top, say) {
  const svg = part("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": about });
  for (const share of [0, 0.5, 1]) {
    const y = HIGH - LOW - share * (HIGH - LOW - 10);
    svg.append(part("line", { class: "grid", x1: LEFT, x2: WIDE - 8, y1: y, y2: y }), part("text", { x: LEFT - 6, y: y + 4, class: "tick end" }, say(top * share)));
  }
  return svg;
}

const y = (value, top) => HIGH - LOW - (value / top) * (HIGH - LOW - 10);

export function lines(box, when, series, say) {
  const values = series.flatMap((one) => one.values).filter((value) => value !== null);
  const top = above(Math.max(1, ...values)), span = Math.max(60, when.at(-1) - when[0]), end = when.at(-1);
  const latest = series.map((one) => `${one.name} ${one.values.at(-1) === null ? "–" : say(one.values.at(-1))}`);
  const svg = frame(latest.join(", "), top, say);
  const x = (at) => WIDE - 8 - ((end - at) / span) * (WIDE - 8 - LEFT);
  series.forEach((one, n) => {
    const points = one.values.map((value, k) => (value === null ? null : `${x(when[k]).toFixed(1)},${y(value, top).toFixed(1)}`)).filter(Boolean);
    svg.append(part("polyline", { class: `line s${n}`, points: points.join(" ") }));
    if (points.length) { const [a, b] = points.at(-1).split(","); svg.append(part("circle", { class: `dot s${n}`, cx: a, cy: b, r: 3 })); }
  });
  svg.append(part("text", { x: LEFT, y: HIGH - 5, class: "tick" }, span < 120 ? `${Math.round(span)} s ago` : `${Math.round(span / 60)} min ago`), part("text", { x: WIDE - 8, y: HIGH - 5, class: "tick end" }, "now"));
  box.replaceChildren(svg, legend(latest));
}

function legend(latest) {
  const list = document.createElement("ul");
  list.className = "keys";
  list.append(...latest.map((words, n) => {
    const item = document.createElement("li"), mark = document.createElement("i");
    mark.className = `s${n}`;
    item.append(mark, words);
    return item;
  }));
  return list;
}

export function bars(box, counts) {
  const top = above(Math.max(1, ...counts)), step = (WIDE - 8 - LEFT) / counts.length;
  const svg = frame(`${counts.reduce((a, b) => a + b, 0)} in the hour, ${counts.at(-1)} in the last minute`, top, (value) => String(Math.round(value)));
  counts.forEach((count, n) => {
    if (count) svg.append(part("rect", { class: "block", x: LEFT + n * step + 0.5, width: step - 1, y: y(count, top), height: HIGH - LOW - y(count, top) }));
  });
  svg.append(part("text", { x: LEFT, y: HIGH - 5, class: "tick" }, "60 min ago"), part("text", { x: WIDE - 8, y: HIGH - 5, class: "tick end" }, "now"));
  box.replaceChildren(svg);
}
