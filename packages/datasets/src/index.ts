export { type Augmentation, addNoise, augmentBatch, drawTransforms, type Transform } from './augment.ts';
export { type Batch, epochOrder, gatherBatch } from './batches.ts';
export { decodeDataset, encodeDataset } from './codec.ts';
export type { Dataset, Files, Split } from './dataset.ts';
export { DatasetError, type DatasetErrorReason } from './errors.ts';
export { type GlyphOptions, type GlyphVariant, glyphs } from './glyphs/glyphs.ts';
export { type HeldOut, holdOut } from './hold-out.ts';
export { type Importer, importers, type KnownDataset, knownDatasets } from './registry.ts';
export { type SplitStatistics, splitStatistics } from './statistics.ts';
