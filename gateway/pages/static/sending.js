// Files and folders on their way in: a queue, two uploads at a time, each with its own line.

import { ask, follow, pause, Problem, upload } from "./api.js";
import { element, ENDED, outcome, percent, plain, put, size } from "./words.js";

const AT_ONCE = 2;
const STREAMS = 2; // a browser opens six connections to one server; the rest is asked for in one list
const TRIES = 6;
const at = (id) => document.getElementById(id);
const waiting = [];
const listed = new Map(); // job id -> what shows its news
let sending = 0, streams = 0, arrived = () => {}, polling = false;

function line(file) {
  const name = file.path ?? file.name;
  const item = element("li", {},
    element("span", { className: "name", textContent: name, title: name }),
    element("span", { className: "chip", textContent: "in the queue" }),
    element("progress", { max: 1, value: 0, ariaLabel: `Upload of ${name}` }),
    element("span", { className: "says", textContent: size(file.size) }));
  at("uploads").append(item);
  const [, chip, bar, says] = item.children;
  return { name, chip, bar, says };
}

function tally() {
  const lines = [...at("uploads").children], count = (kind) => lines.filter((one) => one.querySelector(`.chip.${kind}`)).length;
  at("tally").textContent = lines.length > 1
    ? `${lines.length} files: ${count("good")} done, ${count("bad")} refused or failed, ${lines.length - count("good") - count("bad")} to go` : "";
}

function refuse({ chip, bar, says }, error) {
  chip.textContent = "refused";
  chip.className = "chip bad";
  bar.hidden = true;
  says.textContent = error.title ? `${error.title}: ${error.message}` : error.message;
  tally();
}

async function sent(file, shown) {
  const key = [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(16).padStart(8, "0")).join("");
  for (let tries = 1; ; tries++) {
    shown.chip.textContent = "sending";
    try {
      return await upload(file, { key, fields: { priority: at("priority").value, ...file.told } }, (share) => {
        shown.bar.value = share;
        shown.says.textContent = `${percent(share)} of ${size(file.size)}`;
      });
    } catch (error) {
      if ((error instanceof Problem && !error.retryable) || tries === TRIES) throw error;
      const wait = Math.min(2 ** tries, 20);
      shown.chip.textContent = "waiting to send again";
      shown.says.textContent = `${error.message}; sent again in ${wait} s`;
      shown.bar.value = 0;
      await pause(wait);
    }
  }
}

async function send(file, shown) {
  try {
    const job = await sent(file, shown);
    shown.bar.removeAttribute("value");
    remember(job.id, shown.name);
    arrived();
    news(job, shown);
  } catch (error) {
    refuse(shown, error);
  }
}

function pump() {
  while (sending < AT_ONCE && waiting.length) {
    sending += 1;
    send(...waiting.shift()).finally(() => { sending -= 1; pump(); });
  }
}

function tell(now, { chip, bar, says }) {
  put(chip, now.state);
  const parts = [element("a", { href: now.links.page, textContent: now.outcome ? outcome(now.outcome) : "Open the job" })];
  if (now.cache === "hit") parts.push(" · known volume, answered at once");
  if (now.progress?.step) parts.push(` · ${plain(now.progress.step)}`);
  if (now.queue_position) parts.push(` · ${now.queue_position} before it`);
  if (now.error) parts.push(` · ${now.error.title}: ${now.error.detail}`);
  says.replaceChildren(...parts);
  bar.hidden = ENDED.includes(now.state);
  tally();
}

async function news(job, shown) {
  tell(job, shown);
  if (ENDED.includes(job.state)) return arrived();
  if (streams >= STREAMS) {
    listed.set(job.id, shown);
    return poll();
  }
  streams += 1;
  try {
    await follow(job, (now) => tell(now, shown), (now) => ENDED.includes(now.state), (error) => {
      if (error) shown.says.textContent = "Connection lost, trying again …";
    });
  } catch (error) {
    refuse(shown, error);
  }
  streams -= 1;
  arrived();
}

async function poll() {
  if (polling) return;
  for (polling = true; listed.size; await pause(2)) {
    try {
      const { body } = await ask("/v1/jobs?limit=200");
      const found = new Map(body.jobs.map((job) => [job.id, job]));
      for (const [id, shown] of listed) {
        const job = found.get(id) ?? (await ask(`/v1/jobs/${id}`)).body;
        tell(job, shown);
        if (ENDED.includes(job.state)) { listed.delete(id); arrived(); }
      }
    } catch { /* the next round asks again */ }
  }
  polling = false;
}

// Names may say who somebody is, so they stay in this tab and end with it.
const NAMES = "hippocamp.names";
const names = () => JSON.parse(sessionStorage.getItem(NAMES) ?? "{}");
const remember = (id, name) => sessionStorage.setItem(NAMES, JSON.stringify({ ...names(), [id]: name }));
export const nameOf = (id) => names()[id] ?? "";

// Every file below a dropped folder, hidden ones left out.
async function within(entry, path = "") {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    file.path = `${path}${file.name}`;
    return file.name.startsWith(".") ? [] : [file];
  }
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map((one) => within(one, `${path}${entry.name}/`)))).flat();
}

export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  return entries.length ? (await Promise.all(entries.map((entry) => within(entry)))).flat() : [...transfer.files];
}

// What is told of a person goes with one volume, and is taken out of the form with it.
function told() {
  const form = at("covariates");
  if (!form.reportValidity()) return null;
  const given = ["age", "sex", "education", "mmse"].map((id) => [id, at(id).value]).filter(([, value]) => value !== "");
  return Object.fromEntries(given);
}

export function add(found) {
  const known = told(), files = found.filter((file) => !file.name.startsWith("."));
  const any = known && Object.keys(known).length > 0;
  if (known === null || (any && files.length > 1)) {
    at("known").open = true;
    at("tally").textContent = known === null ? "Mend what is told of the person first; nothing was sent."
      : "Age, sex, education and MMSE belong to one volume: send it alone. Nothing was sent.";
    return;
  }
  if (any) { files.forEach((file) => { file.told = known; }); at("covariates").reset(); }
  const most = Number(at("drop").dataset.mostBytes);
  for (const file of files) {
    if (file.webkitRelativePath) file.path = file.webkitRelativePath;
    const shown = line(file);
    if (file.size > most) refuse(shown, new Error(`${size(file.size)}; at most ${size(most)} are taken`));
    else if (!file.size) refuse(shown, new Error("The file is empty"));
    else waiting.push([file, shown]);
  }
  tally();
  pump();
}

export function whenArrived(call) { arrived = call; }
