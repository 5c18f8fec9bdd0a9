// What this browser remembers: one signal per preference, kept in local storage.

import { effect, signal } from "./lib.js";

function stored(name) {
  try {
    const text = localStorage.getItem(`cosy.${name}`);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined; // storage may be switched off, or hold what another version wrote
  }
}

function preference(name, otherwise) {
  const value = signal(stored(name) ?? otherwise);
  effect(() => {
    const text = JSON.stringify(value.value);
    try {
      localStorage.setItem(`cosy.${name}`, text);
    } catch {
      // then it lasts as long as the page
    }
  });
  return value;
}

export const prefs = {
  key: preference("key", ""),
  language: preference("language", ""), // empty: what the browser asks for
  theme: preference("theme", "auto"), // auto, light, dark
  buffer_ms: preference("buffer_ms", 200), // sound that must be there before playing starts
  kept: preference("kept", 100), // entries of the history
  form: preference("form", {}), // what the Speak page was set to
};
