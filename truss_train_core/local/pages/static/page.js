// What every page does: it shows what the server's events bring, tells times, and sends what buttons ask for.

import { drawCharts } from "./charts.js";
import { LogView } from "./log.js";
import { startClock, tick } from "./times.js";

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
const here = location.pathname.replace(/\/$/, "");
const logElement = document.querySelector(".log");
const log = logElement && new LogView(logElement, `${here}/lines`);

// ---------------------------------------------------------------- what changes

const shows = {
  title: (text) => (document.title = text),
  curves: (value) => drawCharts(document.getElementById("curves"), value, "step"),
  machine: (value) => drawCharts(document.getElementById("machine"), value, "time"),
  log: (value) => log.grow(value),
  gone: (text) => {
    say(text);
    stream.close();
  },
};

/** Replace a part of the page, and leave focus and scrolling where they were. */
function showPart(id, html) {
  const part = document.getElementById(id);
  const focused = part.contains(document.activeElement) && keyOf(document.activeElement);
  const scrolled = part.querySelector(".tall")?.scrollTop;
  part.innerHTML = html;
  if (scrolled) part.querySelector(".tall").scrollTop = scrolled;
  if (focused) [...part.querySelectorAll("a, button")].find((element) => keyOf(element) === focused)?.focus();
  tick();
}

const keyOf = (element) => JSON.stringify([{ ...element.dataset }, element.getAttribute("href")]);

/** The stream of events. A page that nobody sees has none, as a browser keeps but a few connections to a host. */
const stream = {
  source: null,
  open() {
    if (this.source || document.hidden) return;
    this.source = new EventSource(meta("events") + location.search);
    this.source.onmessage = (event) => {
      const { name, value } = JSON.parse(event.data);
      if (name.startsWith("part:")) showPart(name.slice(5), value);
      else shows[name](value);
      live("live");
    };
    this.source.onerror = () => {
      if (this.source?.readyState !== EventSource.CLOSED) return live("away");
      this.close();
      setTimeout(() => this.open(), 3000);
      live("away");
    };
  },
  close() {
    this.source?.close();
    this.source = null;
  },
};

function live(state) {
  const element = document.getElementById("live");
  element.hidden = false;
  element.dataset.state = state;
  element.textContent = state === "live" ? "live" : "connecting…";
}

document.addEventListener("visibilitychange", () => (document.hidden ? stream.close() : stream.open()));

/** The tab of a page that is not in sight still tells how its job fares. */
setInterval(async () => {
  if (!document.hidden || !document.getElementById("timeline")) return;
  const answer = await fetch(`${here}/title`).catch(() => null);
  if (answer?.ok) document.title = await answer.text();
}, 15_000);

// ---------------------------------------------------------------- what buttons do

async function post(action, body) {
  const answer = await fetch(action.startsWith("/") ? action : `${here}/${action}`, {
    method: "POST",
    headers: { "X-Page-Token": meta("page-token"), "Content-Type": "application/json" },
    body,
  });
  const text = await answer.text();
  if (!answer.ok && action !== "ask") throw new Error(JSON.parse(text).message);
  return { ok: answer.ok, status: answer.status, text };
}

async function act(action, fields, button) {
  button.disabled = true;
  try {
    const { text } = await post(action, JSON.stringify(fields));
    const { go } = JSON.parse(text);
    if (go) location.assign(go);
  } catch (error) {
    say(error.message);
  } finally {
    button.disabled = false;
  }
}

function say(text) {
  document.querySelector(".toast")?.remove();
  const toast = Object.assign(document.createElement("div"), { className: "toast", textContent: text });
  toast.setAttribute("role", "alert");
  const close = Object.assign(document.createElement("button"), { type: "button", textContent: "×", ariaLabel: "Close" });
  close.onclick = () => toast.remove();
  toast.append(close);
  document.body.append(toast);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { post: action, sure, deploy, cancel } = button.dataset;
  if (deploy) openDeploy(deploy);
  else if (cancel !== undefined) button.closest("dialog").close();
  else if (action && (!sure || confirm(sure))) act(action, {}, button);
});

function openDeploy(checkpoint) {
  const dialog = document.getElementById("deploy");
  dialog.querySelector("[data-name]").textContent = checkpoint;
  dialog.querySelector("[name=checkpoint]").value = checkpoint;
  dialog.showModal();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.post) {
    act(form.dataset.post, Object.fromEntries(new FormData(form)), event.submitter);
  } else if ("ask" in form.dataset) {
    event.preventDefault();
    ask(form, event.submitter ?? form.querySelector("button"));
  } else if (form.matches(".search")) {
    event.preventDefault();
  }
});

async function ask(form, button) {
  const shown = form.querySelector("[data-answer]");
  button.disabled = true;
  try {
    const began = performance.now();
    const { ok, status, text } = await post("ask", form.body.value);
    shown.textContent = readable(text);
    shown.dataset.said = `${ok ? "" : `${status} · `}${Math.round(performance.now() - began)} ms`;
    shown.classList.toggle("bad", !ok);
  } catch (error) {
    shown.textContent = error.message;
    shown.classList.add("bad");
  }
  shown.hidden = false;
  button.disabled = false;
}

function readable(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// ---------------------------------------------------------------- searching lists, and keys

let typing;
document.querySelector(".search input")?.addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    const query = event.target.value.trim();
    history.replaceState(null, "", query ? `?q=${encodeURIComponent(query)}` : location.pathname);
    stream.close();
    stream.open();
  }, 200);
});

document.addEventListener("keydown", (event) => {
  const writing = event.target.matches("input, textarea, select");
  if (event.key === "/" && !writing) {
    event.preventDefault();
    document.querySelector('[data-key="/"]')?.focus();
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form?.dataset.ask !== undefined) {
    event.target.form.requestSubmit();
  }
});

startClock();
stream.open();
