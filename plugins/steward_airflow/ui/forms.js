// Forms whose fields are sent as JSON: to a door of Steward, or to Airflow itself to start a run.

import { Problem, send } from "./requests.js";

export function livenForms(root, page) {
  for (const form of root.querySelectorAll("form[data-post], form[data-trigger]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      submit(form, event.submitter, page);
    });
  }
}

async function submit(form, submitter, page) {
  const sentence = submitter?.dataset.confirm ?? form.dataset.confirm;
  if (sentence && !(await confirmed(form, sentence, submitter))) return;
  const place = statusOf(form);
  const body = fieldsOf(form, submitter);
  setBusy(form, true);
  tell(place, "Working…");
  try {
    const said = form.dataset.post ? await post(form, body) : await trigger(form, body);
    form.closest("details")?.removeAttribute("open");
    await page.reload(said);
  } catch (problem) {
    if (!(problem instanceof Problem)) console.error(problem);
    tell(place, problem.message, problem.hint, beside(problem.action));
    place.classList.add("bad");
  } finally {
    setBusy(form, false);
  }
}

// What was written stays on this page while somebody logs in.
const beside = (action) => action && { href: action.href, text: `${action.text} in a new tab`, target: "_blank" };

async function post(form, body) {
  const answer = await send(form.dataset.post, body);
  const proved = !answer.proof || answer.proof.outcome === "PASSED";
  return { text: answer.message || form.dataset.done || "Done.", bad: !proved };
}

async function trigger(form, body) {
  const dag = form.dataset.trigger;
  const run = await send(`api/v2/dags/${dag}/dagRuns`, { conf: body, logical_date: null });
  const href = `dags/${dag}/runs/${encodeURIComponent(run.dag_run_id)}`;
  return { text: form.dataset.done || `${dag} was started.`, action: { href, text: "See the run" } };
}

// An empty field that may stay empty is not sent at all.
function fieldsOf(form, submitter) {
  const fields = {};
  for (const field of form.elements) {
    if (!field.name || field.type === "submit" || (field.type === "radio" && !field.checked)) continue;
    const value = valueOf(field);
    if (value !== undefined) fields[field.name] = value;
  }
  if (submitter?.name) fields[submitter.name] = told(submitter.value);
  return fields;
}

function valueOf(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.value === "" && !field.required) return undefined;
  const isNumber = field.type === "number" || field.dataset.type === "number";
  return isNumber ? Number(field.value) : field.value;
}

const told = (value) => ({ true: true, false: false })[value] ?? value;

function setBusy(form, busy) {
  form.setAttribute("aria-busy", String(busy));
  for (const button of form.querySelectorAll("button")) button.disabled = busy;
}

function statusOf(form) {
  const known = form.querySelector("[role=status]");
  if (known) return known;
  const place = document.createElement("p");
  place.setAttribute("role", "status");
  form.append(place);
  return place;
}

export function tell(place, text, hint, action) {
  place.classList.remove("bad");
  place.replaceChildren(text);
  if (hint) place.append(" ", hint);
  if (action) {
    const link = document.createElement("a");
    Object.assign(link, { href: action.href, textContent: action.text, target: action.target ?? "", rel: "noopener" });
    place.append(" ", link);
  }
}

// Asks in a dialog; Escape and Cancel say no, and the focus goes back to the button that asked.
function confirmed(form, sentence, submitter) {
  const dialog = document.createElement("dialog");
  dialog.className = "ask";
  dialog.setAttribute("aria-label", "Are you sure?");
  const said = document.createElement("p");
  said.textContent = sentence;
  const [no, yes] = [choice("Cancel", "no"), choice(submitter?.textContent.trim() || "Go on", "yes")];
  no.autofocus = true;
  yes.className = submitter?.className ?? "";
  const choices = document.createElement("form");
  choices.method = "dialog";
  choices.append(no, " ", yes);
  dialog.append(said, choices);
  form.getRootNode().append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      submitter?.focus();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}

function choice(text, value) {
  const button = document.createElement("button");
  Object.assign(button, { textContent: text, value });
  return button;
}
