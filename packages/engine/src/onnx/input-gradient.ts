import { sameShape } from '../graph.ts';
import { ceilTo, directConvolution, type Geometry, unpadChannels } from './convolution.ts';
import { inputGradientByTransposed } from './gpu-convolution.ts';
import { at, type OnnxGraph, type OnnxNode } from './graph.ts';
import { transposedFilter, wholeGroups } from './groups.ts';
import { blockedToRows, dimensions4, rows, rowsValue, type Value } from './layout.ts';

/**
 * One axis of an input gradient of stride s and padding p: dx[P*i + q] = sum over d of dy[u*i + d] * w[q + p - s*d] for each of the P = s*u
 * phases q. Every phase is a convolution of dy with stride u, whose kernel is the rows of w that the phase meets.
 */
interface Phase {
  /** The rows of the filter, in the order of the taps. */
  readonly rows: readonly number[];
  /** Rows of zeros before and after dy; negative: so many are cut off. */
  readonly before: number;
  readonly after: number;
}

interface PhaseAxis {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  /** Positions of dy. */
  readonly from: number;
  /** Stride u of the convolutions. */
  readonly step: number;
  /** Positions of dx for each phase. */
  readonly positions: number;
}

/** The phase q alone: just the taps that lie in the filter. */
function phase(q: number, { kernel, stride, padding, from, step, positions }: PhaseAxis): Phase {
  const first = Math.ceil((q + padding - (kernel - 1)) / stride);
  const last = Math.floor((q + padding) / stride);
  const rows = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => q + padding - stride * (first + i));
  return { rows, before: -first, after: (positions - 1) * step + last + 1 - from };
}

/** All phases with the same taps, those of the widest: rows that lie outside the filter point behind its end. */
function alignedPhases(axis: PhaseAxis): readonly Phase[] {
  const { kernel, stride, padding, from, step, positions } = axis;
  const period = stride * step;
  const first = Math.ceil((padding - (kernel - 1)) / stride);
  const last = Math.floor((period - 1 + padding) / stride);
  return Array.from({ length: period }, (_, q) => {
    const taps = Array.from({ length: last - first + 1 }, (_, i) => q + padding - stride * (first + i));
    const rows = taps.map((row) => (row >= 0 && row < kernel ? row : kernel));
    return { rows, before: -first, after: (positions - 1) * step + last + 1 - from };
  });
}

/** The input gradient of a convolution: [N, OH, OW, O] and a filter [kh, kw, I / groups, O] -> [N, H, W, I]. */
export function convolveInputGradient(
  graph: OnnxGraph,
  dy: Value,
  filterValue: Value,
  geometry: Geometry,
  shape: readonly number[],
): Value {
  const filter = rows(graph, filterValue);
  const isStrided = geometry.strides.some((stride) => stride > 1);
  if (graph.isForGpu && isStrided) return inputGradientByTransposed(graph, dy, filter, geometry, shape);
  return geometry.groups > 1 || at(shape, 3) % graph.block === 0
    ? inputGradientByPhases(graph, dy, filter, geometry, shape)
    : inputGradientInOne(graph, dy, filter, geometry, shape);
}

function axesOf(step: number, dy: Value, filter: OnnxNode, { strides, before }: Geometry, shape: readonly number[]) {
  const axis = (a: 0 | 1): PhaseAxis => ({
    kernel: at(filter.shape, a),
    stride: strides[a],
    padding: before[a],
    from: at(dy.shape, a + 1),
    step,
    positions: Math.ceil(at(shape, a + 1) / (strides[a] * step)),
  });
  return { y: axis(0), x: axis(1) };
}

/** Whole blocks of channels: one convolution for each phase, so that no tap is computed in vain; then they are interleaved. */
function inputGradientByPhases(
  graph: OnnxGraph,
  dy: Value,
  filter: OnnxNode,
  geometry: Geometry,
  shape: readonly number[],
): Value {
  const back = wholeGroups(graph, transposedFilter(graph, filter, geometry.groups), geometry.groups);
  const { y, x } = axesOf(1, dy, filter, geometry, shape);
  const images = range(y.stride).flatMap((qy) =>
    range(x.stride).map((qx) => {
      const [down, across] = [phase(qy, y), phase(qx, x)];
      if (down.rows.length === 0 || across.rows.length === 0) return undefined;
      const taps = graph.gather(graph.gather(back.filter, down.rows, 0), across.rows, 1);
      const padding = { before: [down.before, across.before], after: [down.after, across.after] } as const;
      return directConvolution(graph, dy, taps, { strides: [1, 1], ...padding, groups: back.groups });
    }),
  );
  const [only] = images;
  if (images.length === 1 && only) return unpadChannels(graph, only, shape);
  const padded = [...shape.slice(0, 3), ceilTo(at(back.filter.shape, 3), graph.block)];
  const all: Value = { layout: 'phases', shape: padded, dtype: 'float32', period: geometry.strides, images };
  return sameShape(padded, shape) ? all : rowsValue(graph.slice(rows(graph, all), [0, 0, 0, 0], shape), 'float32');
}

/** Less than a block of channels: the phases are output channels of one convolution, whose stride u makes enough of them to fill a block. */
function inputGradientInOne(
  graph: OnnxGraph,
  dy: Value,
  filter: OnnxNode,
  geometry: Geometry,
  shape: readonly number[],
): Value {
  const [n, height, width, channels] = dimensions4(shape);
  const channelsOut = at(filter.shape, 3);
  const [sh, sw] = geometry.strides;
  let u = 1;
  while (2 * u * sh * 2 * u * sw * channels <= graph.block) u *= 2;
  const { y, x } = axesOf(u, dy, filter, geometry, shape);
  const [down, across] = [alignedPhases(y), alignedPhases(x)];
  const [firstDown, firstAcross] = [down[0] as Phase, across[0] as Phase];

  const index = (phases: readonly Phase[]) => phases.flatMap((phase) => phase.rows);
  const zeroRow = (phases: readonly Phase[], kernel: number) => Number(index(phases).includes(kernel));
  let f = graph.pad(filter, [0, 0, 0, 0], [zeroRow(down, y.kernel), zeroRow(across, x.kernel), 0, 0]);
  f = graph.gather(graph.gather(f, index(down), 0), index(across), 1);
  const [tapsDown, tapsAcross] = [firstDown.rows.length, firstAcross.rows.length];
  const split = [down.length, tapsDown, across.length, tapsAcross, channels, channelsOut];
  f = graph.reordered(f, split, [1, 3, 5, 0, 2, 4]);
  const used = down.length * across.length * channels;
  f = graph.reshape(f, [tapsDown, tapsAcross, channelsOut, used]);
  const z = directConvolution(graph, dy, f, {
    strides: [u, u],
    before: [firstDown.before, firstAcross.before],
    after: [firstDown.after, firstAcross.after],
    groups: 1,
  });
  const plain = graph.slice(blockedToRows(graph, z), [0, 0, 0, 0], [n, y.positions, x.positions, used]);
  const phases = graph.reshape(plain, [n, y.positions, x.positions, down.length, across.length, channels]);
  const image = graph.reshape(graph.transpose(phases, [0, 1, 3, 2, 4, 5]), [
    n,
    y.positions * down.length,
    x.positions * across.length,
    channels,
  ]);
  return rowsValue(graph.slice(image, [0, 0, 0, 0], [n, height, width, channels]), 'float32');
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
