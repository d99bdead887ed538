// Numbers and names as people read them, in the wording of the reports (report/text.py, inference/text.py).

const NARROW = "\u00a0";

export function percent(part) {
  if (part > 0.9995) return `over 99.9${NARROW}%`;
  if (part < 0.0005) return `under 0.1${NARROW}%`;
  const digits = part < 0.0095 || part > 0.9905 ? 1 : 0;
  return `${(100 * part).toFixed(digits)}${NARROW}%`;
}

export function listed(names, last = "and") {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} ${last} ${names.at(-1)}`;
}

export const interval = (rating) => `${rating.low.toFixed(1)} to ${rating.high.toFixed(1)}`;
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const plural = (count, one, several = `${one}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? one : several}`;

export function clock(seconds, digits = 0) {
  const units = Math.floor(Math.max(0, seconds) * 10 ** digits + 1e-6);
  const all = Math.floor(units / 10 ** digits);
  const [hours, minutes, rest] = [
    Math.floor(all / 3600),
    Math.floor(all / 60) % 60,
    String(all % 60).padStart(2, "0"),
  ];
  const text = hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  return digits ? `${text}.${String(units % 10 ** digits).padStart(digits, "0")}` : text;
}

// Words with their probabilities, the likeliest first; of equal ones the first stays first.
export const ranked = (emotions) => Object.entries(emotions).sort(([, one], [, other]) => other - one);

export function headline(emotions) {
  const values = Object.values(emotions);
  const standsOut = Math.max(...values) * values.length >= 2 || values.length <= 2;
  return standsOut ? "Most likely to evoke" : "No emotion stands out; the likeliest is";
}

export function setSentence(row, facts) {
  if (!row.set) return null;
  const every = row.set.length === Object.keys(row.emotions).length;
  const named = every ? facts.any_emotion : listed(row.set, "or");
  return facts.set_sentence.replace("{hundredths}", Math.round(100 * row.coverage)).replace("{words}", named);
}

export function polaritySentence(row) {
  if (!row.polarity || "positive" in row.emotions) return null;
  return `A positive feeling ${percent(row.polarity.positive)}, a negative one ${percent(row.polarity.negative)}.`;
}

// What a model that predicts attributes found, and which of them speak for its answer.
export function evidenceSentences(attributes) {
  const found = [];
  const seen = Object.entries(attributes.predicted_attributes ?? {})
    .map(([name, words]) => [name, [words].flat().filter((each) => each.probability >= 0.2)])
    .filter(([, words]) => words.length)
    .map(
      ([name, words]) =>
        `${name.replaceAll("_", " ")} ${words.map((each) => `${each.word} (${percent(each.probability)})`).join(", ")}`,
    );
  if (seen.length) found.push(`Seen: ${seen.join(", ")}.`);
  const reasons = attributes.because ?? [];
  if (reasons.length) {
    const named = reasons.map(
      (each) =>
        `${each.attribute === null ? "what has no name" : `${each.absent ? "no " : ""}${each.attribute} ${each.word}`} (${percent(each.share)})`,
    );
    found.push(`${capital(reasons[0].emotion)} because of ${named.join(", ")}.`);
  }
  return found;
}
