// What the page asks its server.

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the playground doesn't answer: is `resift playground` still running?");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || `the playground answered with status ${response.status}`);
  return body;
}

const post = (path, data) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) });

export const state = () => ask("/api/state");
export const search = (request, reuse) => post("/api/search", { ...request, reuse });
export const explain = (request, id, confirmed) => post("/api/explain", { ...request, id, confirmed });
export const mark = (request, id, given) => post("/api/mark", { ...request, id, mark: given });
export const code = (request) => post("/api/code", request);
