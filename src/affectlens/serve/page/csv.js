// Rows as `affectlens predict --out x.csv` writes them (inference/output/rows.py: RowSchema.columns).

const POLARITY = ["positive", "negative"];
const MADE_BY = ["model", "weights", "version", "engine", "precision"];

// Rows of one model, in the order that they are shown in.
export function predictionsCsv(rows, model) {
  const columns = columnsOf(rows, model);
  const cellsOf = (cells) => columns.map((name) => cells[name]);
  return csvText([columns, ...rows.map((row) => cellsOf(flat(row, model)))]);
}

// RFC 4180, with the line ends of Unix.
export const csvText = (lines) => lines.map((cells) => cells.map(field).join(",")).join("\n") + "\n";

function columnsOf(rows, model) {
  const words = model.emotions.map((each) => each.name);
  const emotions = words.some((word) => POLARITY.includes(word))
    ? [...POLARITY.filter((word) => words.includes(word)), ...words]
    : [...words, ...POLARITY];
  const has = (key) => rows.some((row) => row[key] !== undefined);
  const attributes = [...new Set(rows.flatMap((row) => Object.keys(row.attributes ?? {})))];
  const ratings = model.ratings.flatMap(({ name }) => [name, `${name}_low`, `${name}_high`]);
  const unusual = has("unusual") ? ["unusual"] : [];
  const sets = has("set") ? ["set", "coverage"] : [];
  const rest = [...unusual, ...sets, ...attributes, ...MADE_BY, "error_type", "error_message"];
  return [...new Set(["image", "top", ...emotions, ...ratings, ...rest])];
}

function flat(row, model) {
  const ratings = model.ratings
    .filter(({ name }) => row[name])
    .flatMap(({ name }) => [
      [name, row[name].mean],
      [`${name}_low`, row[name].low],
      [`${name}_high`, row[name].high],
    ]);
  return {
    ...row,
    ...row.attributes,
    ...row.polarity,
    ...row.emotions,
    ...Object.fromEntries(ratings),
    error_type: row.error?.type,
    error_message: row.error?.message,
  };
}

function field(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
