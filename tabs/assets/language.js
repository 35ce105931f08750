// The language of the page: the browser's, if there is a catalogue for it, otherwise English. The English sentence is the key.

const catalogues = window.gradio_config?.i18n_translations ?? {};
const asked = navigator.language || navigator.languages?.[0] || "en";
const found = [asked, asked.split("-")[0]].find((tag) => catalogues[tag]);
const catalogue = catalogues[found] ?? {};

// As Intl takes it: the browser's own variant of the language that is shown.
export const language = found ? asked : "en";
const rules = new Intl.PluralRules(language);

document.documentElement.lang = found ?? "en";

// t("Edit {name}", { name }): the text in the page's language, its places filled.
export function t(english, values = {}) {
  return filled(catalogue[english] ?? english, values);
}

// tn("{count} picture", "{count} pictures", count): as many forms as the language has; the catalogue has a line for each: "{count} pictures [few]".
export function tn(one, many, count, values = {}) {
  const text = catalogue[`${many} [${rules.select(count)}]`] ?? catalogue[`${many} [other]`] ?? (count === 1 ? one : many);
  return filled(text, { count: number(count), ...values });
}

// A text that was marked elsewhere, `later("…")` in the page's Python; anything else stays as it is.
export const known = (text) => catalogue[text] ?? text;

export const number = (value, options) => value.toLocaleString(language, options);

export const day = (when, options = { dateStyle: "medium" }) => when.toLocaleDateString(language, options);

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (place, name) => (name in values ? String(values[name]) : place));
