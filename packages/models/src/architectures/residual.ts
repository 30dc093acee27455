import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { filters2d, type Layers, logitLayer } from '../layers.ts';
import { NORM_LAYERS, type NormKind } from '../norm-layers.ts';
import { constant, type ParameterShapes } from '../parameter-shape.ts';
import type { Architecture } from './architecture.ts';

export interface ResidualNetwork {
  readonly name: string;
  readonly summary: string;
  /** Filters of the first convolution. */
  readonly stem: number;
  /** Filters of each stage's blocks; every stage but the first halves the image. */
  readonly stages: readonly number[];
  /** Blocks of a stage. */
  readonly blocks: number;
  /** `after` a convolution (He et al. 2016a) or `before` it (He et al. 2016b, wide residual networks). */
  readonly activation: 'after' | 'before';
}

interface Block {
  readonly stage: number;
  readonly name: string;
  readonly channels: number;
  readonly filters: number;
  readonly stride: number;
}

/** A residual network for small images: 3x3 stem without pooling, basic blocks of two 3x3 convolutions, 1x1 projections, global average. */
export function residualNetwork(network: ResidualNetwork): Architecture {
  const blocks = blocksOf(network);
  const width = network.stages.at(-1) ?? network.stem;
  const { block, first, last, outer, parameters } = network.activation === 'after' ? AFTER : BEFORE;
  return {
    name: network.name,
    summary: network.summary,
    norms: ['batch', 'group'],
    hasDenoising: true,
    parameters: ([, , channels], classes, { norm, denoise }) =>
      Object.assign(
        filters2d('stem', 3, channels, network.stem),
        ...blocks.map((each) => parameters(each, NORM_LAYERS[norm].parameters)),
        ...(denoise ? network.stages.map((filters, stage) => denoisingBlock(stage, filters, norm)) : []),
        outer(NORM_LAYERS[norm].parameters, network.stem, width),
        logitLayer(width, classes),
      ) as ParameterShapes,
    forward: (layers, images) => {
      const features = network.stages.reduce(
        (x: Tensor, _, stage) => {
          const ofStage = blocks.filter((each) => each.stage === stage);
          return layers.denoise(
            ofStage.reduce((y, each) => block(layers, each, y), x),
            denoisingName(stage),
          );
        },
        first(layers, images),
      );
      return layers.dense(tf.mean(last(layers, features), [1, 2]), 'logits');
    },
  };
}

function blocksOf({ stem, stages, blocks }: ResidualNetwork): Block[] {
  return stages.flatMap((filters, stage) =>
    Array.from({ length: blocks }, (_, index) => ({
      stage,
      name: `stage${stage + 1}.block${index + 1}`,
      channels: index > 0 ? filters : (stages[stage - 1] ?? stem),
      filters,
      stride: index === 0 && stage > 0 ? 2 : 1,
    })),
  );
}

const denoisingName = (stage: number) => `stage${stage + 1}.denoise`;

/** Parameters of the block after a stage. Its norm's scale starts at zero, so that a fresh block changes nothing (Xie et al., arXiv 1812.03411). */
function denoisingBlock(stage: number, filters: number, norm: NormKind): ParameterShapes {
  const name = denoisingName(stage);
  return {
    ...filters2d(name, 1, filters, filters, Math.SQRT1_2),
    ...NORM_LAYERS[norm].parameters(`${name}.norm`, filters),
    [`${name}.norm.scale`]: constant([filters], 0),
  };
}

function hasProjection({ channels, filters, stride }: Block): boolean {
  return stride !== 1 || channels !== filters;
}

type NormParameters = (name: string, channels: number) => ParameterShapes;

function convolutionsOf(block: Block): ParameterShapes {
  const { name, channels, filters } = block;
  return {
    ...filters2d(`${name}.conv1`, 3, channels, filters),
    ...filters2d(`${name}.conv2`, 3, filters, filters),
    // No rectifier follows the projection: gain sqrt(1/2) keeps the variance.
    ...(hasProjection(block) ? filters2d(`${name}.shortcut`, 1, channels, filters, Math.SQRT1_2) : {}),
  };
}

interface Style {
  parameters(block: Block, norm: NormParameters): ParameterShapes;
  /** Parameters outside the blocks. */
  outer(norm: NormParameters, stem: number, width: number): ParameterShapes;
  /** The stem: what the first block is given. */
  first(layers: Layers, images: Tensor): Tensor;
  block(layers: Layers, block: Block, x: Tensor): Tensor;
  /** After the last block. */
  last(layers: Layers, x: Tensor): Tensor;
}

const AFTER: Style = {
  parameters: (block, norm) => ({
    ...convolutionsOf(block),
    ...norm(`${block.name}.norm1`, block.filters),
    ...norm(`${block.name}.norm2`, block.filters),
    ...(hasProjection(block) ? norm(`${block.name}.shortcut.norm`, block.filters) : {}),
  }),
  outer: (norm, stem) => norm('stem.norm', stem),
  first: ({ normedFilter, activate }, images) => activate(normedFilter(images, 'stem', 1, 'stem.norm')),
  block: ({ normedFilter, activate }, block, x) => {
    const { name, stride } = block;
    const inner = activate(normedFilter(x, `${name}.conv1`, stride, `${name}.norm1`));
    const residual = normedFilter(inner, `${name}.conv2`, 1, `${name}.norm2`);
    const shortcut = hasProjection(block) ? normedFilter(x, `${name}.shortcut`, stride, `${name}.shortcut.norm`) : x;
    return activate(tf.add(shortcut, residual));
  },
  last: (_, x) => x,
};

const BEFORE: Style = {
  parameters: (block, norm) => ({
    ...convolutionsOf(block),
    ...norm(`${block.name}.norm1`, block.channels),
    ...norm(`${block.name}.norm2`, block.filters),
  }),
  outer: (norm, _, width) => norm('norm', width),
  first: ({ filter }, images) => filter(images, 'stem', 1),
  block: ({ filter, normedFilter, norm, activate }, block, x) => {
    const { name, stride } = block;
    const entry = activate(norm(x, `${name}.norm1`));
    const inner = activate(normedFilter(entry, `${name}.conv1`, stride, `${name}.norm2`));
    const residual = filter(inner, `${name}.conv2`, 1);
    return tf.add(hasProjection(block) ? filter(entry, `${name}.shortcut`, stride) : x, residual);
  },
  last: ({ norm, activate }, x) => activate(norm(x, 'norm')),
};
