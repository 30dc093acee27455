import { float32, type NdArray } from '../ndarray.ts';
import { centralDifference, dot } from '../testing.ts';
import { type Derivatives, type Feeds, joined, moved } from './derivatives.ts';
import { compare, deviation, type Finding } from './findings.ts';

const STEP = 0.02;

/** The gradient is that of the value, the curvature that of the gradient, as differences along the direction tell. */
export async function checkByDifferences(
  label: string,
  feeds: Feeds<NdArray>,
  run: (feeds: Feeds<NdArray>) => Promise<Derivatives<NdArray>>,
  tolerance: number,
): Promise<Finding[]> {
  const { gradient, curvature } = await run(feeds);
  const runs = new Map<number, Promise<Derivatives<NdArray>>>();
  const along = (step: number) => {
    const known = runs.get(step) ?? run(moved(feeds, step));
    runs.set(step, known);
    return known;
  };
  const slope = float32([dot(joined(gradient), joined(feeds.direction))], []);
  const first = derivativeOf(`${label} gradient by differences`, slope, async (step) => (await along(step)).value);
  if (Object.keys(curvature).length === 0) return [await first];
  const slopes = async (step: number) => joined((await along(step)).gradient);
  return [await first, await derivativeOf(`${label} curvature by differences`, joined(curvature), slopes)];

  /** Two differences tell how far they can be trusted. */
  async function derivativeOf(check: string, actual: NdArray, f: (step: number) => Promise<NdArray>): Promise<Finding> {
    const [coarse, fine] = [await centralDifference(f, STEP), await centralDifference(f, STEP / 2)];
    return compare(check, actual, fine, tolerance + 4 * deviation(coarse, fine, 1), 1);
  }
}
