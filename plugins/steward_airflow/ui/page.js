// One page: its fragment is loaded, given life, and loaded again after a change.

import { livenForms, tell } from "./forms.js";
import { insideAirflow } from "./places.js";
import { Problem, fetchText } from "./requests.js";
import { livenTables } from "./tables.js";

let look;

// The same sheet for every page, fetched once.
function theLook() {
  look ??= fetchText("steward/ui/look.css").then((text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    return sheet;
  });
  look.catch(() => (look = undefined));
  return look;
}

// → what React calls when the page is left.
export function open(host, where, navigate) {
  const page = new Page(host, where, navigate);
  page.start();
  return () => page.close();
}

class Page {
  constructor(host, where, navigate) {
    Object.assign(this, { host, where, navigate });
    this.root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    this.leaving = new AbortController();
    this.turn = 0;
    this.note = element("p", { className: "note", tabIndex: -1 });
    this.note.setAttribute("role", "status");
    this.content = element("div", { className: "page" });
    this.root.replaceChildren(this.note, this.content);
  }

  start() {
    const { signal } = this.leaving;
    this.content.addEventListener("click", (event) => this.clicked(event), { signal });
    this.note.addEventListener("click", (event) => this.clicked(event), { signal });
    followTheme(this.host, signal);
    theLook().then((sheet) => (this.root.adoptedStyleSheets = [sheet])).catch(() => {});
    if (this.where.nothing) {
      this.tell("This DAG belongs to no model.", "The Model tab shows what Steward knows of a model's DAGs.");
    } else {
      this.load("Loading…");
    }
  }

  close() {
    this.leaving.abort();
    clearTimeout(this.timer);
  }

  // After a change: what was said about it stays on the page, and is read out.
  async reload(said) {
    await this.load("");
    this.tell(said.text, "", said.action);
    this.note.classList.toggle("bad", Boolean(said.bad));
    this.note.focus();
  }

  // Of several loads the last counts; a `quiet` one, which nobody asked for, takes away nothing that is in use.
  async load(words, quiet = false) {
    const turn = ++this.turn;
    const late = () => this.leaving.signal.aborted || turn !== this.turn;
    if (words) this.tell(words);
    this.content.setAttribute("aria-busy", "true");
    try {
      const [text] = await Promise.all([fetchText(this.where.address, this.leaving.signal), theLook()]);
      if (late() || (quiet && this.inUse())) return;
      this.show(text);
      this.tell("");
    } catch (problem) {
      if (!late()) this.fail(problem);
    } finally {
      if (!late()) {
        this.content.setAttribute("aria-busy", "false");
        this.wait();
      }
    }
  }

  show(text) {
    const before = placeOf(this.content, this.root.activeElement);
    const opened = new Set([...this.content.querySelectorAll("details[open]")].map(nameOf));
    const fresh = document.createElement("template");
    fresh.innerHTML = text;
    this.content.replaceChildren(fresh.content);
    for (const details of this.content.querySelectorAll("details")) details.open ||= opened.has(nameOf(details));
    this.liven(this.content);
    focusOn(this.content, before);
  }

  liven(part) {
    livenTables(part);
    livenForms(part, this);
    watchWidths(part);
    for (const details of part.querySelectorAll("details[data-load]")) {
      const fill = () => details.open && this.fill(details, details.dataset.load);
      details.addEventListener("toggle", fill);
      fill();
    }
  }

  // Loads a part of the page when somebody wants to see it.
  async fill(place, address) {
    if (place.dataset.filled === address) return;
    place.dataset.filled = address;
    const panel = place.querySelector(":scope > .loaded") ?? place.appendChild(element("div", { className: "loaded" }));
    panel.setAttribute("role", "status");
    panel.textContent = "Loading…";
    try {
      panel.innerHTML = await fetchText(address, this.leaving.signal);
      this.liven(panel);
    } catch (problem) {
      delete place.dataset.filled;
      if (!this.leaving.signal.aborted) tell(panel, problem.message, problem.hint, problem.action);
    } finally {
      panel.removeAttribute("role");
    }
  }

  clicked(event) {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const href = link.getAttribute("href");
    if (href.startsWith("#")) {
      event.preventDefault();
      this.jump(link, href.slice(1));
      return;
    }
    const to = link.target || link.hasAttribute("download") ? null : insideAirflow(link);
    if (to !== null) {
      event.preventDefault();
      this.navigate(to);
    }
  }

