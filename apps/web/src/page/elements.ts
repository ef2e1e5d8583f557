/** The elements of index.html, by their ids. */

/** The element with this id. Throws where index.html has none, or one of another kind. */
export function element<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) {
    throw new Error(`index.html has no ${kind.name} called ${id}`);
  }
  return found;
}

/** Sets the text of the element with this id. */
export function say(id: string, text: string): void {
  element(id, HTMLElement).textContent = text;
}

/** Shows a sentence in the alert; the empty one hides it. */
export function alert(sentence: string): void {
  say("alert", sentence);
}

/** Tells those who cannot see the page what has just changed on it. */
export function announce(sentence: string): void {
  say("announcement", sentence);
}
