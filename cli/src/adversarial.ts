import type { KeptAdversarial } from '@jsigr/attacks';
import type { Evaluation } from '@jsigr/proto';
import { readEvaluationFile } from './evaluation-file.ts';
import { once, saveStream, within } from './files.ts';
import { encodePng } from './report/png.ts';
import type { Session } from './session.ts';
import { settingsName } from './terminal/format.ts';

const FILE = 'adversarial.safetensors';

/** The adversarial images of an evaluation, as the gateway keeps them. */
export interface Adversarial {
  readonly file: Buffer;
  readonly input: readonly [number, number, number];
  /** The nearest to their originals first, norm by norm. */
  readonly all: readonly KeptAdversarial[];
}

export async function readAdversarial(session: Session, { name }: Evaluation): Promise<Adversarial> {
  const file = await readEvaluationFile(session, name, FILE);
  // Loaded when it is needed, as in `attacks list`.
  const { decodeAdversarial } = await import('@jsigr/attacks');
  return { file, ...decodeAdversarial(file) };
}

/** The nearest of each sample, of all norms the nearest first; distances of different norms are not compared: norms take turns. */
export function nearestMisses(all: readonly KeptAdversarial[], most: number): KeptAdversarial[] {
  const norms = [...new Set(all.map(({ norm }) => norm))].map((norm) => {
    const own = all.filter((one) => one.norm === norm);
    return own.filter((one, at) => own.findIndex(({ sample }) => sample === one.sample) === at);
  });
  const longest = Math.max(0, ...norms.map(({ length }) => length));
  const turns = Array.from({ length: longest }, (_, at) => norms.flatMap((own) => own[at] ?? []));
  return turns.flat().slice(0, most);
}

/** How many of the images fool the model, and how many of them still do after rounding to 8 bits. */
export interface Exported {
  readonly images: number;
  readonly survived: number;
}

/**
 * Writes the images below a folder: `adversarial.safetensors` with everything, and for each image that can be shown as one (grey or RGB) a PNG of its
 * rounded form, `ATTACK-NORM-EPSILON[-SETTINGS]/SAMPLE-is-LABEL-seen-as-CLASS.png`, with a number where there are several;
 * `index.json` lists them with their distance and what the model says.
 */
export async function exportAdversarial(
  folder: string,
  { file, input, all }: Adversarial,
  { evaluation, model }: { readonly evaluation: string; readonly model: string },
): Promise<Exported> {
  const [height, width, channels] = input;
  const isPicture = channels === 1 || channels === 3;
  const survived = all.filter(({ label, predictedRounded }) => label !== predictedRounded).length;
  await saveStream(`${folder}/${FILE}`, once(file));
  const paths = pathsOf(all);
  const entries = all.map(({ original: _, rounded, image: __, ...facts }, i) => ({
    path: paths[i] ?? '',
    rounded,
    facts,
  }));
  if (isPicture)
    for (const { path, rounded } of entries)
      await saveStream(`${folder}/${within(path)}`, once(encodePng(rounded, height, width, channels)));
  const index = {
    evaluation,
    model,
    images: all.length,
    foolsInEightBits: survived,
    entries: entries.map(({ path, facts }) => ({
      ...(isPicture && { path }),
      ...facts,
      foolsInEightBits: facts.label !== facts.predictedRounded,
    })),
  };
  await saveStream(`${folder}/index.json`, once(Buffer.from(`${JSON.stringify(index, undefined, 1)}\n`)));
  return { images: all.length, survived };
}

/** Of each image its own: several restarts of an attack may turn a sample into the same class. */
function pathsOf(all: readonly KeptAdversarial[]): string[] {
  const seen = new Map<string, number>();
  return all.map(({ attack, norm, epsilon, settings, sample, label, predictedRounded }) => {
    const parts = [attack, norm, Number(epsilon.toPrecision(6)), fileName(settingsName(settings))];
    const name = `${String(sample).padStart(5, '0')}-is-${label}-seen-as-${predictedRounded}`;
    const path = `${parts.filter((part) => part !== '').join('-')}/${name}`;
    const times = (seen.get(path) ?? 0) + 1;
    seen.set(path, times);
    return `${path}${times === 1 ? '' : `-${times}`}.png`;
  });
}

/** `ni+si steps=20` as `ni+si,steps=20`; the settings come out of a file, and what file systems or shells may trip over is left out. */
function fileName(settings: string): string {
  return settings.replaceAll(' ', ',').replace(/[^\w.,=+-]/g, '_');
}
