import type { Call } from './call.ts';

/** One axis of a window that slides over images. */
export interface WindowAxis {
  readonly size: number;
  readonly stride: number;
  readonly dilation: number;
  readonly before: number;
  readonly after: number;
}

/** Pixels of a kernel, a stride, a padding: a malformed file must not make the importer write out a huge window. */
const LARGEST = 512;

/** Vertical and horizontal axis. */
export type Window = readonly [WindowAxis, WindowAxis];

/** Extent of a window with its gaps. */
export function reach({ size, dilation }: Pick<WindowAxis, 'size' | 'dilation'>): number {
  return (size - 1) * dilation + 1;
}

/** The window that a node describes (`strides`, `dilations`, `pads`, `auto_pad`) over images of this height and width. */
export function windowOf(call: Call, kernel: readonly number[], image: readonly number[]): Window {
  if (kernel.length !== 2)
    throw call.error('UNSUPPORTED_OPERATION', `a window of ${kernel.length} dimensions; only 2 are supported`);
  const list = (name: string, fallback: number) => call.integers(name) ?? [fallback, fallback];
  const [strides, dilations, pads] = [list('strides', 1), list('dilations', 1), call.integers('pads') ?? [0, 0, 0, 0]];
  const autoPad = call.text('auto_pad', 'NOTSET') || 'NOTSET';
  const axis = (i: 0 | 1): WindowAxis => {
    const [size, stride, dilation] = [kernel[i] ?? 0, strides[i] ?? 0, dilations[i] ?? 0];
    const isSane = (value: number, least: number) => Number.isInteger(value) && value >= least && value <= LARGEST;
    if (![size, stride, dilation].every((value) => isSane(value, 1)) || !pads.every((value) => isSane(value, 0)))
      throw call.error(
        'UNSUPPORTED_OPERATION',
        `kernel [${kernel}], strides [${strides}], dilations [${dilations}], pads [${pads}]; up to ${LARGEST} pixels are supported`,
      );
    if (autoPad === 'NOTSET') return { size, stride, dilation, before: pads[i] ?? 0, after: pads[i + 2] ?? 0 };
    if (autoPad === 'VALID') return { size, stride, dilation, before: 0, after: 0 };
    const length = image[i] ?? 0;
    const total = Math.max(0, (Math.ceil(length / stride) - 1) * stride + reach({ size, dilation }) - length);
    return { size, stride, dilation, ...splitPadding(call, autoPad, total) };
  };
  return [axis(0), axis(1)];
}

/** SAME_UPPER puts the odd pixel after the image, SAME_LOWER before it. */
export function splitPadding(call: Call, autoPad: string, total: number): { before: number; after: number } {
  const [less, more] = [Math.floor(total / 2), Math.ceil(total / 2)];
  if (autoPad === 'SAME_UPPER') return { before: less, after: more };
  if (autoPad === 'SAME_LOWER') return { before: more, after: less };
  throw call.error('MALFORMED_FILE', `auto_pad is '${autoPad}'`);
}

/** Paddings of a window as the kernels of TensorFlow.js take them. */
export function paddingOf([vertical, horizontal]: Window): [number, number][] {
  return [
    [0, 0],
    [vertical.before, vertical.after],
    [horizontal.before, horizontal.after],
    [0, 0],
  ];
}
