import type { Dataset } from './dataset.ts';
import { type GlyphOptions, glyphs } from './glyphs/glyphs.ts';
import { readCifar10 } from './import/cifar.ts';
import { readMnist } from './import/idx.ts';

/** A format that `jsigr datasets import NAME DIRECTORY` reads. */
export interface Importer {
  readonly name: string;
  readonly summary: string;
  /** @throws DatasetError naming the file at fault */
  read(directory: string): Promise<Dataset>;
}

/** A dataset that needs no import. */
export interface KnownDataset {
  readonly name: string;
  readonly summary: string;
  /** The options that give the dataset of this name; others give others of its kind. */
  readonly defaults: GlyphOptions;
  /** @throws DatasetError INVALID_OPTION naming the option */
  make(options?: Partial<Omit<GlyphOptions, 'variant'>>): Dataset;
}

/** Every importer by name; adding one takes its file and its line here. */
export const importers: Readonly<Record<string, Importer>> = {
  mnist: { name: 'mnist', summary: 'IDX files of MNIST, Fashion-MNIST or KMNIST, plain or gzipped', read: readMnist },
  cifar10: {
    name: 'cifar10',
    summary: "CIFAR-10's binary version (data_batch_*.bin, test_batch.bin)",
    read: readCifar10,
  },
};

/** Every embedded dataset by name. */
export const knownDatasets: Readonly<Record<string, KnownDataset>> = {
  glyphs: known('glyphs', 'ten bright shapes on cluttered ground, 28 x 28 gray, with masks of what makes the class', {
    variant: 'gray28',
    seed: 1,
    train: 8000,
    test: 2000,
  }),
  'glyphs-color': known('glyphs-color', 'the same ten shapes in colour, 32 x 32, with masks', {
    variant: 'color32',
    seed: 1,
    train: 8000,
    test: 2000,
  }),
};

function known(name: string, summary: string, defaults: GlyphOptions): KnownDataset {
  return { name, summary, defaults, make: (options) => glyphs({ ...defaults, ...options }) };
}
