// Asking the API: answers as data, problems as errors, lost connections told apart.

export class Problem extends Error {
  constructor(body) {
    super(body.detail);
    Object.assign(this, body);
  }
}

export async function ask(address, options = {}) {
  const answer = await fetch(address, options);
  if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`); // the session ended
  const body = await answer.json();
  if (!answer.ok) throw new Problem(body);
  return { body, wait: Number(answer.headers.get("Retry-After")) || 2 };
}

export const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// Calls `show` with each reading until `done` says so; a lost connection is told and tried again.
export async function watch(address, show, done, lost) {
  for (let failures = 0; ; ) {
    let wait = 1;
    try {
      const answer = await ask(address);
      failures = 0;
      lost(null);
      show(answer.body);
      if (done(answer.body)) return answer.body;
      wait = Math.min(answer.wait, 5);
    } catch (error) {
      if (error instanceof Problem && !error.retryable) throw error;
      failures += 1;
      lost(error);
      wait = Math.min(2 ** failures, 30);
    }
    await pause(wait);
  }
}

// The same by server-sent events; the browser reconnects by itself and tells the server what it saw last.
// A server that has no stream to spare, and a browser that gave up, are polled instead.
export function follow(job, show, done, lost) {
  return new Promise((resolve, reject) => {
    const stream = new EventSource(`${job.links.self}/events`);
    stream.addEventListener("job", (event) => {
      const now = JSON.parse(event.data);
      lost(null);
      show(now);
      if (!done(now)) return;
      stream.close();
      resolve(now);
    });
    stream.onerror = () => {
      if (stream.readyState === EventSource.CONNECTING) return lost(new Error("reconnecting"));
      stream.close();
      watch(job.links.self, show, done, lost).then(resolve, reject);
    };
  });
}

// fetch tells nothing about upload progress, so this is XMLHttpRequest.
export function upload(file, { key, fields }, onProgress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", file, "volume"); // the name may say who it is; the server needs no name
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/jobs");
    request.setRequestHeader("Idempotency-Key", key); // sent again after a broken connection, it makes no second job
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () =>
      request.status < 300
        ? resolve(request.response)
        : reject(new Problem(request.response ?? { detail: `HTTP ${request.status}`, retryable: request.status >= 500 }));
    request.onerror = () => reject(new Error("The connection broke off during the upload"));
    request.send(form);
  });
}
