// Texts in the reader's language: `t("speak.title")`.  Only the one language is loaded.

import { computed, signal } from "./lib.js";
import { prefs } from "./prefs.js";

export const LANGUAGES = { en: "English", zh: "中文", ja: "日本語" };
const TAGS = { en: "en", zh: "zh-CN", ja: "ja" };

const texts = signal({});
const code = signal("en");

function preferred() {
  const asked = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return asked.find((tag) => tag in LANGUAGES) ?? "en";
}

export async function useLanguage(wanted = prefs.language.value) {
  const found = wanted in LANGUAGES ? wanted : preferred();
  const answer = await fetch(new URL(`./locales/${found}.json`, import.meta.url));
  texts.value = await answer.json();
  code.value = found;
  document.documentElement.lang = TAGS[found];
}

export const tag = computed(() => TAGS[code.value]);

/** The text of a key, `{name}` in it filled from `values`. */
export function t(key, values = {}) {
  const text = texts.value[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export function number(value, digits = 0) {
  const format = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return value === null || value === undefined ? "–" : value.toLocaleString(tag.value, format);
}

export function seconds(value) {
  return value === null || value === undefined ? "–" : `${number(value, value < 10 ? 2 : 1)} s`;
}

export function moment(iso) {
  return new Date(iso).toLocaleString(tag.value, { dateStyle: "medium", timeStyle: "short" });
}
