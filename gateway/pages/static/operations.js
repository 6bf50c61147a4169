// The page for operators: one reading every two seconds, drawn as tiles, plots and tables.

import { ask } from "./api.js";
import { bars, lines } from "./plots.js";
import { element, seconds } from "./words.js";

const at = (id) => document.getElementById(id);
const EVERY = 2, KEPT = 300; // seconds between readings; readings kept: ten minutes
const STAGES = [["preprocess", "prepare"], ["infer", "score"], ["deliver", "webhooks"]];
const readings = [];

const whole = new Intl.NumberFormat();
const cell = (text, kind = "") => element("td", { className: kind, textContent: text });
const number = (value) => cell(value === null || value === undefined ? "–" : whole.format(value), "num");
const nothing = (columns, words) => element("tr", {}, element("td", { colSpan: columns, className: "faint", textContent: words }));
const fill = (id, rows, columns, words) => at(id)?.replaceChildren(...(rows.length ? rows : [nothing(columns, words)]));

// How often something happened in the last minute of readings, a minute; null before there are two.
function pace(now, count) {
  const first = readings.find((one) => now.at - one.at <= 60) ?? now;
  const span = now.at - first.at, [a, b] = [count(first), count(now)];
  return span > 0 && a !== null && b !== null ? Math.max(0, (60 * (b - a)) / span) : null;
}

// Jobs of a site scored a minute, over the last minute of readings.
function rate(now, site) {
  const found = pace(now, (one) => one.sites.find((row) => row.site === site)?.done.infer ?? 0);
  return found === null ? "–" : found.toFixed(1);
}

function tile(name, value, about, kind = "") {
  return element("div", { className: `tile ${kind}` }, element("span", { className: "faint", textContent: name }),
    element("strong", { textContent: value }), element("small", { className: "faint", textContent: about }));
}

function tiles(now) {
  const waiting = STAGES.slice(0, 2).reduce((sum, [stage]) => sum + now.stages[stage].waiting, 0);
  const oldest = Math.max(...STAGES.slice(0, 2).map(([stage]) => now.stages[stage].oldest_seconds));
  const ended = pace(now, (one) => (one.scope === "all" ? one.ended.succeeded : null));
  const silent = now.workers.filter((pool) => pool.silent).length;
  const failing = now.webhooks.length;
  at("tiles").replaceChildren(
    tile("Jobs waiting", whole.format(waiting), `oldest ${seconds(oldest)}`, oldest > 600 ? "bad" : ""),
    ...(now.scope === "all" ? [
      tile("At work", whole.format(STAGES.reduce((sum, [stage]) => sum + (now.stages[stage].running ?? 0), 0)), "jobs that workers hold"),
      tile("Done a minute", ended === null ? "–" : ended.toFixed(1), "over the last minute"),
      tile("Workers", whole.format(now.workers.length), silent ? `${silent} silent` : now.workers.length ? "all heard lately" : "nobody works", silent || !now.workers.length ? "bad" : "good"),
    ] : []),
    tile("Received, 1 h", whole.format(now.received_per_minute.reduce((a, b) => a + b, 0)), "jobs taken"),
    tile("Webhooks", failing ? `${failing} failing` : "fine", failing ? "see below" : "nothing failing", failing ? "bad" : "good"));
}

function plots() {
  const when = readings.map((one) => one.at);
  const series = (value) => STAGES.map(([stage, name]) => ({ name, values: readings.map((one) => value(one, stage)) }));
  lines(at("plot-depth"), when, series((one, stage) => one.stages[stage].waiting), whole.format);
  lines(at("plot-age"), when, series((one, stage) => one.stages[stage].oldest_seconds), (value) => seconds(value));
  lines(at("plot-pace"), when, series((one, stage) => one.paces[stage]), (value) => value.toFixed(1));
  bars(at("plot-taken"), readings.at(-1).received_per_minute);
}

function tables(now) {
  fill("site-rows", now.sites.map((one) => element("tr", {},
    element("th", { scope: "row", textContent: one.site }),
    ...STAGES.map(([stage]) => number(one.waiting[stage])),
    cell(seconds(Math.max(...Object.values(one.oldest_seconds))), "num"),
    cell(rate(now, one.site), "num"),
    ...["succeeded", "failed", "canceled", "expired"].map((state) => number(one.jobs[state])))), 10, "No site has sent anything yet.");
  fill("worker-rows", now.workers.map((one) => element("tr", {},
    element("th", { scope: "row", textContent: one.name }), cell(one.queues.join(", ")), number(one.slots), cell(seconds(one.up_seconds), "num"),
    element("td", {}, element("span", { className: `chip ${one.silent ? "bad" : "good"}`, textContent: one.silent ? `silent ${seconds(one.silent_seconds)}` : "lately" })))),
  5, "No worker has told that it is there: nothing is prepared or scored.");
  fill("hook-rows", now.webhooks.map((one) => element("tr", {},
    element("th", { scope: "row", textContent: one.site }), cell(one.url), number(one.failing), cell(one.disabled ? `disabled: ${one.disabled}` : one.last_error ?? ""))),
  4, "None: every latest delivery arrived.");
  if (at("drained")) at("drained").textContent = now.drained.length ? `Drained, takes nothing new: ${now.drained.join(", ")}` : "";
}

async function look() {
  try {
    const { body: now } = await ask("/v1/load");
    now.paces = Object.fromEntries(STAGES.map(([stage]) => [stage, pace(now, (one) => one.stages[stage].started)]));
    readings.push(now);
    if (readings.length > KEPT) readings.shift();
    tiles(now);
    plots();
    tables(now);
    at("heard").textContent = `As of ${new Date(now.at * 1000).toLocaleTimeString()}`;
    at("heard").className = "faint";
  } catch (error) {
    at("heard").textContent = `No figures: ${error.message}; trying again …`;
    at("heard").className = "wrong";
  }
  setTimeout(look, EVERY * 1000);
}

look();
