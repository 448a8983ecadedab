// The server, as docs/studio-api.md describes it. Nothing else is ever asked for anything. Paths are relative to the
// page, which may be served under any path.

export class Refusal extends Error {
  constructor(status, { problems, code }, retryAfter) {
    super(problems.map(({ field, message }) => (field ? `${field}: ${message}` : message)).join("\n"));
    Object.assign(this, { status, code, problems, retryAfter });
  }
}

async function answer(response) {
  const told = await response.json().catch(() => null);
  if (response.ok && told) return told;
  const problems = told?.problems ?? [{ field: "", message: `The server answered ${response.status}.` }];
  throw new Refusal(response.status, { problems, code: told?.code ?? "unknown" }, response.headers.get("Retry-After"));
}

async function ask(path, options) {
  const unreachable = [{ field: "", message: "The server cannot be reached. Is it still running?" }];
  const response = await fetch(path, options).catch(() => {
    throw new Refusal(0, { problems: unreachable, code: "unreachable" });
  });
  return answer(response);
}

const get = (path) => ask(path);
const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });

export const models = () => get("api/models");
export const health = () => get("api/health");
export const formats = () => get("api/formats");
export const vocabularies = () => get("api/vocabularies");
export const examples = () => get("api/examples");
export const convert = (request) => post("api/convert", request);
export const generate = (request) => post("api/generate", request);
export const cancel = (job) => post(`api/jobs/${encodeURIComponent(job)}/cancel`);
export const status = (job) => get(`api/jobs/${encodeURIComponent(job)}`);
export const result = (job) => get(`api/jobs/${encodeURIComponent(job)}/result`);

export async function picture(path) {
  const response = await fetch(path);
  if (!response.ok)
    throw new Refusal(response.status, { problems: [{ field: "", message: "The picture is gone." }], code: "gone" });
  return response.blob();
}

const LAST = ["done", "failed", "cancelled"];

// Calls `tell(kind, data)` for every event of a job until its last; returns a function that stops listening.
export function listen(job, tell) {
  const source = new EventSource(`api/jobs/${encodeURIComponent(job)}/events`);
  for (const kind of ["queued", "progress", "preview", ...LAST]) {
    source.addEventListener(kind, (event) => {
      if (LAST.includes(kind)) source.close();
      tell(kind, JSON.parse(event.data));
    });
  }
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) tell("lost", {});
  });
  return () => source.close();
}
