import { type Engine, float32, type NdArray, scalar, type Tree } from '@jsigr/engine';
import { specsOf } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { AttackContext } from './attack.ts';
import { startOf } from './step.ts';

/** A traced function compiled for the shapes of these inputs, and run on them. The engine keeps what it compiled. */
export async function runCompiled<Output extends Record<string, Tensor>>(
  engine: Engine,
  name: string,
  traced: (inputs: never) => Output,
  inputs: Readonly<Record<string, Tree<NdArray>>>,
): Promise<{ readonly [Name in keyof Output]: NdArray }> {
  const compiled = await engine.compile(traced as unknown as Parameters<Engine['compile']>[0], specsOf(inputs), {
    name,
  });
  return (await compiled.run(inputs)) as { readonly [Name in keyof Output]: NdArray };
}

export const UNIT_BOX = { lower: scalar(0), upper: scalar(1) } as const;

/** The inputs of a step that stay the same over the whole attack. */
export function fixedInputs({ source, images, labels, epsilon }: AttackContext) {
  return { parameters: source.parameters, images, labels, epsilon: scalar(epsilon), ...UNIT_BOX };
}

/** A point drawn uniformly from the ball around each image, then brought into the box. */
export async function randomStart(context: AttackContext, stream: string): Promise<NdArray> {
  const { engine, images, norm, epsilon, seed, restart, sampleIndices } = context;
  const size = images.data.length / sampleIndices.length;
  const unit = new Float32Array(images.data.length);
  sampleIndices.forEach((sample, row) => {
    unit.set(norm.sample({ seed, stream, step: restart, sample }, size), row * size);
  });
  const inputs = { images, unit: float32(unit, images.shape), epsilon: scalar(epsilon), ...UNIT_BOX };
  return (await runCompiled(engine, `${stream}/${norm.name}`, startOf(norm), inputs)).adversarial;
}
