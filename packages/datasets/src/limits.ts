import type { Dataset, Split } from './dataset.ts';
import { DatasetError, type DatasetErrorReason } from './errors.ts';

/** Labels are bytes. */
export const MOST_CLASSES = 256;
/** Longest side of an image, in pixels. */
export const MOST_SIDE = 1024;
/** Most bytes that one file of an import may have, after decompression. */
export const MOST_FILE_BYTES = 2 ** 30;

/**
 * A dataset whose parts agree: sizes fill counts, labels name classes, masks are 0 or 1.
 * @throws DatasetError of the given reason and field, saying which part does not
 */
export function checkedDataset(dataset: Dataset, reason: DatasetErrorReason, field: string): Dataset {
  const { input, classes } = dataset;
  const require = (holds: boolean, message: () => string) => {
    if (!holds) throw new DatasetError(reason, field, message());
  };
  const [height, width, channels] = input;
  const sized = (size: number, most: number) => Number.isInteger(size) && size >= 1 && size <= most;
  require(sized(height, MOST_SIDE) && sized(width, MOST_SIDE) && sized(channels, 4), () =>
    `input [${input}] must be [1..${MOST_SIDE}, 1..${MOST_SIDE}, 1..4]`);
  require(classes.length >= 2 && classes.length <= MOST_CLASSES, () =>
    `${classes.length} classes must be 2 to ${MOST_CLASSES}`);
  for (const name of ['train', 'test'] as const) checkSplit(name, dataset[name]);
  return dataset;

  function checkSplit(name: string, { count, images, labels, masks }: Split): void {
    require(Number.isInteger(count) && count >= 1, () => `${name} has ${count} samples; at least 1 is needed`);
    const area = count * height * width;
    require(images.length === area * channels, () =>
      `${name} has ${images.length} image bytes, but ${count} images of [${input}] take ${area * channels}`);
    require(labels.length === count, () => `${name} has ${labels.length} labels for ${count} images`);
    const stray = labels.findIndex((label) => label >= classes.length);
    require(stray < 0, () =>
      `label ${labels[stray]} of ${name} sample ${stray} is not one of 0..${classes.length - 1}`);
    if (!masks) return;
    require(masks.length === area, () => `${name} has ${masks.length} mask bytes, but ${count} masks take ${area}`);
    require(masks.every((bit) => bit <= 1), () => `the masks of ${name} hold other bytes than 0 and 1`);
  }
}
