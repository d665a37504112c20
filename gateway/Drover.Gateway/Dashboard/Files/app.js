// Addresses to views, the key, and the health of the services in the header.
import { call, Failure, hasKey, setKey } from "./api.js";
import { element, say } from "./page.js";
import * as views from "./views.js";

const main = document.getElementById("content");
let leaving = new AbortController();

function ask(reason) {
  const input = element("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "hint" });
  main.replaceChildren(
    element("h1", {}, "Your key, please"),
    element("p", { id: "hint" }, reason, element("br", {}), "On the machine of the gateway, ", element("code", {}, "drover dashboard"), " prints an address that brings one along; others get theirs from ", element("code", {}, "drover keys create"), "."),
    element("form", { class: "card", onsubmit: (e) => { e.preventDefault(); setKey(input.value.trim()); show(); health(); } }, element("label", { for: "key" }, "Key"), input, element("button", { type: "submit" }, "Look")));
  input.focus();
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [place = "", name = ""] = location.hash.replace(/^#\/?/, "").split("/");
  document.title = "Drover";
  for (const a of document.querySelectorAll("nav a")) {
    if ((a.hash.replace(/^#\/?/, "") || "pipelines") === (place || "pipelines")) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  document.getElementById("leave").hidden = !hasKey();
  main.setAttribute("aria-busy", "true");
  try {
    const view = name ? views.job(main, signal, name) : ({ jobs: views.jobs, models: views.models, keys: views.keys }[place] ?? views.pipelines)(main, signal);
    setTimeout(() => main.removeAttribute("aria-busy"), 400);
    await view;
  } catch (e) {
    if (signal.aborted) return;
    if (e instanceof Failure && e.code === 401) { setKey(null); ask(e.message); }
    else main.replaceChildren(element("h1", {}, e instanceof Failure ? "That did not work" : "The gateway does not answer"), element("p", { class: "failure", role: "alert" }, e.message), element("button", { type: "button", onclick: show }, "Try again"));
  }
}

async function health() {
  const list = document.getElementById("services");
  try {
    const { services } = await call("GatewayService", "GetStatus");
    const down = services.filter((s) => !s.serving).map((s) => s.service).join(", ");
    if (down && list.dataset.down !== down) say(`not serving: ${down}`);
    list.dataset.down = down;
    list.replaceChildren(...services.map((s) => element("li", { class: s.serving ? undefined : "down", title: s.address }, s.serving ? s.service : `${s.service}: ${s.message}`)));
  } catch (e) {
    list.replaceChildren(...(e instanceof Failure ? [] : [element("li", { class: "down" }, "gateway: does not answer")]));
  }
}

document.getElementById("leave").addEventListener("click", () => { setKey(null); show(); });
window.addEventListener("hashchange", () => { show(); main.focus(); });
show();
health();
setInterval(() => { if (!document.hidden && hasKey()) health(); }, 5000);
