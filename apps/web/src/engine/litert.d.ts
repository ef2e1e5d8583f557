/** Emscripten's script, which makes the module of the WebAssembly file beside it. */
declare module "@litertjs/core/wasm/*.js" {
  const factory: unknown;
  export default factory;
}
