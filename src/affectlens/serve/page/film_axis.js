// What stands below a film's emotions: its ratings as lines, and its time.

import { drawing, element } from "./dom.js";
import { capital, clock } from "./words.js";

const [WIDTH, HEIGHT] = [1000, 70];
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const MOST_TICKS = 8;

// A line for each rating of a model, over the length of its scale.
export class RatingLines {
  constructor(model) {
    this.scales = model.ratings;
    this.lines = this.scales.map(({ name }, index) => {
      const line = drawing("path", { class: index ? "second" : "first" });
      const svg = drawing(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
        drawing("path", { class: "middle", d: `M0 ${HEIGHT / 2}H${WIDTH}` }),
        line,
      );
      const { low, high } = this.scales[index];
      const text = `${capital(name)}, ${low} to ${high}`;
      const row = element("div", { class: "rating-line" }, svg, element("span", {}, text));
      return { line, row };
    });
    this.element = element(
      "div",
      { hidden: !this.lines.length },
      this.lines.map(({ row }) => row),
    );
  }

  draw(frames, duration) {
    this.lines.forEach(({ line }, index) => {
      const { name, low, high } = this.scales[index];
      const known = frames.filter(({ ratings }) => ratings && name in ratings);
      const points = known.map(({ time, ratings }) => {
        const across = duration ? (WIDTH * time) / duration : 0;
        const down = HEIGHT * (1 - (ratings[name] - low) / (high - low));
        return `${across.toFixed(1)} ${down.toFixed(1)}`;
      });
      line.setAttribute("d", points.length ? `M${points.join("L")}` : "");
    });
  }
}

// Times at round numbers of seconds; the last stands far enough from the end to be read.
export function timeAxis(duration) {
  const step = STEPS.find((each) => duration / each <= MOST_TICKS) ?? Math.ceil(duration / MOST_TICKS / 3600) * 3600;
  const count = Math.floor((0.94 * duration) / step);
  return Array.from({ length: count + 1 }, (_, index) =>
    element("span", { style: { left: `${(100 * index * step) / (duration || 1)}%` } }, clock(index * step)),
  );
}

// The times of unusual frames as one shape, in percent: each reaches half-way to the frames next to it.
export function veil(frames, duration) {
  if (!duration) return "polygon(0 0)";
  const across = (second) => Math.min(100, Math.max(0, (100 * second) / duration));
  const corners = frames.flatMap((frame, index) => {
    if (!frame.unusual) return [];
    const left = across((frame.time + (frames[index - 1]?.time ?? 0)) / 2);
    const right = across((frame.time + (frames[index + 1]?.time ?? duration)) / 2);
    // Down and up again on the left, so that the shapes hang together by lines without width.
    return [[left, 0], [right, 0], [right, 100], [left, 100], [left, 0]];
  });
  return `polygon(${corners.map(([x, y]) => `${x.toFixed(2)}% ${y}%`).join(", ") || "0 0"})`;
}