  // The browser itself finds no name inside a shadow root.
  jump(link, id) {
    const target = this.root.getElementById(id);
    if (!target) return;
    if (link.dataset.load) this.fill(target, link.dataset.load);
    for (let each = target; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    if (!target.hasAttribute("tabindex")) target.tabIndex = -1;
    target.hidden = false;
    target.focus({ preventScroll: true });
    target.scrollIntoView({ block: "start" });
  }

  // Until the page is due again, if it says when. A page that nobody sees waits until somebody does.
  wait() {
    const seconds = this.content.querySelector("[data-refresh]")?.dataset.refresh;
    clearTimeout(this.timer);
    if (seconds && !this.leaving.signal.aborted) this.timer = setTimeout(() => this.refresh(), 1000 * seconds);
  }

  // Never under the hands of somebody who writes a reason or is being asked.
  refresh() {
    if (document.visibilityState !== "visible" || this.inUse()) this.wait();
    else this.load("", true);
  }

  inUse() {
    if (this.root.querySelector("dialog[open], form[aria-busy=true]")) return true;
    const fields = this.content.querySelectorAll("form :is(textarea, select, input:not([type=hidden]))");
    return [...fields].some((field) => isChanged(field) || field === this.root.activeElement);
  }

  tell(text, hint, action) {
    tell(this.note, text, hint, action);
    this.note.hidden = !text;
  }

  fail(problem) {
    if (!(problem instanceof Problem)) console.error(problem);
    const { status, hint, action } = problem;
    if (status === 404 && this.where.dagId) {
      this.tell("This DAG belongs to no model that Steward knows.", hint);
    } else if (status === 403) {
      this.tell("You may not see this page.", "Whoever administers Airflow gives the permission to read a model's DAGs.");
    } else {
      this.tell(problem.message, hint, action);
    }
    this.note.classList.add("bad");
    if ([401, 403, 404].includes(status)) return;
    const again = element("button", { type: "button", textContent: "Try again" });
    again.addEventListener("click", () => this.load("Loading…"));
    this.note.append(" ", again);
  }
}

function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

// Airflow says on <html> whether it is light or dark; our colours follow `color-scheme`.
function followTheme(host, signal) {
  const html = document.documentElement;
  const follow = () => {
    host.style.colorScheme = html.classList.contains("dark") ? "dark" : html.classList.contains("light") ? "light" : "";
  };
  const watcher = new MutationObserver(follow);
  watcher.observe(html, { attributes: true, attributeFilter: ["class"] });
  signal.addEventListener("abort", () => watcher.disconnect());
  follow();
}

// What does not fit can be scrolled with the keyboard; a heat map then begins with its newest window.
function watchWidths(part) {
  const watcher = new ResizeObserver((seen) => seen.forEach(({ target }) => reach(target)));
  for (const wide of part.querySelectorAll(".wide:not([role])")) watcher.observe(wide);
}

function reach(wide) {
  const wider = wide.scrollWidth > wide.clientWidth + 1;
  if (String(wider) === wide.dataset.wider) return;
  wide.dataset.wider = wider;
  if (!wider) return wide.removeAttribute("tabindex");
  wide.tabIndex = 0;
  if (wide.querySelector("table.heat")) wide.scrollLeft = wide.scrollWidth;
}

function isChanged(field) {
  if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
  return field.selectedIndex !== Math.max(0, [...field.options].findIndex((each) => each.defaultSelected));
}

const nameOf = (details) => details.id || details.querySelector("summary")?.textContent.trim();

// The focused element as its id, or as the way to it from the top.
function placeOf(top, focused) {
  if (!focused || !top.contains(focused)) return null;
  if (focused.id) return { id: focused.id };
  const way = [];
  for (let each = focused; each !== top; each = each.parentElement) way.unshift([...each.parentElement.children].indexOf(each));
  return { way, tag: focused.tagName };
}

function focusOn(top, place) {
  if (!place) return;
  const found = place.id
    ? top.querySelector(`[id="${CSS.escape(place.id)}"]`)
    : place.way.reduce((each, at) => each?.children[at], top);
  if (found && (place.id || found.tagName === place.tag)) found.focus({ preventScroll: true });
}
