// Which address is whose: everything is relative to Airflow's <base>, so a path prefix needs no setting.

const OURS = /^(steward|api|auth|ui|static)\//;

export const absolute = (address) => new URL(address, document.baseURI);

// The page that a DAG's Model tab shows. DAG ids are `<model>__<what>`; `steward__…` belong to no single model.
export function modelOf(dagId) {
  const [, model] = String(dagId).match(/^([a-z][a-z0-9_]{0,62})__[a-z_]+$/) ?? [];
  if (model === "steward") return { address: "steward/ui/models" };
  if (!model) return { nothing: dagId };
  return { address: `steward/ui/models/${model}`, dagId };
}

// Where inside Airflow's single-page app a link leads; null for any other place.
export function insideAirflow(link) {
  const base = new URL(document.baseURI);
  const to = new URL(link.href, base);
  if (to.origin !== base.origin || !to.pathname.startsWith(base.pathname)) return null;
  const rest = to.pathname.slice(base.pathname.length);
  return OURS.test(rest) ? null : `/${rest}${to.search}${to.hash}`;
}

export const logIn = () =>
  absolute(`api/v2/auth/login?${new URLSearchParams({ next: globalThis.location.href })}`).href;
