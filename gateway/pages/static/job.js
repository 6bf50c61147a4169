// The page of one job: follow it through the stages, then show the answer and the brain.

import { ask, follow, Problem } from "./api.js";
import { showAnswer } from "./answer.js";
import { nameOf } from "./sending.js";
import { openViewer } from "./viewer.js";
import { CLASSES, element, ENDED, plain, put, seconds } from "./words.js";

const at = (id) => document.getElementById(id);
const id = at("job").dataset.job, address = `/v1/jobs/${id}`;
const STEPS = [["queued", "Received"], ["preprocessing", "Prepare"], ["queued_infer", "Wait for model"], ["inferring", "Score"], ["succeeded", "Done"]];

function reached(job) {
  const direct = STEPS.findIndex(([state]) => state === job.state);
  if (direct >= 0) return direct;
  return job.stage === "infer" ? 3 : 1; // ended early: at the stage it was in
}

function showSteps(job) {
  const now = reached(job), early = ENDED.includes(job.state) && job.state !== "succeeded";
  at("steps").replaceChildren(...STEPS.map(([, name], n) => {
    const kind = job.state === "succeeded" || n < now ? "done" : n > now ? "" : early ? "stop" : "now";
    const item = element("li", { className: kind }, name);
    if (n === now && job.progress.step) item.append(element("small", { textContent: plain(job.progress.step) }));
    if (kind === "now" || kind === "stop") item.setAttribute("aria-current", "step");
    return item;
  }));
}

function place(job) {
  if (ENDED.includes(job.state)) return "";
  const parts = [];
  if (job.queue_position !== null) parts.push(job.queue_position ? `${job.queue_position} before this one` : "next in line");
  if (job.eta_seconds !== null) parts.push(job.eta_seconds < 1 ? "a moment left" : `about ${seconds(job.eta_seconds)} left`);
  if (job.attempt > 1) parts.push(`try ${job.attempt}`);
  return parts.join(" · ");
}

function alarm(...children) {
  at("failure").replaceChildren(element("div", { className: "alert bad" }, ...children));
}

function show(job) {
  put(at("chip"), job.state);
  showSteps(job);
  at("place").textContent = place(job);
  at("cancel").hidden = ENDED.includes(job.state);
  if (job.error) {
    alarm(element("p", {}, element("strong", { textContent: job.error.title })),
      element("p", { textContent: job.error.detail }),
      element("p", {}, element("a", { href: job.error.type, textContent: job.error.code }), ` · trace ${job.error.trace_id}`));
  }
}

function showPicture(card, image, source) {
  at(image).addEventListener("error", () => { at(card).hidden = true; });
  at(image).src = source;
  at(card).hidden = false;
}

async function open() {
  at("name").textContent = nameOf(id);
  const { body: first } = await ask(address);
  show(first);
  const job = ENDED.includes(first.state) ? first : await follow(first, show, (one) => ENDED.includes(one.state), (error) => {
    if (error) at("place").textContent = "Connection lost, trying again …";
  });
  if (job.links.qc) showPicture("sheet-card", "sheet", job.links.qc);
  if (job.state !== "succeeded") return;
  const { body: result } = await ask(job.links.result);
  showAnswer(result, job);
  at("answer").hidden = false;
  showPicture("overview-card", "overview", job.links.overview);
  await openViewer(job.links, CLASSES.find(([, cdr]) => cdr === result.cdr)[0]);
}

at("cancel").addEventListener("click", async () => {
  await ask(`${address}/cancel`, { method: "POST" }).catch(() => {}); // the next reading tells what became of it
});

open().catch((error) => {
  const words = error instanceof Problem ? `${error.title}: ${error.message}` : `The page could not be filled: ${error.message}`;
  alarm(element("p", { textContent: words }));
});
