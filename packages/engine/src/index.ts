export * from './errors.ts';
export * from './ndarray.ts';
export * from './random.ts';
export * from './safetensors.ts';
