/** The page's side of the service worker (src/offline). Where a browser has none, the page works all the same. */

import type { Order } from "../offline/worker";

const PATIENCE_MS = 8000;
const RELOADED = "reloaded to be isolated";

/**
 * Waits until the service worker hands out what the page loads from now on, so that it keeps it.
 *
 * On a host that does not send the app's headers the first visit is loaded once more, now with them.
 */
export async function startOffline(onUpdate: (install: () => void) => void): Promise<void> {
  const workers = navigator.serviceWorker;
  if (!workers || !import.meta.env.PROD) {
    return;
  }
  const controlled = new Promise<void>((resolve) => {
    workers.addEventListener("controllerchange", () => resolve(), { once: true });
  });
  const patience = new Promise<void>((resolve) => {
    setTimeout(resolve, PATIENCE_MS);
  });
  try {
    const registration = await workers.register("offline.js", { updateViaCache: "none" });
    watch(registration, onUpdate);
    if (!workers.controller) {
      await Promise.race([controlled, patience]);
    }
  } catch (error) {
    console.info(`not kept for offline use: ${error}`);
  }
  if (workers.controller && !crossOriginIsolated && !sessionStorage.getItem(RELOADED)) {
    sessionStorage.setItem(RELOADED, "yes");
    location.reload();
    await new Promise(() => {});
  }
}

/** Tells the service worker that the model was opened; whether it is now there without a network. */
export function keepModel(): Promise<boolean> {
  const worker = navigator.serviceWorker?.controller;
  if (!worker) {
    return Promise.resolve(false);
  }
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = (event) => resolve(event.data === true);
    worker.postMessage("model opened" satisfies Order, [port2]);
  });
}

/** Tells the service worker that the model was refused: it drops its copy. */
export function forgetModel(): void {
  navigator.serviceWorker?.controller?.postMessage("model refused" satisfies Order);
}

function watch(registration: ServiceWorkerRegistration, onUpdate: (install: () => void) => void): void {
  const offer = (worker: ServiceWorker) =>
    onUpdate(() => {
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
      worker.postMessage("update" satisfies Order);
    });
  if (registration.waiting) {
    offer(registration.waiting);
  }
  registration.addEventListener("updatefound", () => {
    const { installing } = registration;
    installing?.addEventListener("statechange", () => {
      if (installing.state === "installed" && registration.active) {
        offer(installing);
      }
    });
  });
}
