import {
  AttackPlan,
  type AugmentationSpec,
  Certification,
  type DatasetSample,
  Feedback,
  ModelFormat,
} from '@jsigr/proto';
import { InvalidArgumentError } from 'commander';

// Parsers of option values. What they throw becomes "option '--x' argument 'y' is invalid. <message>"; ranges are the gateway's business.

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A decimal number, or a fraction of two: `0.1`, `8/255`. */
export function number(text: string): number {
  const [above = '', below, ...rest] = text.split('/');
  if (!NUMBER.test(above) || (below !== undefined && !NUMBER.test(below)) || rest.length > 0)
    throw new InvalidArgumentError(`"${text}" is not a number; write 0.1 or 8/255.`);
  const value = Number(above) / (below === undefined ? 1 : Number(below));
  if (!Number.isFinite(value)) throw new InvalidArgumentError(`"${text}" is not a finite number.`);
  return value;
}

/** A whole number in `least`..2^32-1. */
export function integer(least: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= 0xffff_ffff))
      throw new InvalidArgumentError(`"${text}" is not a whole number in ${least}..4294967295.`);
    return value;
  };
}

/** TCP port, 0 for any free one. */
export function port(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 65_535)) throw new InvalidArgumentError(`"${text}" is not a port in 0..65535.`);
  return value;
}

/** `0.1,0.2` or `2/255,8/255`. */
export function numbers(text: string): number[] {
  return text.split(',').map(number);
}

/** `lenet,resnet8`. */
export function words(text: string): string[] {
  const list = text.split(',').map((word) => word.trim());
  if (!list.every(Boolean))
    throw new InvalidArgumentError('write names with commas between them, such as lenet,resnet8.');
  return list;
}

/** Height, width and channels of an image: `32x32x3`. */
export function imageShape(text: string): number[] {
  const shape = text.split('x').map((side) => (/^\d+$/.test(side) ? Number(side) : Number.NaN));
  if (shape.length !== 3 || !shape.every((side) => side >= 1))
    throw new InvalidArgumentError(`"${text}" is not height, width and channels; write 32x32x3.`);
  return shape;
}

/** Collects `key=value` pairs of an option that may be repeated. */
export function setting(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError(`"${text}" has no value; write key=value.`);
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Collects the values of an option that may be repeated. */
export function repeated<T>(parse: (text: string) => T): (text: string, before?: T[]) => T[] {
  return (text, before = []) => [...before, parse(text)];
}

/**
 * `NAME[@NORM][:EPSILONS][:key=value,...]`: `pgd`, `pgd:0.1,0.2`, `pgd@l2:0.5`, `pgd:8/255:steps=40,restarts=5`.
 * Without epsilons the plan's own (`--epsilon`) are used.
 */
export function attack(text: string): AttackPlan {
  const [head = '', ...parts] = text.split(':');
  const match = /^([a-z][a-z0-9-]*)(?:@([a-z0-9]+))?$/.exec(head);
  const epsilons = parts.filter((part) => !part.includes('='));
  const settings = parts.filter((part) => part.includes('='));
  if (!match || epsilons.length > 1 || settings.length > 1)
    throw new InvalidArgumentError(
      `write NAME[@NORM][:EPSILONS][:key=value,...], such as pgd:0.1,0.2 or pgd@l2:0.5:steps=40.`,
    );
  return AttackPlan.fromPartial({
    attack: match[1] ?? '',
    norm: match[2] ?? '',
    epsilons: epsilons[0] === undefined ? [] : numbers(epsilons[0]),
    settings: settings[0]?.split(',').reduce<Record<string, string>>((all, pair) => setting(pair, all), {}) ?? {},
  });
}

/** `0.25` or `0.25:samples=500,draws=1000,alpha=0.01`; ranges are the gateway's business. */
export function certification(text: string): Certification {
  const [head = '', pairs, ...rest] = text.split(':');
  const given = pairs?.split(',').reduce<Record<string, string>>((all, pair) => setting(pair, all), {}) ?? {};
  const { samples = '0', draws = '0', alpha = '0', ...unknown } = given;
  const [other] = Object.keys(unknown);
  if (other !== undefined || rest.length > 0)
    throw new InvalidArgumentError(
      `write SIGMA[:key=value,...] with keys of samples, draws and alpha, such as 0.25:samples=500.`,
    );
  return Certification.fromPartial({
    sigma: number(head),
    samples: integer(0)(samples),
    draws: integer(0)(draws),
    alpha: number(alpha),
  });
}

/** `autoattack` or `autoattack@l2`; which there are is the gateway's business. */
export function profile(text: string): string {
  if (!/^[a-z][a-z0-9-]*(@[a-z0-9]+)?$/.test(text))
    throw new InvalidArgumentError('write NAME[@NORM], such as autoattack or autoattack@l2.');
  return text;
}

/**
 * `crop=2,flip,noise=0.1,cutout=8`: random shifts by up to so many pixels, random left-right flips, uniform noise of up to so much, squares of
 * this side that are set to 0.
 */
export function augmentation(text: string): AugmentationSpec {
  let spec: AugmentationSpec = { cropPadding: 0, flip: false, noise: 0, cutout: 0 };
  for (const part of text.split(',')) {
    const crop = /^crop=([0-8])$/.exec(part);
    const cutout = /^cutout=(\d{1,2})$/.exec(part);
    if (crop) spec = { ...spec, cropPadding: Number(crop[1]) };
    else if (cutout) spec = { ...spec, cutout: Number(cutout[1]) };
    else if (part === 'flip') spec = { ...spec, flip: true };
    else if (part.startsWith('noise=')) spec = { ...spec, noise: number(part.slice('noise='.length)) };
    else
      throw new InvalidArgumentError(
        `"${part}" is none of crop=PIXELS (0..8), flip, noise=SIZE (0..1), cutout=PIXELS (0..64).`,
      );
  }
  return spec;
}

/** `glyphs:12` or `glyphs/train:12`: a sample of a dataset, of its test part unless said otherwise. */
export function sample(text: string): DatasetSample {
  const match = /^(?:datasets\/)?([a-z][a-z0-9-]*)(?:\/(train|test))?:(\d+)$/.exec(text);
  if (!match) throw new InvalidArgumentError(`write DATASET:INDEX, such as glyphs:12 or mnist/train:3.`);
  return { dataset: `datasets/${match[1]}`, part: match[2] ?? 'test', index: integer(0)(match[3] ?? '') };
}

/** File for a raw map. */
export function rawFile(text: string): string {
  if (!/\.(json|f32)$/.test(text)) throw new InvalidArgumentError(`"${text}" ends neither in .json nor in .f32.`);
  return text;
}

export const feedbacks: Readonly<Record<string, Feedback>> = {
  none: Feedback.FEEDBACK_NONE,
  select: Feedback.FEEDBACK_SELECT,
  'early-stop': Feedback.FEEDBACK_EARLY_STOP,
  adapt: Feedback.FEEDBACK_ADAPT,
  augment: Feedback.FEEDBACK_AUGMENT,
};

export const modelFormats: Readonly<Record<string, ModelFormat>> = { onnx: ModelFormat.MODEL_FORMAT_ONNX };

/** `glyphs` as `datasets/glyphs`: people may leave the collection out. */
export function resource(collection: string, name: string): string {
  return name.includes('/') ? name : `${collection}/${name}`;
}
