// A curve as SVG, with a cursor that the pointer and the arrow keys move; what it stands on is written out, for eyes and screen readers.
import { element } from "./page.js";

const W = 440, H = 190, LEFT = 52, RIGHT = 10, TOP = 10, BOTTOM = 24;
const svg = (name, attributes, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

export class Chart {
  // shown(value) writes a value; smooth draws the mean of the points around over the faint points themselves.
  constructor(title, shown, { smooth = false } = {}) {
    Object.assign(this, { title, shown, smooth, points: [], marks: [], at: -1 });
    this.output = element("output", {});
    this.svg = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", tabindex: "0" });
    this.legend = element("span", { class: "legend" });
    this.figure = element("figure", { class: "chart card" }, element("figcaption", {}, element("span", {}, title, this.legend), this.output), this.svg);
    this.svg.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[e.key];
      if (step === undefined || this.points.length === 0) return;
      e.preventDefault();
      this.move(Math.max(0, Math.min(this.points.length - 1, (this.at < 0 ? this.points.length - 1 : this.at) + step)), true);
    });
    this.svg.addEventListener("pointermove", (e) => {
      const box = this.svg.getBoundingClientRect();
      const x = (e.clientX - box.left) / box.width * W;
      let best = 0;
      this.points.forEach((p, i) => { if (Math.abs(this.x(p[0]) - x) < Math.abs(this.x(this.points[best][0]) - x)) best = i; });
      if (this.points.length > 0) this.move(best, false);
    });
    this.svg.addEventListener("pointerleave", () => this.move(-1, false));
  }

  add(x, y) {
    if (!Number.isFinite(y)) return;
    // Steps that an attempt did again replace those of the attempt before.
    while (this.points.length > 0 && this.points.at(-1)[0] >= x) this.points.pop();
    this.points.push([x, y]);
    this.dirty = true;
  }

  mark(x, y, what) { this.marks.push([x, y]); this.legend.textContent = what; this.dirty = true; }

  x(value) { return LEFT + (value - this.minX) / (this.maxX - this.minX || 1) * (W - LEFT - RIGHT); }
  y(value) { return H - BOTTOM - (value - this.minY) / (this.maxY - this.minY || 1) * (H - TOP - BOTTOM); }

  draw() {
    if (!this.dirty) return;
    this.dirty = false;
    const all = [...this.points, ...this.marks], ys = all.map((p) => p[1]);
    [this.minX, this.maxX] = [Math.min(...all.map((p) => p[0])), Math.max(...all.map((p) => p[0]))];
    [this.minY, this.maxY] = [Math.min(...ys), Math.max(...ys)];
    if (this.minY === this.maxY) { this.minY -= Math.abs(this.minY) * .1 || 1; this.maxY += Math.abs(this.maxY) * .1 || 1; }
    const nodes = [], ticks = [0, 1, 2, 3].map((i) => this.minY + (this.maxY - this.minY) * i / 3);
    let labels = ticks.map((value) => this.shown(value));
    for (let more = 1; more <= 2 && new Set(labels).size < ticks.length; more++) labels = ticks.map((value) => this.shown(value, more));
    ticks.forEach((value, i) => {
      const y = this.y(value);
      nodes.push(svg("line", { class: "axis", x1: LEFT, x2: W - RIGHT, y1: y, y2: y }), svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, labels[i]));
    });
    nodes.push(svg("text", { x: LEFT, y: H - 6 }, `step ${this.minX}`), svg("text", { x: W - RIGHT, y: H - 6, "text-anchor": "end" }, `${this.maxX}`));
    const line = (points) => points.map((p) => `${this.x(p[0]).toFixed(1)},${this.y(p[1]).toFixed(1)}`).join(" ");
    const window = Math.max(1, Math.floor(this.points.length / 40));
    if (this.smooth && window > 1) {
      const sums = [0], half = window >> 1, last = this.points.length - 1;
      for (const [, y] of this.points) sums.push(sums.at(-1) + y);
      // As many points before as after, or the curve would lag behind.
      const mean = (i) => { const side = Math.min(half, i, last - i); return (sums[i + side + 1] - sums[i - side]) / (2 * side + 1); };
      nodes.push(svg("polyline", { class: "faint", points: line(this.points) }), svg("polyline", { class: "curve", points: line(this.points.map(([x], i) => [x, mean(i)])) }));
    } else {
      nodes.push(svg("polyline", { class: "curve", points: line(this.points) }));
    }
    nodes.push(...this.marks.map((p) => svg("circle", { class: "mark", cx: this.x(p[0]), cy: this.y(p[1]), r: 3.5 })));
    this.cursor = svg("g", {});
    this.svg.replaceChildren(...nodes, this.cursor);
    const [first, last] = [this.points[0], this.points.at(-1)];
    this.svg.setAttribute("aria-label", !last ? `${this.title}: nothing yet` : `${this.title}: ${this.shown(first[1])} at step ${first[0]}, ${this.shown(last[1])} at step ${last[0]}, lowest ${this.shown(Math.min(...this.points.map((p) => p[1])))}. Arrow keys read single steps.`);
    this.move(this.at < this.points.length ? this.at : -1, false);
  }

  move(at, aloud) {
    this.at = at;
    const point = this.points[at] ?? this.points.at(-1);
    this.output.textContent = point ? `step ${point[0]}: ${this.shown(point[1])}` : "";
    this.output.setAttribute("aria-live", aloud ? "polite" : "off");
    this.cursor?.replaceChildren(...(at < 0 || !point ? [] : [svg("line", { class: "cursor", x1: this.x(point[0]), x2: this.x(point[0]), y1: TOP, y2: H - BOTTOM }), svg("circle", { class: "dot", cx: this.x(point[0]), cy: this.y(point[1]), r: 4 })]));
  }
}
