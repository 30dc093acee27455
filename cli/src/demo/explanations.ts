import { type AdversarialExample, ExplainedOutput, type ExplainResponse, type FloatTensor } from '@jsigr/proto';
import { unary } from '@jsigr/service/client';
import type { Mean, Tile, TileGrid } from '../report/data.ts';
import { imagePicture, mapPicture, outlinePath } from '../report/pictures.ts';
import type { Session } from '../session.ts';
import { floatsOf, tensorOf } from '../tensor.ts';
import { decimal } from '../terminal/format.ts';
import { bounded } from './bounded.ts';
import type { DatasetPart } from './dataset-part.ts';
import { meanOf, relevanceMass } from './relevance.ts';

/** A model that is explained: what the report calls it, and its name. */
export interface Explained {
  readonly label: string;
  readonly model: string;
}

// The first one may have to start an explainer.
const DEADLINE_MS = 120_000;
// The explainer works in batches: some requests at once are cheaper than one after the other.
const AT_ONCE = 16;

/** One explanation of the predicted class. */
export function explain(session: Session, model: string, image: FloatTensor, method: string): Promise<ExplainResponse> {
  const request = {
    model,
    image: { source: { $case: 'tensor' as const, value: image } },
    method,
    settings: {},
    target: undefined,
    output: ExplainedOutput.EXPLAINED_OUTPUT_LOGIT,
    seed: 0,
    overlay: false,
    overlayScale: 0,
  };
  return unary(session.explanations, 'explain', request, { deadlineMs: DEADLINE_MS });
}

/** Mean relevance inside the masks over the first samples of the part; undefined where it has no masks. */
export async function relevanceOf(
  session: Session,
  { model }: Explained,
  part: DatasetPart,
  method: string,
  samples: number,
): Promise<Mean | undefined> {
  const { mask } = part;
  if (!mask) return undefined;
  const indices = Array.from({ length: Math.min(samples, part.count) }, (_, index) => index);
  const shares = await bounded(indices, AT_ONCE, async (index) => {
    const { attribution } = await explain(session, model, tensorOf(part.shape, part.image(index)), method);
    return attribution && relevanceMass(floatsOf(attribution), mask(index));
  });
  return meanOf(shares.filter((share) => share !== undefined));
}

/** Share of the pixels that the masks of the first samples cover. */
export function maskAreaOf(part: DatasetPart, samples: number): number | undefined {
  const { mask } = part;
  if (!mask) return undefined;
  const areas = Array.from({ length: Math.min(samples, part.count) }, (_, index) => {
    const pixels = mask(index);
    return pixels.reduce((sum, pixel) => sum + (pixel === 0 ? 0 : 1), 0) / pixels.length;
  });
  return meanOf(areas)?.mean;
}

/**
 * The first examples that turned a right prediction into a wrong one, as many as wanted, of different classes as far as there are.
 * A choice, and the report says so.
 */
export function turnedExamples(
  examples: readonly AdversarialExample[],
  wanted: { readonly attack: string; readonly epsilon: number; readonly count: number },
): AdversarialExample[] {
  const turned = examples.filter(
    ({ attack, epsilon, label, predictedBefore, predictedAfter }) =>
      attack === wanted.attack &&
      Math.abs(epsilon - wanted.epsilon) < 1e-6 &&
      predictedBefore === label &&
      predictedAfter !== label,
  );
  const firstOfClass = turned.filter(({ label }, at) => turned.findIndex((other) => other.label === label) === at);
  const others = turned.filter((example) => !firstOfClass.includes(example));
  return [...firstOfClass, ...others].slice(0, wanted.count);
}

/** One sample: the image and each model's map of it, before and after the attack. */
export async function sampleGrid(
  session: Session,
  models: readonly Explained[],
  part: DatasetPart,
  example: AdversarialExample,
  { method, classNames }: { readonly method: string; readonly classNames: readonly string[] },
): Promise<TileGrid> {
  const { index, label, image: adversarial, attack, epsilon } = example;
  const truth = classNames[label] ?? `class ${label}`;
  const outline = outlineOf(part, index);
  const row = async (name: string, image: FloatTensor, caption: string) => ({
    label: name,
    tiles: [
      { picture: imagePicture(floatsOf(image), image.shape), alt: `${name}, ${truth}`, caption, ...outline },
      ...(await Promise.all(models.map((one) => mapTile(session, one, image, method, { label, classNames, outline })))),
    ],
  });
  const rows = [await row('as it is', tensorOf(part.shape, part.image(index)), truth)];
  if (adversarial) rows.push(await row('attacked', adversarial, `${attack} ${decimal(epsilon)}`));
  return { title: `Test sample ${index}: ${truth}`, columns: ['image', ...models.map((one) => one.label)], rows };
}

/** One image by several methods: a row a model, a column a method. */
export async function methodGrid(
  session: Session,
  models: readonly Explained[],
  part: DatasetPart,
  index: number,
  { methods, classNames }: { readonly methods: readonly string[]; readonly classNames: readonly string[] },
): Promise<TileGrid> {
  const image = tensorOf(part.shape, part.image(index));
  const label = part.label(index);
  const outline = outlineOf(part, index);
  const rows = await Promise.all(
    models.map(async (one) => ({
      label: one.label,
      tiles: await Promise.all(
        methods.map((method) => mapTile(session, one, image, method, { label, classNames, outline })),
      ),
    })),
  );
  return { title: `Test sample ${index}: ${classNames[label] ?? `class ${label}`}`, columns: methods, rows };
}

interface Truth {
  readonly label: number;
  readonly classNames: readonly string[];
  readonly outline: { readonly outline?: string };
}

async function mapTile(
  session: Session,
  { label: name, model }: Explained,
  image: FloatTensor,
  method: string,
  { label, classNames, outline }: Truth,
): Promise<Tile> {
  const { attribution, predicted } = await explain(session, model, image, method);
  const says = classNames[predicted] ?? `class ${predicted}`;
  const map = attribution ?? tensorOf([1, 1], new Float32Array(1));
  return {
    picture: mapPicture(floatsOf(map), map.shape),
    alt: `${method} map of ${name}, which says ${says}`,
    caption: says,
    correct: predicted === label,
    ...outline,
  };
}

function outlineOf({ mask, shape: [height = 0, width = 0] }: DatasetPart, index: number): { outline?: string } {
  return mask ? { outline: outlinePath(mask(index), height, width) } : {};
}
