// The first page: send volumes, watch them move, find what was sent.

import { ask, Problem } from "./api.js";
import { add, dropped, nameOf, whenArrived } from "./sending.js";
import { element, moment, outcome, put, seconds, size } from "./words.js";

const at = (id) => document.getElementById(id);
const before = []; // cursors of the pages passed; the last one is that of this page
let following = null, turn = 0;

function row(job) {
  const chip = element("span", { className: "chip" });
  put(chip, job.state);
  const name = nameOf(job.id);
  const answer = job.outcome ? outcome(job.outcome) : job.error ? job.error.title : "";
  return element("tr", {},
    element("td", {}, chip),
    element("td", {}, element("a", { href: job.links.page }, element("code", { textContent: job.id.slice(4, 12) })),
      ...(name ? [element("small", { className: "faint under", textContent: name, title: name })] : [])),
    element("td", { className: job.outcome?.uncertain ? "faint" : "", textContent: answer }),
    element("td", { textContent: moment(job.created_at) }),
    element("td", { className: "wide faint", textContent: `${job.media}, ${size(job.size_bytes)}${job.cache === "hit" ? ", known" : ""}` }),
    element("td", { className: "wide num", textContent: job.timings.total === null ? "" : seconds(job.timings.total) }));
}

const message = (text) => element("tr", {}, element("td", { colSpan: 6, className: "faint", textContent: text }));

function query() {
  const asked = new URLSearchParams({ limit: 20 });
  for (const [name, id] of [["state", "state"], ["priority", "urgency"]]) if (at(id).value) asked.set(name, at(id).value);
  const text = at("search").value.replace(/[^A-Za-z0-9_.]/g, "");
  if (text.length > 1) asked.set("q", text);
  if (before.length) asked.set("after", before.at(-1));
  return asked;
}

async function list() {
  const mine = ++turn, asked = query();
  try {
    const { body } = await ask(`/v1/jobs?${asked}`);
    if (mine !== turn) return;
    const filtered = asked.has("state") || asked.has("priority") || asked.has("q");
    at("jobs").replaceChildren(...(body.jobs.length ? body.jobs.map(row) : [message(filtered ? "No job is like this." : "Nothing was sent yet.")]));
    following = body.next;
  } catch (error) {
    if (mine !== turn) return;
    at("jobs").replaceChildren(message(error instanceof Problem ? error.message : "The gateway does not answer; trying again …"));
  }
  at("older").disabled = !following;
  at("newer").disabled = !before.length;
  at("page").textContent = `Page ${before.length + 1}`;
}

function anew() { before.length = 0; following = null; list(); }

const drop = at("drop");
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
drop.addEventListener("dragover", () => drop.classList.add("over"));
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
drop.addEventListener("drop", async (event) => add(await dropped(event.dataTransfer)));
for (const id of ["files", "folder"]) at(id).addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
for (const id of ["state", "urgency"]) at(id).addEventListener("change", anew);
let typing;
at("search").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(anew, 250); });
at("find").addEventListener("submit", (event) => { event.preventDefault(); anew(); });
at("older").addEventListener("click", () => { before.push(following); list(); });
at("newer").addEventListener("click", () => { before.pop(); list(); });
whenArrived(() => { if (!before.length) list(); });
setInterval(() => { if (!document.hidden && !before.length) list(); }, 10_000);
list();
