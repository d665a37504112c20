// One pipeline or job: its state, its steps, live curves of training, checkpoints and log.
import { watch } from "./api.js";
import { Chart } from "./chart.js";
import { badge, bytes, clock, count, duration, element, isOver, originOf, progress, say, short, shortName, stateOf, table, took } from "./page.js";

const LOG_LINES = 2000, CHECKPOINTS = 20;
const METRICS = [
  ["loss", "Loss", { smooth: true }], ["learningRate", "Learning rate", {}], ["gradNorm", "Gradient norm", { smooth: true }],
  ["tokensPerSecond", "Tokens per second", { smooth: true }], ["memoryBytes", "Memory, largest rank", {}],
];

export class JobPage {
  constructor(main, signal, source) { Object.assign(this, { main, signal, source, training: new Map(), checkpoints: [], progress: new Map() }); }

  async run() {
    this.resource = await this.source.get();
    this.frame();
    this.draw();
    const timer = setInterval(() => this.refresh(), 1000);
    this.signal.addEventListener("abort", () => clearInterval(timer));
    for await (const update of watch(this.source.service, this.source.watch, `jobs/${this.source.name}`, this.signal)) {
      this.take(update.step ?? "", update.event ?? update);
      this.stale = true;
    }
    this.resource = await this.source.get();
    clearInterval(timer);
    this.draw();
    say(`${this.title} ${stateOf(this.resource.job.state)}`);
  }

  get title() { return this.resource.spec?.name || this.source.name; }

  frame() {
    this.parts = Object.fromEntries(["head", "steps", "curves", "saved"].map((name) => [name, element("section", {})]));
    this.log = element("div", { class: "log card", tabindex: "0", role: "log", "aria-label": "Log" });
    this.main.replaceChildren(...Object.values(this.parts), element("h2", {}, "Log"), this.log);
  }

  async refresh() {
    if (!this.stale || document.hidden) return;
    this.stale = false;
    if (this.moved) { this.moved = false; this.resource = await this.source.get().catch(() => this.resource); }
    this.draw();
  }

  take(step, e) {
    if (e.stateChanged) { this.moved = true; this.write(e.time, "info", step, stateOf(e.stateChanged)); }
    else if (e.progress) this.progress.set(step, e.progress);
    else if (e.log) this.write(e.time, e.log.severity.replace("SEVERITY_", "").toLowerCase(), step, e.log.message);
    else if (e.stepMetrics) this.measure(step, e.stepMetrics);
    else if (e.evaluation) {
      this.charts(step).loss.mark(Number(e.evaluation.step), e.evaluation.loss, "held-out");
      this.write(e.time, "info", step, `held-out loss ${short(e.evaluation.loss)} after step ${e.evaluation.step}${e.evaluation.isBest ? ", the best so far" : ""}`);
    } else if (e.checkpointCommitted) {
      this.checkpoints.push({ ...e.checkpointCommitted, time: e.time });
      this.write(e.time, "info", step, `checkpoint ${e.checkpointCommitted.checkpoint}`);
    }
  }

  charts(step) {
    if (!this.training.has(step)) this.training.set(step, Object.fromEntries(METRICS.map(([key, title, options]) => [key, new Chart(title, key === "memoryBytes" ? bytes : short, options)])));
    return this.training.get(step);
  }

  measure(step, metrics) {
    const charts = this.charts(step);
    for (const [key] of METRICS) charts[key].add(Number(metrics.step), Number(metrics[key]));
    charts.last = metrics;
    charts.pace = charts.pace ? charts.pace + (metrics.stepSeconds - charts.pace) / 20 : metrics.stepSeconds;
  }

