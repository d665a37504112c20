// Small parts of the page, and how numbers are written. Text goes in as text, never as HTML.

export function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export const say = (text) => { document.getElementById("said").textContent = text; };

export const stateOf = (state) => (state ?? "").replace("JOB_STATE_", "").toLowerCase();
export const isOver = (state) => ["succeeded", "failed", "cancelled"].includes(stateOf(state));
export const badge = (state) => element("span", { class: `state ${stateOf(state)}` }, stateOf(state));

export const count = (value) => Number(value ?? 0).toLocaleString("en-US", { maximumFractionDigits: 0 });
// `more` digits than usual, where values would look alike.
export const short = (value, more = 0) => {
  const size = Math.abs(value);
  return size === 0 ? "0" : size >= 1e9 ? `${(value / 1e9).toPrecision(3 + more)}G` : size >= 1e6 ? `${(value / 1e6).toPrecision(3 + more)}M` : size >= 1e4 ? `${(value / 1e3).toPrecision(3 + more)}k` : size < 1e-2 ? value.toExponential(1 + more) : String(Number(value.toPrecision(4 + more)));
};
export const bytes = (value, more = 0) => {
  let size = Number(value ?? 0), unit = 0;
  for (; size >= 1000 && unit < 4; unit++) size /= 1000;
  return `${unit === 0 ? size : size.toPrecision(3 + more)} ${["B", "kB", "MB", "GB", "TB"][unit]}`;
};
export const clock = (time) => time ? new Date(time).toLocaleString(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false }) : "";
export const took = (seconds) => seconds < 60 ? `${Math.round(seconds)} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s` : `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;
export const duration = (job) => job.startTime ? took((new Date(job.endTime ?? Date.now()) - new Date(job.startTime)) / 1000) : "";
export const shortName = (name) => name.replace(/^jobs\//, "");
// The pipeline and the step that made a job; nothing for others. A step's request id is "jobs/<pipeline>/<step>".
export const originOf = (job) => { const [, pipeline, step] = /^jobs\/(pipeline-[^/]+)\/(.+)$/.exec(job.requestId ?? "") ?? []; return { pipeline, step }; };

export function progress(p, name) {
  if (!p || !p.stage) return "";
  const total = Number(p.total), done = Number(p.done);
  const text = `${p.stage}${total > 0 ? ` ${p.unit === "bytes" ? `${bytes(done)} of ${bytes(total)}` : `${count(done)} of ${count(total)}`}` : ""}${Number(p.remainingSeconds) > 0 ? `, ${took(Number(p.remainingSeconds))} left` : ""}`;
  return total > 0 ? element("span", {}, element("progress", { max: total, value: done, "aria-label": `${name}: ${text}` }), " ", text) : text;
}

export function table(caption, columns, rows, empty) {
  if (rows.length === 0) return element("p", { class: "soft card" }, empty);
  // Roles, because on a narrow screen the style makes blocks of rows, and browsers then forget that it is a table.
  return element("div", { class: "scroll" }, element("table", { role: "table" },
    element("caption", { class: "unseen" }, caption),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, columns.map((c) => element("th", { role: "columnheader", scope: "col", class: c.startsWith("#") ? "number" : undefined }, c.replace("#", ""))))),
    element("tbody", { role: "rowgroup" }, rows.map((row) => element("tr", { role: "row" }, row.map((cell, i) => element("td", { role: "cell", "data-column": columns[i].replace("#", ""), class: columns[i].startsWith("#") ? "number" : undefined }, cell)))))));
}
