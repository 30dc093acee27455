/** A straight stroke from (x0, y0) to (x1, y1); x to the right, y down. */
export type Segment = readonly [x0: number, y0: number, x1: number, y1: number];

type Point = readonly [x: number, y: number];

// Curves are polygons whose corners come from repeated rotation: only + - * /, so that they are the same on every machine.
const TANGENT_OF_PI_16 = 0.198912367379658;
const COSINE = (1 - TANGENT_OF_PI_16 * TANGENT_OF_PI_16) / (1 + TANGENT_OF_PI_16 * TANGENT_OF_PI_16); // of pi / 8
const SINE = (2 * TANGENT_OF_PI_16) / (1 + TANGENT_OF_PI_16 * TANGENT_OF_PI_16);

/** Points on a curve that turns by pi / 8 a step and whose radius is given for each step. */
function curve(steps: number, radius: (step: number) => number): Point[] {
  const points: Point[] = [];
  let [x, y] = [1, 0];
  for (let step = 0; step <= steps; step++) {
    points.push([radius(step) * x, radius(step) * y]);
    [x, y] = [COSINE * x - SINE * y, SINE * x + COSINE * y];
  }
  return points;
}

function path(...points: readonly Point[]): Segment[] {
  return points.slice(1).map(([x1, y1], i) => {
    const [x0, y0] = points[i] ?? [0, 0];
    return [x0, y0, x1, y1];
  });
}

/** The classes: strokes in a square of half side 1, upright, about as much ink each. */
export const SHAPES: Readonly<Record<string, readonly Segment[]>> = {
  ring: path(...curve(16, () => 0.85)),
  cross: [...path([-0.95, 0], [0.95, 0]), ...path([0, -0.95], [0, 0.95])],
  triangle: path([0, -0.9], [0.9, 0.7], [-0.9, 0.7], [0, -0.9]),
  square: path([-0.75, -0.75], [0.75, -0.75], [0.75, 0.75], [-0.75, 0.75], [-0.75, -0.75]),
  tee: [...path([-0.85, -0.8], [0.85, -0.8]), ...path([0, -0.8], [0, 0.95])],
  ell: path([-0.55, -0.95], [-0.55, 0.8], [0.75, 0.8]),
  zigzag: path([-0.95, 0.65], [-0.5, -0.65], [0, 0.65], [0.5, -0.65], [0.95, 0.65]),
  arrow: [...path([-0.95, 0], [0.95, 0]), ...path([0.25, -0.7], [0.95, 0], [0.25, 0.7])],
  star: [...path([0, -1], [0, 1]), ...path([-0.87, -0.5], [0.87, 0.5]), ...path([-0.87, 0.5], [0.87, -0.5])],
  spiral: path(...curve(26, (step) => 0.1 + 0.034 * step)),
};

// Textures of 4 x 4 pixels, repeated; one a class. A row is four bits. They say something about the class, but are not what makes it.
export const TEXTURES: readonly (readonly number[])[] = [
  [0b1010, 0b0101, 0b1010, 0b0101],
  [0b1111, 0b0000, 0b1111, 0b0000],
  [0b1010, 0b1010, 0b1010, 0b1010],
  [0b1100, 0b1100, 0b0011, 0b0011],
  [0b1000, 0b0100, 0b0010, 0b0001],
  [0b0001, 0b0010, 0b0100, 0b1000],
  [0b1111, 0b1111, 0b0000, 0b0000],
  [0b1100, 0b1100, 0b1100, 0b1100],
  [0b1000, 0b0000, 0b0010, 0b0000],
  [0b0111, 0b1111, 0b1101, 0b1111],
];
