// What was made in this browser, in its IndexedDB.  None of it is ever sent anywhere.

import { voices } from "./api.js";
import { signal } from "./lib.js";
import { prefs } from "./prefs.js";

const STORE = "made";

export const entries = signal(null); // newest first, each with its audio as a Blob; null: not read yet

let opened = null;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("cosy", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function within(mode, act) {
  const transaction = (await database()).transaction(STORE, mode);
  const request = act(transaction.objectStore(STORE));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

export async function read() {
  entries.value = (await within("readonly", (store) => store.getAll())).reverse();
}

/** A run that is complete. */
export async function keep(run, text, format = "wav") {
  const name = voices.value?.find((voice) => voice.id === run.options.voice)?.name ?? run.options.voice;
  const entry = {
    made_at: new Date().toISOString(),
    text,
    voice_name: name,
    options: { ...run.options, seed: run.seed.value },
    format,
    segments: run.segments.value,
    duration_s: run.duration_s.value,
    first_audio_s: run.first_audio_s.value,
    rtf: run.rtf.value,
    audio: run.wav,
  };
  await within("readwrite", (store) => store.add(entry));
  await read();
  const surplus = entries.value.slice(Math.max(1, prefs.kept.value));
  for (const { id } of surplus) await forget(id);
}

export async function forget(id) {
  await within("readwrite", (store) => store.delete(id));
  await read();
}

export async function forgetAll() {
  await within("readwrite", (store) => store.clear());
  await read();
}
