// Steward's pages inside Airflow: plain modules, nothing built, nothing fetched from elsewhere.
//
// Airflow imports this file once and then takes, by the names in the plugin, one React component per page. Each shows
// a fragment that the server rendered, in a shadow root, so that neither look reaches the other's page.

import { open } from "./page.js";
import { absolute, modelOf } from "./places.js";

const { React, ReactRouterDOM } = globalThis;
const useNavigate = ReactRouterDOM?.useNavigate ?? (() => null);
const useLocation = ReactRouterDOM?.useLocation ?? (() => globalThis.location);

function component(pageOf) {
  return function StewardPage({ dagId }) {
    const place = React.useRef(null);
    const navigate = React.useRef(null);
    navigate.current = useNavigate();
    const { search } = useLocation();
    const go = (to) => (navigate.current ? navigate.current(to) : globalThis.location.assign(absolute(to.slice(1))));
    React.useEffect(() => open(place.current, pageOf(dagId, search), go), [dagId, search]);
    return React.createElement("div", { ref: place, className: "steward", style: { height: "100%", overflow: "auto" } });
  };
}

globalThis["Models"] = component(() => ({ address: "steward/ui/models" }));
globalThis["Model measures"] = component((_, search) => ({ address: `steward/ui/measures${search}` }));
globalThis["Model"] = component(modelOf);
