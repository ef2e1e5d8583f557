import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { HttpFolder } from "../src/bundle/folder";
import { readBundle } from "../src/bundle/modelBundle";

const served: Record<string, [status: number, body: string]> = {
  "/model/vocab.txt": [200, "a\nb\n"],
  "/model/a%20%23name/%3F.txt": [200, "odd"],
  "/model/empty": [200, ""],
  "/model/broken": [500, "no"],
};
let server: Server;
let url: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === "/model/cut-off") {
      response.writeHead(200, { "Content-Length": 10 }).write("abc", () => response.destroy());
      return;
    }
    const [status, body] = served[request.url ?? ""] ?? [404, "<!doctype html>"];
    response.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/model`;
});

afterAll(() => {
  server.close();
});

async function text(name: string): Promise<string> {
  return new TextDecoder().decode(await new HttpFolder(url).read(name));
}

test("a file's bytes are counted as they arrive", async () => {
  const heard: [string, number][] = [];
  await new HttpFolder(`${url}/`, (...told) => heard.push(told)).read("vocab.txt");
  expect(heard).toEqual([["vocab.txt", 4]]);
});

test("names are names, whatever they mean in an address", async () => {
  expect(await text("a #name/?.txt")).toBe("odd");
  expect(await text("empty")).toBe("");
});

test("what is not there is told apart from what cannot be had", async () => {
  const folder = new HttpFolder(url);
  expect(await folder.read("nothing")).toBeUndefined();
  await expect(folder.read("broken")).rejects.toThrow("broken could not be fetched: the server said 500");
  await expect(folder.read("cut-off")).rejects.toThrow("cut-off could not be fetched; check the connection");
  const nowhere = new HttpFolder("http://127.0.0.1:1/");
  await expect(nowhere.read("x")).rejects.toThrow(
    "x could not be fetched; check the connection and try again",
  );
});

test("a folder without a manifest is no bundle", async () => {
  await expect(readBundle(new HttpFolder(url))).rejects.toThrow(
    "it has no manifest.json, so it is not a bundle",
  );
});
