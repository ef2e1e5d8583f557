/** Where a bundle's files are. Names are relative to the bundle, with slashes. */
export interface Folder {
  /** A file's bytes; undefined where there is none. */
  read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** All files, however deep; undefined where the folder cannot be listed, as over HTTP. */
  files(): string[] | undefined;
  /** Symbolic links, which a bundle must not have. */
  links(): string[];
}

/** A folder on a web server. `onBytes` hears of every part of a file that arrives. */
export class HttpFolder implements Folder {
  private readonly base: URL;

  constructor(
    url: string,
    private readonly onBytes: (name: string, bytes: number) => void = () => {},
  ) {
    this.base = new URL(url.endsWith("/") ? url : `${url}/`);
  }

  /** Throws an Error whose message says what to do where the server cannot be reached or does not answer. */
  async read(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const place = new URL(name.split("/").map(encodeURIComponent).join("/"), this.base);
    const lost = (cause: unknown): never => {
      throw new Error(`${name} could not be fetched; check the connection and try again`, { cause });
    };
    // no-cache: an older copy that the browser kept would be refused as altered
    const response = await fetch(place, { cache: "no-cache" }).catch(lost);
    if (response.status === 404 || response.status === 410) return undefined;
    if (!response.ok) throw new Error(`${name} could not be fetched: the server said ${response.status}`);
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    for (const reader = response.body?.getReader(); reader; ) {
      const { done, value } = await reader.read().catch(lost);
      if (done) break;
      parts.push(value);
      size += value.length;
      this.onBytes(name, value.length);
    }
    const bytes = new Uint8Array(size);
    let filled = 0;
    for (const part of parts) {
      bytes.set(part, filled);
      filled += part.length;
    }
    return bytes;
  }

  files(): undefined {
    return undefined;
  }

  links(): string[] {
    return [];
  }
}