  write(time, severity, step, text) {
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40;
    this.log.append(element("div", { class: severity }, element("time", { datetime: time }, new Date(time).toLocaleTimeString()), step ? `[${step}] ` : "", severity === "info" ? "" : `${severity}: `, text));
    if (this.log.childElementCount > LOG_LINES) this.log.firstElementChild.remove();
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  draw() {
    const { job, steps } = this.resource;
    document.title = `${this.title} · ${stateOf(job.state)} · Drover`;
    const button = (text, act, kind) => element("button", { type: "button", class: kind, onclick: () => this.act(act) }, text);
    const state = stateOf(job.state), trains = steps ? steps.some((s) => s.state === "JOB_STATE_RUNNING" && this.training.has(s.name)) : state === "running";
    const acts = isOver(job.state) ? [] : [
      ...(this.source.pause && ["queued", "running"].includes(state) ? [button("Pause", this.source.pause)] : []),
      ...(this.source.resume && state === "paused" ? [button("Resume", this.source.resume)] : []),
      ...(this.source.save && state === "running" && trains ? [button("Save a checkpoint", this.source.save)] : []),
      button("Stop", this.source.cancel, "danger")];
    const { pipeline, step } = originOf(job);
    this.put("head",
      element("h1", {}, this.title),
      ...(pipeline ? [element("p", {}, `Step ${step} of `, element("a", { href: `#/pipelines/${pipeline}` }, pipeline))] : []),
      element("p", {}, badge(job.state), element("span", { class: "soft" }, ` · ${job.name} · ${job.owner ? `for ${job.owner}${job.priority ? ` at priority ${job.priority}` : ""} · ` : ""}created ${clock(job.createTime)}${job.startTime ? ` · ${isOver(job.state) ? "took" : "for"} ${duration(job)}` : ""}${job.attempt > 1 ? ` · attempt ${job.attempt}` : ""}`)),
      ...(job.failure ? [element("p", { class: "failure", role: "alert" }, job.failure.message)] : []),
      ...(steps || isOver(job.state) ? [] : [element("p", {}, progress(this.progress.get("") ?? job.progress, this.title))]),
      ...(acts.length > 0 ? [element("p", { class: "acts" }, acts)] : []));
    if (steps) this.put("steps", element("h2", {}, "Steps"), table("Steps", ["Step", "State", "Progress", "Outputs"], steps.map((s) => [element("b", {}, s.job ? element("a", { href: `#/jobs/${shortName(s.job)}` }, s.name) : s.name), badge(s.state), s.state === "JOB_STATE_RUNNING" ? progress(this.progress.get(s.name), s.name) : "", Object.entries(s.outputs).map(([k, v]) => element("div", {}, element("span", { class: "soft" }, `${k} `), Number.isFinite(Number(v)) && v !== "" ? short(Number(v)) : v))]), ""));
    this.drawCurves();
    if (this.checkpoints.length > 0) this.put("saved", element("h2", {}, this.checkpoints.length > CHECKPOINTS ? `The newest ${CHECKPOINTS} of ${count(this.checkpoints.length)} checkpoints` : "Checkpoints"), table("Checkpoints, newest first", ["Checkpoint", "#Step", "#Size", "Published"], this.checkpoints.slice(-CHECKPOINTS).reverse().map((c) => [element("code", {}, c.checkpoint), count(c.step), bytes(c.sizeBytes), clock(c.time)]), ""));
  }

  async act(act) {
    try {
      await act();
      this.resource = await this.source.get();
      this.draw();
    } catch (e) { say(e.message); this.write(new Date().toISOString(), "error", "", e.message); }
  }

  drawCurves() {
    for (const [step, charts] of this.training) {
      if (!charts.section) {
        charts.figures = element("ul", { class: "figures" });
        charts.section = element("section", {}, element("h2", {}, step ? `Training: ${step}` : "Training"), charts.figures, element("div", { class: "charts" }, METRICS.map(([key]) => charts[key].figure)));
        // The newest training first: it is the one that runs.
        this.parts.curves.prepend(charts.section);
      }
      for (const [key] of METRICS) if (charts[key].points.length > 0) charts[key].draw();
      const m = charts.last, p = this.progress.get(step);
      const left = p ? (Number(p.total) - Number(m?.step ?? 0)) * charts.pace : 0;
      if (m) charts.figures.replaceChildren(...[["step", `${count(m.step)}${p && Number(p.total) > 0 ? ` of ${count(p.total)}` : ""}`], ["loss", short(m.loss)], ["tokens per second", count(m.tokensPerSecond)], ...(left > 0 && stateOf(this.resource.job.state) === "running" ? [["left", took(left)]] : []), ["tokens seen", short(Number(m.tokensSeen))], ...(m.mfu > 0 ? [["of the peak speed", `${(m.mfu * 100).toFixed(0)} %`]] : [])].map(([label, value]) => element("li", {}, element("span", { class: "soft" }, label), element("b", {}, value))));
    }
  }

  // Not touched while it is the same: a reader, and the keyboard's focus, keep their place.
  put(part, ...nodes) {
    const now = nodes.map((n) => n.outerHTML).join();
    if (this.parts[part].said === now) return;
    this.parts[part].said = now;
    this.parts[part].replaceChildren(...nodes);
  }
}
