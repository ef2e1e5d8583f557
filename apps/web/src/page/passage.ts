/** The passage: one of the samples, or the reader's own; shown for reading, with the answer marked, or for editing. */

import samples from "../../../samples.json";
import { element } from "./elements";
import { counted } from "./numbers";

const OWN = "Your own";

const reading = element("reading", HTMLDivElement);
const editor = element("passage", HTMLTextAreaElement);
const edit = element("edit", HTMLButtonElement);

/** The passage as it is now. */
export function passage(): string {
  return editor.value;
}

/** Fills the choice. `onChoice` hears the questions that go with a passage, when it is chosen or changed. */
export function startPassage(onChoice: (questions: readonly string[]) => void): void {
  const choice = element("samples", HTMLDivElement);
  for (const [place, title] of [...samples.map((sample) => sample.title), OWN].entries()) {
    const radio = document.createElement("input");
    radio.type = "radio";
    radio.name = "sample";
    radio.checked = place === 0;
    radio.addEventListener("change", () => choose(place));
    const label = document.createElement("label");
    label.append(radio, title);
    choice.append(label);
  }
  const radios = () => choice.querySelectorAll("input");

  function choose(place: number): void {
    const sample = samples[place];
    editor.value = sample?.passage ?? "";
    onChoice(sample?.questions ?? []);
    if (sample) {
      read();
    } else {
      write();
    }
  }
  editor.addEventListener("input", () => {
    const own = radios()[samples.length];
    if (own && !own.checked) {
      own.checked = true;
      onChoice([]);
    }
    count();
  });
  edit.addEventListener("click", () => {
    write();
    editor.focus();
  });
  choose(0);
}

/** Shows the passage for reading, with the UTF-16 range [start, end) marked and in view. */
export function read(marked?: readonly [number, number]): void {
  const text = editor.value;
  const [start, end] = marked ?? [text.length, text.length];
  const mark = document.createElement("mark");
  mark.textContent = text.slice(start, end);
  reading.replaceChildren(text.slice(0, start), ...(marked ? [mark, text.slice(end)] : []));
  show(reading);
  if (marked) {
    const above = mark.getBoundingClientRect().top - reading.getBoundingClientRect().top;
    reading.scrollTop += above - reading.clientHeight / 2 + mark.offsetHeight / 2;
  } else {
    reading.scrollTop = 0;
  }
  count();
}

function write(): void {
  show(editor);
  count();
}

function show(what: HTMLElement): void {
  reading.hidden = what !== reading;
  edit.hidden = what !== reading;
  editor.hidden = what !== editor;
}

function count(): void {
  const { length } = [...editor.value];
  element("characters", HTMLSpanElement).textContent = length ? counted(length, "character") : "";
}
