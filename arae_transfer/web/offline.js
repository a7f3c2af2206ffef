// Keeps the folder's files in the browser, so that the page works when its server cannot be reached.
"use strict";
const FILES = @FILES@;
const NAME = "arae " + new URL("./", location).pathname;

self.addEventListener("install", (event) => {
  event.waitUntil(keep().then(() => self.skipWaiting()));
});
self.addEventListener("activate", (event) => {
  event.waitUntil(self.clients.claim());
});

// Stores what is not stored yet, and forgets what the page no longer asks for.
async function keep() {
  const store = await caches.open(NAME);
  const wanted = new Set(FILES.map((path) => new URL(path, location).href));
  for (const request of await store.keys()) if (!wanted.has(request.url)) await store.delete(request);
  for (const address of wanted) {
    const immutable = address.includes("?");
    if (immutable && (await store.match(address))) continue;
    const response = await fetch(address, { cache: immutable ? "force-cache" : "no-cache" });
    if (!response.ok) throw new Error(`${address}: ${response.status}`);
    await store.put(address, response);
  }
}

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && event.request.url.startsWith(new URL("./", location).href)) event.respondWith(answer(event.request));
});

// An address with a checksum always has the same content; all others are asked for again while the server answers.
async function answer(request) {
  const store = await caches.open(NAME);
  const stored = await store.match(request.url.replace(/\/index\.html$/, "/"));
  if (stored && request.url.includes("?")) return stored;
  try { return await fetch(request); } catch (error) {
    if (stored) return stored;
    throw error;
  }
}
