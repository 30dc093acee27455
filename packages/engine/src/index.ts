export * from './errors.ts';
export * from './ndarray.ts';
