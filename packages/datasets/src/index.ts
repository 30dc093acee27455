export type { Dataset, Files, Split } from './dataset.ts';
export { DatasetError, type DatasetErrorReason } from './errors.ts';
export { type GlyphOptions, type GlyphVariant, glyphs } from './glyphs/glyphs.ts';
