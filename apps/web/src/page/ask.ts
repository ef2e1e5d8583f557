/** Asking: the question, its suggestions, and the answer with its place in the passage. */

import type { Answered, Engine } from "../engine/client";
import { alert, announce, element, say } from "./elements";
import { counted, milliseconds, percent } from "./numbers";
import { passage, read, startPassage } from "./passage";

const question = element("question", HTMLInputElement);
const submit = element("submit", HTMLButtonElement);
const cancel = element("cancel", HTMLButtonElement);
const working = element("working", HTMLDivElement);
const bar = element("working-bar", HTMLProgressElement);
const card = element("answer", HTMLElement);

/** Questions shorter than this are answered before anybody could read how far they are. */
const SHOW_AFTER_MS = 300;

/** Wires the screen. A question that is asked before a model was `opened` waits for it. */
export function startAsking(opened: Promise<{ engine: Engine }>): void {
  let asking: AbortController | undefined;

  async function ask(): Promise<void> {
    asking?.abort();
    const current = new AbortController();
    asking = current;
    alert("");
    card.hidden = true;
    const text = passage();
    const shown = setTimeout(() => busy(true), SHOW_AFTER_MS);
    say("working-text", "Waiting for the model");
    bar.removeAttribute("value");
    try {
      const { engine } = await opened;
      say("working-text", "Reading the passage");
      const answered = await engine.ask(question.value, text, current.signal, (done, total) => {
        say("working-text", `Window ${done} of ${total}`);
        bar.max = total;
        bar.value = done;
      });
      if (!current.signal.aborted) {
        show(answered, text);
      }
    } catch (error) {
      if (!current.signal.aborted) {
        complain(error);
      }
    } finally {
      clearTimeout(shown);
      if (asking === current) {
        asking = undefined;
        busy(false);
      }
    }
  }

  startPassage((questions) => {
    asking?.abort();
    card.hidden = true;
    alert("");
    question.value = questions[0] ?? "";
    suggest(questions, ask);
  });
  element("asking", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    void ask();
  });
  cancel.addEventListener("click", () => {
    asking?.abort();
    announce("Cancelled");
  });
}

/** Says why there is no answer: a refusal's own sentence, or what else went wrong. */
export function complain(error: unknown): void {
  alert(error instanceof Error ? error.message : String(error));
  element("alert", HTMLElement).scrollIntoView({ block: "nearest" });
}

function suggest(questions: readonly string[], ask: () => Promise<void>): void {
  const buttons = questions.map((text) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => {
      question.value = text;
      void ask();
    });
    return button;
  });
  element("suggestions", HTMLDivElement).replaceChildren(...buttons);
}

function show(answered: Answered, text: string): void {
  const best = answered.answers[0];
  if (!best) {
    return;
  }
  say("answer-text", best.text);
  say("confidence", percent(best.confidence));
  element("confidence-bar", HTMLProgressElement).value = best.confidence;
  say("inference", `${milliseconds(answered.milliseconds.infer)} ms`);
  say("windows", String(answered.windows));
  card.hidden = false;
  if (text === passage()) {
    read(best.utf16);
  }
  // on a phone the answer at the top, so that its place in the passage is on the screen too
  card.scrollIntoView({ block: matchMedia("(min-width: 56rem)").matches ? "nearest" : "start" });
  const took = `${milliseconds(answered.milliseconds.infer)} milliseconds, ${counted(answered.windows, "window")}`;
  announce(`Answer: ${best.text}. Confidence ${percent(best.confidence)}, ${took}.`);
}

/** Cancel stands where Ask was, and keeps its focus. */
function busy(isBusy: boolean): void {
  const from = isBusy ? submit : cancel;
  const to = isBusy ? cancel : submit;
  const hadFocus = document.activeElement === from;
  working.hidden = !isBusy;
  from.hidden = true;
  to.hidden = false;
  if (hadFocus) {
    to.focus({ preventScroll: true });
  }
  if (isBusy) {
    announce("Working on it");
  }
}
