/** What every response of the app carries, whoever gives it: Vite's servers, the service worker, your host. */

/** Nothing leaves the device: the browser itself refuses connections to any other place. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
];

/** For the page itself, so that it holds on a host that sends no headers. */
export const PAGE_POLICY = POLICY.join("; ");

export const HEADERS: Record<string, string> = {
  // Threads in WebAssembly need shared memory, which browsers give to isolated pages only.
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  // Of its own for workers: they do not inherit the page's.
  "Content-Security-Policy": [...POLICY, "frame-ancestors 'none'"].join("; "),
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
};
