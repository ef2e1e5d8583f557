/** Loading the model, with its bytes, and what its manifest says of it. */

import { type Engine, type Model, type Progress, Refused } from "../engine/client";
import { complain } from "./ask";
import { announce, element, say } from "./elements";
import { megabytes } from "./numbers";
import { forgetModel, keepModel } from "./offline";

const loading = element("loading", HTMLDivElement);
const bar = element("loading-bar", HTMLProgressElement);

/** An engine with its model. */
export type Opened = { engine: Engine; model: Model };

/** Opens the bundle beside the page and shows it. Rejects, after having said why, where it is refused. */
export async function openModel(engine: Engine): Promise<Opened> {
  announce("Loading the model");
  try {
    const model = await engine.open(new URL("model/", document.baseURI).href, progress);
    describe(model);
    announce(`The model ${model.name} is ready`);
    void keepModel().then((isKept) => say("offline", isKept ? "Works offline from now on." : ""));
    return { engine, model };
  } catch (error) {
    if (error instanceof Refused) {
      forgetModel();
    }
    complain(error);
    throw error;
  } finally {
    loading.hidden = true;
  }
}

function progress({ loadedBytes, totalBytes, what }: Progress): void {
  say("loading-text", `Loading ${what}: ${megabytes(loadedBytes)} of ${megabytes(totalBytes)}`);
  bar.value = totalBytes ? loadedBytes / totalBytes : 0;
  if (loadedBytes >= totalBytes) {
    say("loading-text", "Starting the model");
    bar.removeAttribute("value");
  }
}

function describe(model: Model): void {
  say("model-name", [model.name, model.target, model.precision].filter(Boolean).join(" · "));
  say("model-size", megabytes(model.sizeBytes));
  say("model-score", score(model));
  say("model-runtime", `${model.runtime}, ${model.threads === 1 ? "1 thread" : `${model.threads} threads`}`);
  element("model", HTMLDListElement).hidden = false;
}

/** F1 as verification measured it, and on how many questions: without them it says little. */
function score({ metrics, verified, whyNotVerified }: Model): string {
  const { f1, questions } = metrics;
  if (!verified) {
    return `not verified: ${whyNotVerified ?? "nobody said why"}`;
  }
  return typeof f1 === "number" ? `F1 ${f1.toFixed(1)} on ${questions} questions` : "no F1 in its manifest";
}
