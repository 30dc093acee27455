import type { OnnxGraph, OnnxNode } from './graph.ts';
import { dimensions4 } from './layout.ts';

// The blocked kernels take groups of whole blocks, or groups of one channel that make one (depthwise). So as many groups as fill whole blocks are
// taken as one, whose filter is zero where they would meet: that multiplies by zeros, but at the speed of the fast kernel, and images stay blocked.

interface Groups {
  /** So many neighbours are taken as one group ... */
  readonly merged: number;
  /** ... which leaves so many groups; groups of zeros fill up. */
  readonly count: number;
}

/** The groups as the kernels take them, by how many channels enter each and how many leave it. */
export function groupsOf(block: number, groups: number, channelsIn: number, channelsOut: number): Groups {
  if (groups === 1) return { merged: 1, count: 1 };
  if (channelsIn === 1 && channelsOut === 1) return { merged: 1, count: Math.ceil(groups / block) * block };
  const isWhole = (merged: number) => (merged * channelsIn) % block === 0 && (merged * channelsOut) % block === 0;
  let merged = 1;
  while (merged < groups && !isWhole(merged)) merged++;
  return { merged, count: Math.ceil(groups / merged) };
}

/** A filter [kh, kw, I / groups, O] as one of groups that the kernels take. */
export function wholeGroups(
  graph: OnnxGraph,
  filter: OnnxNode,
  groups: number,
): { readonly filter: OnnxNode; readonly groups: number } {
  const [kh, kw, channelsIn, outputs] = dimensions4(filter.shape);
  const channelsOut = outputs / groups;
  const { merged, count } = groupsOf(graph.block, groups, channelsIn, channelsOut);
  const missing = (merged * count - groups) * channelsOut;
  const full = graph.pad(filter, [0, 0, 0, 0], [0, 0, 0, missing]);
  if (merged === 1) return { filter: full, groups: count };
  const split = graph.reshape(full, [kh, kw, 1, channelsIn, count, merged, channelsOut]);
  const shape = [kh, kw, merged, channelsIn, count, merged, channelsOut];
  const apart = graph.node('Mul', [split, diagonal(graph, merged)], shape);
  return { filter: graph.reshape(apart, [kh, kw, merged * channelsIn, count * merged * channelsOut]), groups: count };
}

/** What `wholeGroups` made of the filter [kh, kw, I / groups, O]: its adjoint. */
export function ownGroups(graph: OnnxGraph, filter: OnnxNode, groups: number, shape: readonly number[]): OnnxNode {
  const [kh, kw, channelsIn, outputs] = dimensions4(shape);
  const channelsOut = outputs / groups;
  const { merged, count } = groupsOf(graph.block, groups, channelsIn, channelsOut);
  const split = [kh, kw, merged, channelsIn, count, merged, channelsOut];
  const own =
    merged === 1
      ? filter
      : graph.reduce(
          'ReduceSum',
          graph.node('Mul', [graph.reshape(filter, split), diagonal(graph, merged)], split),
          [2],
        );
  const all = graph.reshape(own, [kh, kw, channelsIn, count * merged * channelsOut]);
  return graph.slice(all, [0, 0, 0, 0], shape);
}

/** The filter [kh, kw, O / groups, I] that leads from the channels that one [kh, kw, I / groups, O] makes back to those that it takes. */
export function transposedFilter(graph: OnnxGraph, filter: OnnxNode, groups: number): OnnxNode {
  if (groups === 1) return graph.reordered(filter, filter.shape, [0, 1, 3, 2]);
  const [kh, kw, channelsIn, outputs] = dimensions4(filter.shape);
  const split = [kh, kw, channelsIn, groups, outputs / groups];
  const back = graph.reordered(filter, split, [0, 1, 4, 3, 2]);
  return graph.reshape(back, [kh, kw, outputs / groups, groups * channelsIn]);
}

/** One where a group meets itself: [1, 1, merged, 1, 1, merged, 1]. */
function diagonal(graph: OnnxGraph, merged: number): OnnxNode {
  const ones = Array.from({ length: merged * merged }, (_, i) => Number(i % (merged + 1) === 0));
  return graph.constant(ones, [1, 1, merged, 1, 1, merged, 1]);
}
