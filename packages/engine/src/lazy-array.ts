import type { DType, NdArray } from './ndarray.ts';

const lazy = new WeakSet<NdArray>();

/** An array whose numbers are elsewhere, on a GPU say, until somebody reads `data`: then they are fetched, once. */
export function lazyArray(dtype: DType, shape: readonly number[], fetch: () => NdArray['data']): NdArray {
  let data: NdArray['data'] | undefined;
  const array: NdArray = {
    dtype,
    shape,
    get data() {
      data ??= fetch();
      return data;
    },
  };
  lazy.add(array);
  return array;
}

/** Whether looking at the numbers may cost a copy. They fill the shape: whoever made the array saw to that. */
export function isLazy(array: NdArray): boolean {
  return lazy.has(array);
}
