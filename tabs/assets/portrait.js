// How a character is shown and spoken of: a portrait or a calm monogram, its kind, its looks in a sentence.

import { file, thumbnail } from "./api.js";
import { h } from "./dom.js";
import { language, t, tn } from "./language.js";

export const KINDS = {
  fictional: { name: t("Invented"), about: t("Someone who doesn't exist. Nobody has to agree.") },
  me: { name: t("Me"), about: t("Your own face. Say once that you agree.") },
  consented: { name: t("Someone who agreed"), about: t("A real person who said yes. Keep their consent here.") },
};

// What is said of somebody's kind: nobody has agreed while there is no record of it.
export const kindWords = (character) => (character.kind === "consented" && !hasConsent(character) ? t("A real person") : KINDS[character.kind].name);

export const lacksConsent = (character) => (character.consent ? t("The consent has run out") : t("Consent missing"));

export const real = (character) => character.kind !== "fictional";

export const hasConsent = (character) => {
  const { consent } = character;
  return Boolean(consent) && (!consent.until || consent.until >= today());
};

export function today() {
  const now = new Date();
  return new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

export function portrait(character, { large = false } = {}) {
  const source = character.portrait ? (large ? file : thumbnail)(character.portrait) : character.portrait_url;
  if (!source) return monogram(character.name);
  const image = h("img", { class: "portrait", src: source, alt: "", decoding: "async", draggable: "false" });
  // A picture that is gone leaves its place to the letters.
  image.addEventListener("error", () => image.replaceWith(monogram(character.name)), { once: true });
  return image;
}

export const initials = (name) => name.split(/\s+/).filter(Boolean).slice(0, 2).map((word) => [...word][0]).join("").toUpperCase();

export function monogram(name) {
  const letters = initials(name);
  let hash = 11;
  for (const letter of name) hash = (hash * 31 + letter.codePointAt(0)) % 9973;
  return h("span", { class: "portrait monogram", "aria-hidden": "true", style: { "--hue": (hash * 137.5) % 360 } }, h("span", {}, letters || "?"));
}

// Where photos are added and where the walkthrough ends: what is promised today, and what is not.
export const likenessToday = (who) =>
  who?.lora
    ? t("{name}'s own LoRA draws the face that was learned on the Train tab, their looks go into every prompt, and a picture's seed can be kept.", { name: who.name })
    : t("Their looks go into every prompt, and a picture's seed can be kept. The starter model still draws each face anew, until it is taught this one on the Train tab; larger models come closer.");
export const photosAreFor = () => t("Teach a model this face on the Train tab, start pictures from one, or make a character sheet of it. By themselves they don't change pictures.");

// What the studio itself made of a template; one that somebody added has none and shows its letter.
export const templateFace = (id) => new URL(`templates/${encodeURIComponent(id)}.webp`, import.meta.url).href;

export function templateCard(template, act) {
  return h(
    "button",
    { type: "button", class: "template", onclick: act },
    h("span", { class: "template-face" }, portrait({ name: template.name, portrait_url: templateFace(template.id) })),
    h("span", { class: "template-words" }, h("strong", {}, template.name), h("span", {}, template.about)),
  );
}

// The words are those of prompts. English makes a sentence of them; other languages, which would bend them, make a list.
export function looks({ age, gender, skin, hair, eyes, build, marks }) {
  if (language !== "en") {
    return [gender, age && tn("{count} year old", "{count} years old", age), hair, skin && ending(skin, "skin"), eyes && ending(eyes, "eyes"), build && ending(build, "build"), marks].filter(Boolean).join(", ");
  }
  const who = gender || "person";
  const aged = age ? `${age}-year-old ${who}` : who;
  const article = /^(8|11|18|[aeiou])/i.test(aged) ? "An" : "A";
  const has = [hair, skin && ending(skin, "skin"), eyes && ending(eyes, "eyes")].filter(Boolean);
  const more = [build && ending(build, "build"), marks].filter(Boolean).join(", ");
  if (!has.length && !more && !age && !gender) return "";
  return `${article} ${aged}${has.length ? ` with ${listed(has)}` : ""}${more ? `; ${more}` : ""}.`;
}

const ending = (words, noun) => (words.toLowerCase().includes(noun) ? words : `${words} ${noun}`);
const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
