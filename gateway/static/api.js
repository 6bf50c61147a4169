// Asking the API: answers as data, problems as errors, lost connections told apart.

export class Problem extends Error {
  constructor(body) {
    super(body.detail);
    Object.assign(this, body);
  }
}

export async function ask(address, options = {}) {
  const answer = await fetch(address, options);
  const body = await answer.json();
  if (!answer.ok) throw new Problem(body);
  return { body, wait: Number(answer.headers.get("Retry-After")) || 2 };
}

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
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}

// fetch tells nothing about upload progress, so this is XMLHttpRequest.
export function upload(file, fields, onProgress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append("file", file, "volume"); // the name may say who it is; the server needs no name
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/jobs");
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () =>
      request.status < 300 ? resolve(request.response) : reject(new Problem(request.response ?? { detail: `HTTP ${request.status}` }));
    request.onerror = () => reject(new Error("The connection broke off during the upload"));
    request.send(form);
  });
}
