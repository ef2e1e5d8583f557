/** The page: two screens over one engine. */

import { startEngine } from "../engine/client";
import { startAsking } from "./ask";
import { startBenchmark } from "./benchmark";
import { element } from "./elements";
import { openModel } from "./model";
import { startOffline } from "./offline";

const given = new URLSearchParams(location.search);
// the service worker first: it keeps what pages and workers load that were started after it
const opened = startOffline(offerUpdate).then(() => openModel(startEngine()));
startAsking(opened);
startBenchmark(opened, given);
opened.catch(() => {}); // openModel has said why
addEventListener("hashchange", show);
show();

/** The screen that the address names; `?bench` is the benchmark's. */
function show(): void {
  const isBenchmark = location.hash ? location.hash === "#benchmark" : given.has("bench");
  element("ask-screen", HTMLElement).hidden = isBenchmark;
  element("benchmark-screen", HTMLElement).hidden = !isBenchmark;
  for (const link of document.querySelectorAll<HTMLAnchorElement>("nav a")) {
    if ((link.hash === "#benchmark") === isBenchmark) {
      link.setAttribute("aria-current", "page");
    } else {
      link.removeAttribute("aria-current");
    }
  }
}

function offerUpdate(install: () => void): void {
  const button = document.createElement("button");
  button.textContent = "Load it";
  button.addEventListener("click", install);
  element("update", HTMLDivElement).replaceChildren("There is a new version.", button);
}
