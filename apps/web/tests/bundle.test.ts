import { expect, test } from "vitest";
import type { Folder } from "../src/bundle/folder";
import { readBundle } from "../src/bundle/modelBundle";
import type { Kind } from "../src/bundle/task";
import { type Case, compare, read } from "./golden";

/** A folder that is not anywhere. */
class Files implements Folder {
  constructor(
    private readonly contents: Map<string, Uint8Array<ArrayBuffer>>,
    private readonly symbolic: string[],
  ) {}

  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.contents.get(name);
  }

  files(): string[] | undefined {
    return [...this.contents.keys()];
  }

  links(): string[] {
    return [...this.symbolic];
  }
}

/** The same as a web server would give it, which does not say what else it has. */
class Served extends Files {
  override files(): undefined {
    return undefined;
  }
}

const suite = read("bundles.json");

function contents(given: Case): Map<string, Uint8Array<ArrayBuffer>> {
  const files = Object.entries({ ...suite.files, ...given.files }).filter(([, content]) => content !== null);
  const found = new Map(files.map(([name, content]) => [name, new TextEncoder().encode(content as string)]));
  if (given.manifest !== undefined) found.set("manifest.json", new TextEncoder().encode(given.manifest));
  if (given.manifest_base64 !== undefined) {
    found.set("manifest.json", Uint8Array.from(Buffer.from(given.manifest_base64, "base64")));
  }
  return found;
}

async function outcome(folder: Folder, wanted: Case): Promise<unknown> {
  try {
    const { name, target, program, seal, lengths, task } = await readBundle(folder, wanted ?? undefined);
    const { kind, maxLength, ...settings } = task;
    return [name, target, program, seal, lengths, kind, maxLength, settings];
  } catch (refused) {
    return (refused as Error).message;
  }
}

function expected(given: Case): unknown {
  if (given.reads === undefined) return given.says;
  const { name, target, program, seal, lengths, windows } = given.reads;
  const { kind, max_length, stride, n_best, max_answer_length, labels } = windows;
  const settings = {
    "question-answering": { stride, nBest: n_best, maxAnswerLength: max_answer_length },
    "text-classification": { labels },
    regression: {},
  };
  return [name, target, program, seal, lengths, kind, max_length, settings[kind as Kind]];
}

test("every folder is read or refused as in Python", () =>
  compare("bundles", suite.cases, 200, async (given) => [
    [await outcome(new Files(contents(given), Object.keys(given.links)), given.wanted), expected(given)],
  ]));

test("a folder that cannot be listed is read or refused the same, but for what only a list can tell", async () => {
  const unseen = / is not in its manifest| is a symbolic link|outside of the bundle/;
  const visible = suite.cases.filter((given: Case) => !unseen.test(given.says ?? ""));
  expect(visible.length).toBeGreaterThan(200);
  for (const given of visible) {
    expect(await outcome(new Served(contents(given), []), given.wanted), given.id).toEqual(expected(given));
  }
});
