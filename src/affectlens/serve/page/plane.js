// Valence and arousal in one plane (report/circumplex.py): a point for each picture, a cross for its intervals.

import { drawing, element } from "./dom.js";
import { interval } from "./words.js";

const SIDE = 300;
const [LEFT, TOP, RIGHT, BOTTOM] = [44, 14, 14, 44];
const QUARTERS = [
  ["tense", 0.03, 0.06, "start"],
  ["excited", 0.97, 0.06, "end"],
  ["gloomy", 0.03, 0.97, "start"],
  ["calm", 0.97, 0.97, "end"],
];

export const hasPlane = (model) =>
  scaleOf(model, "valence") !== undefined && scaleOf(model, "arousal") !== undefined;

// points: [{ name, row }], of one model that has both ratings.
export function affectPlane(points, model) {
  const [across, up] = [scaleOf(model, "valence"), scaleOf(model, "arousal")];
  const x = (value) => LEFT + (SIDE * (value - across.low)) / (across.high - across.low);
  const y = (value) => TOP + (SIDE * (up.high - value)) / (up.high - up.low);
  const label = points
    .map(
      ({ name, row }) =>
        `${name}: valence ${row.valence.mean.toFixed(1)}, ${interval(row.valence)}; arousal ${row.arousal.mean.toFixed(1)}, ${interval(row.arousal)}`,
    )
    .join(". ");
  return drawing(
    "svg",
    {
      viewBox: `0 0 ${LEFT + SIDE + RIGHT} ${TOP + SIDE + BOTTOM}`,
      class: "plane",
      role: "img",
      "aria-label": label,
    },
    grid(across, up, x, y),
    points.map((point, index) => cross(point, index, x, y)),
  );
}

// Which point is which picture: by colour and shape. Names in the plane would lie on each other's crosses.
export const planeKey = (points) =>
  element(
    "p",
    { class: "legend" },
    points.map(({ name }, index) =>
      element("span", { class: `key n${index + 1}` }, element("i", { class: "swatch" }), name),
    ),
  );

function grid(across, up, x, y) {
  const [middle, half] = [LEFT + SIDE / 2, TOP + SIDE / 2];
  const axes = [
    drawing("rect", { x: LEFT, y: TOP, width: SIDE, height: SIDE }),
    drawing("ellipse", { cx: middle, cy: half, rx: SIDE / 2, ry: SIDE / 2 }),
    drawing("path", { d: `M${middle} ${TOP}v${SIDE}M${LEFT} ${half}h${SIDE}` }),
  ];
  const quarters = QUARTERS.map(([word, right, down, anchor]) =>
    drawing("text", { x: LEFT + SIDE * right, y: TOP + SIDE * down, "text-anchor": anchor }, word),
  );
  const ticks = ticksOf(across).map((value) =>
    drawing("text", { x: x(value), y: TOP + SIDE + 16, "text-anchor": "middle" }, String(value)),
  );
  const levels = ticksOf(up).map((value) =>
    drawing("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, String(value)),
  );
  const names = [
    drawing(
      "text",
      { x: middle, y: TOP + SIDE + 37, "text-anchor": "middle", class: "axis" },
      "valence: unpleasant to pleasant",
    ),
    drawing(
      "text",
      { transform: `translate(14 ${half}) rotate(-90)`, "text-anchor": "middle", class: "axis" },
      "arousal: calm to stirring",
    ),
  ];
  return drawing("g", { class: "grid" }, axes, quarters, ticks, levels, names);
}

function cross({ row }, index, x, y) {
  const { valence, arousal } = row;
  const [cx, cy] = [x(valence.mean), y(arousal.mean)];
  return drawing(
    "g",
    { class: `point n${index + 1}${row.unusual ? " unusual" : ""}` },
    drawing("path", {
      d: `M${x(valence.low)} ${cy}H${x(valence.high)}M${cx} ${y(arousal.low)}V${y(arousal.high)}`,
    }),
    index
      ? drawing("rect", { class: "mark", x: cx - 5, y: cy - 5, width: 10, height: 10 })
      : drawing("circle", { class: "mark", cx, cy, r: 6 }),
  );
}

const scaleOf = (model, name) => model.ratings.find((each) => each.name === name);
const ticksOf = ({ low, high }) => [low, (low + high) / 2, high];
