// What is shown at each address. A view fills <main> and goes on until its signal is aborted.
import { call, Failure } from "./api.js";
import { badge, bytes, clock, count, duration, element, isOver, originOf, progress, say, short, shortName, table } from "./page.js";
import { JobPage } from "./job.js";

const link = (name, place = "jobs") => element("a", { href: `#/${place}/${shortName(name)}` }, shortName(name));
const wait = (milliseconds, signal) => new Promise((resolve) => { const timer = setTimeout(resolve, milliseconds); signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }); });

// Shows what `load` gives, again every few seconds while the page is looked at.
async function every(main, signal, seconds, load) {
  for (let before = ""; !signal.aborted; await wait(seconds * 1000, signal)) {
    if (document.hidden && before) continue;
    const nodes = await load();
    const now = nodes.map((n) => n.outerHTML).join();
    // Not touched while it is the same: a reader keeps its place.
    if (now !== before && !signal.aborted) main.replaceChildren(...nodes);
    before = now;
  }
}

export const pipelines = (main, signal) => every(main, signal, 3, async () => {
  const { pipelines } = await call("GatewayService", "ListPipelines", { pageSize: 50 }, signal);
  const rows = pipelines.map(({ job, spec, steps }) => {
    const done = steps.filter((s) => s.state === "JOB_STATE_SUCCEEDED").length;
    const now = steps.find((s) => s.state === "JOB_STATE_RUNNING" || s.state === "JOB_STATE_FAILED");
    return [element("a", { href: `#/pipelines/${shortName(job.name)}` }, element("b", {}, spec.name)), badge(job.state), element("span", {}, element("progress", { max: steps.length, value: done, "aria-label": `${spec.name}: ${done} of ${steps.length} steps` }), ` ${done} of ${steps.length}`), now?.name ?? "", clock(job.createTime), duration(job)];
  });
  return [element("h1", {}, "Pipelines"), table("Pipelines, newest first", ["Pipeline", "State", "Steps done", "Now", "Created", "Took"], rows, "No pipeline yet. Start one: drover run pipeline.yaml")];
});

const LISTS = [
  ["GatewayService", "ListPipelines", (a) => a.pipelines.map((p) => ({ ...p.job, title: p.spec.name }))], ["TokenizerService", "ListTokenizerJobs", (a) => a.jobs], ["DataPrepService", "ListDatasetBuilds", (a) => a.builds.map((b) => b.job)],
  ["TrainerService", "ListTrainingJobs", (a) => a.jobs.map((j) => j.job)], ["CheckpointService", "ListExports", (a) => a.exports.map((e) => e.job)],
  ["CheckpointService", "ListImports", (a) => a.imports.map((i) => i.job)],
];

export const jobs = (main, signal) => every(main, signal, 3, async () => {
  const silent = [];
  const lists = await Promise.all(LISTS.map(([service, method, of]) => call(service, method, { pageSize: 50 }, signal).then(of).catch((e) => {
    if (!(e instanceof Failure) || e.code < 500) throw e;
    silent.push(e.message);
    return [];
  })));
  const all = lists.flat().sort((a, b) => b.createTime.localeCompare(a.createTime));
  const titles = new Map(all.map((job) => [shortName(job.name), job.title]));
  const about = (job) => { const { pipeline, step } = originOf(job); return job.title ?? (pipeline ? `${step} of ${titles.get(pipeline) ?? pipeline}` : ""); };
  const rows = all.map((job) => [element("span", {}, link(job.name, job.kind === "pipeline" ? "pipelines" : "jobs"), element("div", { class: "soft" }, about(job))), `${job.owner}${job.priority ? ` (${job.priority})` : ""}`, badge(job.state), job.failure?.message ?? (isOver(job.state) ? "" : job.state === "JOB_STATE_QUEUED" && job.cores > 0 ? `waits for ${job.cores} cores, ${bytes(job.memoryBytes)}` : progress(job.progress, job.name)), `${job.attempt}`, clock(job.createTime), duration(job)]);
  const { workers } = await call("DataPrepService", "ListWorkers", {}, signal).catch(() => ({ workers: [] }));
  const working = workers.map((w) => [w.name, w.dataset || "waits for a task", w.dataset ? `${Number(w.task) + 1} of ${w.tasks}` : "", w.dataset ? progress({ stage: w.phase === "TASK_PHASE_SIGNATURES" ? "looking for duplicates" : "writing rows", done: w.doneBytes, total: w.totalBytes, unit: "bytes" }, w.name) : ""]);
  const hands = workers.length === 0 ? [] : [element("h2", {}, "Workers of data preparation"), table("Workers of data preparation", ["Worker", "Dataset", "Task", "Progress"], working, "")];
  return [element("h1", {}, "Jobs"), ...silent.map((text) => element("p", { class: "failure" }, text)), table("Jobs of all services, newest first", ["Job", "For", "State", "Progress", "#Attempt", "Created", "Took"], rows, "No job yet."), ...hands];
});

