// Asking the server, and its refusals in words.

import { absolute, logIn } from "./places.js";

export class Problem extends Error {
  constructor(status, what, hint, action) {
    super(what);
    Object.assign(this, { status, hint, action });
  }
}

export async function fetchText(address, signal) {
  const answer = await ask(address, { signal, headers: { Accept: "text/html" } });
  return answer.text();
}

export async function send(address, body) {
  const answer = await ask(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  return answer.json().catch(() => {
    throw new Problem(answer.status, "The answer cannot be read.", "Look whether it was done before you try again.");
  });
}

// Whatever leads elsewhere is not followed: a log-in page of a proxy is no answer, and no other host is asked.
async function ask(address, options) {
  const [to, rules] = [absolute(address), { credentials: "same-origin", cache: "no-store", redirect: "manual" }];
  if (to.origin !== absolute("").origin) throw new Problem(0, "This address is not Airflow's, and is not asked.");
  let answer;
  try {
    answer = await fetch(to, { ...rules, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "Airflow's API server did not answer.", "Is the network there, and the server running?");
  }
  if (answer.type === "opaqueredirect") throw loggedOut();
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

const loggedOut = () => new Problem(401, "You are logged out.", "", { href: logIn(), text: "Log in" });

async function problemOf(answer) {
  const said = await answer.json().catch(() => ({}));
  const detail = inWords(said.detail);
  if (answer.status === 401 || detail === "Invalid JWT token") return loggedOut();
  if (answer.status === 403 && detail === "Forbidden") {
    return new Problem(403, "You may not do this.", "Whoever administers Airflow gives permissions on a model's DAGs.");
  }
  return new Problem(answer.status, detail || `Airflow's API server answered ${answer.status}.`, said.hint);
}

// FastAPI lists what it found wrong with a request; everybody else writes a sentence.
function inWords(detail) {
  if (!Array.isArray(detail)) return detail ? String(detail) : "";
  return detail.map((each) => `${(each.loc ?? []).slice(1).join(".")}: ${each.msg}`).join("; ");
}
