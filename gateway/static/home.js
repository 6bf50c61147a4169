// The first page: send volumes, watch them move, list what was sent.

import { ask, Problem, upload, watch } from "./api.js";
import { element, ENDED, moment, percent, plain, put, seconds, size, STATES } from "./words.js";

const at = (id) => document.getElementById(id);
const AT_ONCE = 2;
const waiting = [];
let sending = 0;
let oldest = null;

function line(file) {
  const item = element("li", {},
    element("span", { className: "name", textContent: file.name, title: file.name }),
    element("span", { className: "chip", textContent: "in the queue" }),
    element("progress", { max: 1, value: 0, ariaLabel: `Upload of ${file.name}` }),
    element("span", { className: "says", textContent: size(file.size) }));
  at("uploads").append(item);
  const [, chip, bar, says] = item.children;
  return { chip, bar, says };
}

function add(files) {
  const most = Number(at("drop").dataset.mostBytes);
  for (const file of files) {
    const shown = line(file);
    if (file.size > most) refuse(shown, new Error(`${size(file.size)}; at most ${size(most)} are taken`));
    else waiting.push([file, shown]);
  }
  pump();
}

function pump() {
  while (sending < AT_ONCE && waiting.length) {
    sending += 1;
    send(...waiting.shift()).finally(() => { sending -= 1; pump(); });
  }
}

function refuse({ chip, bar, says }, error) {
  chip.textContent = "refused";
  chip.className = "chip bad";
  bar.hidden = true;
  says.textContent = error.title ? `${error.title}: ${error.message}` : error.message;
}

async function send(file, shown) {
  shown.chip.textContent = "sending";
  try {
    const job = await upload(file, { priority: at("priority").value }, (share) => {
      shown.bar.value = share;
      shown.says.textContent = `${percent(share)} of ${size(file.size)}`;
    });
    shown.bar.removeAttribute("value");
    list();
    follow(job, shown); // not awaited: the next upload need not wait for this job
  } catch (error) {
    refuse(shown, error);
  }
}

async function follow(job, { chip, bar, says }) {
  const show = (now) => {
    put(chip, now.state);
    const parts = [element("a", { href: now.links.page, textContent: "Open the job" })];
    if (now.cache === "hit") parts.push(" · known volume, answered at once");
    if (now.progress.step) parts.push(` · ${plain(now.progress.step)}`);
    if (now.queue_position !== null) parts.push(` · ${now.queue_position} before it`);
    if (now.error) parts.push(` · ${now.error.title}: ${now.error.detail}`);
    says.replaceChildren(...parts);
    bar.hidden = ENDED.includes(now.state);
  };
  show(job);
  try {
    await watch(job.links.self, show, (now) => ENDED.includes(now.state), (error) => {
      if (error) says.textContent = "Connection lost, trying again …";
    });
  } catch (error) {
    refuse({ chip, bar, says }, error);
  }
  list();
}

function row(job) {
  const chip = element("span", { className: "chip" });
  put(chip, job.state);
  return element("tr", {},
    element("td", {}, chip),
    element("td", {}, element("a", { href: job.links.page }, element("code", { textContent: job.id.slice(4, 12) }))),
    element("td", { textContent: moment(job.created_at) }),
    element("td", { className: "wide faint", textContent: `${job.media}, ${size(job.size_bytes)}${job.cache === "hit" ? ", known" : ""}` }),
    element("td", { className: "wide num", textContent: job.timings.total === null ? "" : job.timings.total.toFixed(2) }));
}

async function list(after = null) {
  const query = new URLSearchParams({ limit: 20 });
  if (at("state").value) query.set("state", at("state").value);
  if (after) query.set("after", after);
  try {
    const { body } = await ask(`/v1/jobs?${query}`);
    const rows = body.jobs.map(row);
    if (after) at("jobs").append(...rows);
    else at("jobs").replaceChildren(...rows);
    if (!at("jobs").children.length) {
      const words = at("state").value ? `No job is ${STATES[at("state").value][0]}.` : "Nothing was sent yet.";
      at("jobs").append(element("tr", {}, element("td", { colSpan: 5, className: "faint", textContent: words })));
    }
    oldest = body.next;
    at("more").hidden = !oldest;
  } catch (error) {
    const words = error instanceof Problem ? error.message : "The gateway does not answer; trying again …";
    at("jobs").replaceChildren(element("tr", {}, element("td", { colSpan: 5, textContent: words })));
  }
}

const drop = at("drop");
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
drop.addEventListener("dragover", () => drop.classList.add("over"));
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => add(event.dataTransfer.files));
at("files").addEventListener("change", (event) => { add(event.target.files); event.target.value = ""; });
at("state").addEventListener("change", () => list());
at("more").addEventListener("click", () => list(oldest));
setInterval(() => { if (!document.hidden && at("jobs").children.length <= 20) list(); }, 10_000);
list();