export const models = (main, signal) => every(main, signal, 10, async () => {
  const [{ models }, { checkpoints }] = await Promise.all([call("CheckpointService", "ListModels", { pageSize: 200 }, signal), call("CheckpointService", "ListCheckpoints", { pageSize: 200 }, signal)]);
  return [
    element("h1", {}, "Models"),
    table("Models", ["Model", "#Size", "Fetch it"], models.map((m) => [m.name, bytes(m.sizeBytes), element("code", {}, `drover pull ${m.name} ./${m.name.split("/").at(-1)}`)]), "No model yet. An export step of a pipeline makes one."),
    element("h2", {}, "Checkpoints"),
    table("Checkpoints", ["Checkpoint", "#Step", "#Size", "#Tokens seen", "#Loss", "#Held-out loss"], checkpoints.reverse().map((c) => [element("code", {}, c.name), count(c.step), bytes(c.sizeBytes), count(c.tokensSeen), short(c.loss), c.heldOutLoss === undefined ? "" : `${short(c.heldOutLoss)}${c.isBest ? ", the best" : ""}`]), "No checkpoint yet."),
  ];
});

export const keys = (main, signal) => every(main, signal, 10, async () => {
  const { keys } = await call("AccessService", "ListKeys", {}, signal);
  const until = (key) => key.revokeTime ? `revoked ${clock(key.revokeTime)}` : key.expireTime ? clock(key.expireTime) : "never expires";
  return [element("h1", {}, "Keys"), element("p", { class: "soft" }, "Made and revoked by the command line: ", element("code", {}, "drover keys create NAME"), ", ", element("code", {}, "drover keys revoke ID"), "."), table("Keys", ["Id", "Name", "Scopes", "Made", "Until"], keys.map((k) => [element("code", {}, k.id), k.name, k.scopes.join(", "), clock(k.createTime), until(k)]), "No key.")];
});

const KINDS = {
  pipeline: ["GatewayService", "Pipeline", "pipeline"], tokenizer: ["TokenizerService", "TokenizerTraining", "training", "TokenizerJob"], expansion: ["TokenizerService", "Expansion", "expansion", "TokenizerJob"],
  dataset: ["DataPrepService", "DatasetBuild", "build"], training: ["TrainerService", "TrainingJob", "job"], evaluation: ["TrainerService", "Evaluation", "evaluation"], export: ["CheckpointService", "Export", "export"],
  import: ["CheckpointService", "Import", "import"],
};

export async function job(main, signal, name) {
  const word = Object.keys(KINDS).find((k) => name.startsWith(k));
  if (!word) throw new Failure({ message: `There is no job '${name}'.` }, 404);
  const [service, resource, field, events = resource] = KINDS[word];
  const get = async () => (await call(service, `Get${resource}`, { name: `jobs/${name}` }, signal))[field];
  const cancel = async () => {
    if (!confirm(`Stop ${name}? What is finished stays.`)) return;
    await call(service, `Cancel${events}`, { name: `jobs/${name}` });
    say(`${name} is asked to stop`);
  };
  const act = (verb, done) => async () => { await call(service, `${verb}${resource}`, { name: `jobs/${name}` }); say(`${name} ${done}`); };
  const pausable = ["pipeline", "training"].includes(word) ? { pause: act("Pause", "is asked to pause"), resume: act("Resume", "goes on"), save: act("Save", "saves a checkpoint after its step") } : {};
  await new JobPage(main, signal, { service, watch: `Watch${events}`, get, cancel, name, ...pausable }).run();
}
