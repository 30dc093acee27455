import type { NdArray } from '@jsigr/engine';

/** Arrays and groups of arrays as one record: `images`, `parameters/conv1.weight`. */
export function flatArrays(tree: object): Record<string, NdArray> {
  return Object.fromEntries(
    Object.entries(tree as Record<string, NdArray | Readonly<Record<string, NdArray>>>).flatMap(([name, value]) =>
      isArray(value)
        ? [[name, value] as const]
        : Object.entries(value).map(([key, child]) => [`${name}/${key}`, child] as const),
    ),
  );
}

function isArray(value: NdArray | Readonly<Record<string, NdArray>>): value is NdArray {
  return Array.isArray(value.shape);
}
