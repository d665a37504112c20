// Calls of the JSON API. The key lives in this tab only; an address may carry it once, before the place (drover dashboard).

const carried = /^#key=(drover_\w+)(\/.*)?$/.exec(location.hash);
if (carried) {
  sessionStorage.setItem("key", carried[1]);
  history.replaceState(null, "", `/#${carried[2] ?? "/"}`);
}

export class Failure extends Error {
  constructor(status, code) { super(status.message ?? String(status)); this.code = code; }
}

export const hasKey = () => sessionStorage.getItem("key") !== null;
export const setKey = (key) => key ? sessionStorage.setItem("key", key) : sessionStorage.removeItem("key");

async function post(service, method, request, signal) {
  const headers = { "content-type": "application/json" };
  if (hasKey()) headers.authorization = `Bearer ${sessionStorage.getItem("key")}`;
  const room = service.replace(/Service$/, "").toLowerCase();
  const answer = await fetch(`/v1/rpc/drover.${room === "access" ? "gateway" : room}.v1.${service}/${method}`, { method: "POST", headers, body: JSON.stringify(request), signal });
  if (!answer.ok) throw new Failure(await answer.json().catch(() => ({ message: `HTTP ${answer.status}` })), answer.status);
  return answer;
}

export const call = async (service, method, request = {}, signal = undefined) => (await post(service, method, request, signal)).json();

// Events from a revision on, until the job ends. A connection that breaks is made again from the newest revision that was seen.
export async function* watch(service, method, name, signal) {
  for (let revision = 0, wait = 500; ;) {
    try {
      const reader = (await post(service, method, { name, fromRevision: revision }, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ;) {
        const { done, value } = await reader.read();
        if (done) return;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          const { event, error } = JSON.parse(line);
          if (error) throw new Failure(error, 503);
          revision = Number(event.revision);
          wait = 500;
          yield event;
        }
      }
    } catch (e) {
      if (signal.aborted || (e instanceof Failure && e.code < 500)) throw e;
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(wait * 2, 8000);
    }
  }
}
