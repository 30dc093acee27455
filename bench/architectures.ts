// `npm run architectures` writes docs/architectures.md; a test says when it is out of date.
import { writeFileSync } from 'node:fs';
import { createEngine, graphFlops, sizeOf, spec } from '@jsigr/engine';
import { forwardOf, type ImageShape, listArchitectures, parameterShapes } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';

const INPUTS: readonly ImageShape[] = [
  [28, 28, 1],
  [32, 32, 3],
];
const CLASSES = 10;

/** The page with sizes and costs of every architecture. */
export async function architecturesPage(): Promise<string> {
  const rows: string[] = [];
  for (const { name, summary, norms } of listArchitectures()) {
    const sizes = await Promise.all(INPUTS.map((input) => sizesOf(name, input)));
    const cells = sizes.flatMap(({ trained, flops }) => [trained.toLocaleString('en'), (flops / 1e6).toFixed(1)]);
    rows.push(
      `| \`${name}\` | ${[...cells, sizes[0]?.statistics.toLocaleString('en'), norms.join(', '), summary].join(' | ')} |`,
    );
  }
  return `# Architectures

Written by \`npm run architectures\`. For ${CLASSES} classes: trained parameters, and millions of floating-point operations of one image's forward pass (convolutions and matrix products; a
multiplication and its addition are two). Running statistics are kept beside the trained parameters where the norm is \`batch\`, the first of a list being the default.

| name | ${INPUTS.map((input) => `parameters, ${input.join('x')} | MFLOP`).join(' | ')} | running statistics | norms | what it is |
| --- | ${INPUTS.map(() => '---: | ---:').join(' | ')} | ---: | --- | --- |
${rows.join('\n')}
`;
}

async function sizesOf(architecture: string, input: ImageShape) {
  const model = { architecture, input, classes: CLASSES };
  const shapes = Object.entries(parameterShapes(model));
  const count = (isStatistic: boolean) =>
    shapes.reduce((sum, [, each]) => sum + (each.isStatistic === isStatistic ? sizeOf(each.shape) : 0), 0);
  const forward = forwardOf(model);
  const logits = ({ parameters, images }: { parameters: Record<string, Tensor>; images: Tensor }) => ({
    logits: forward(parameters, images),
  });
  // The reference engine only traces here.
  const engine = await createEngine({ engine: 'reference' });
  const { graph } = await engine.compile(logits, {
    parameters: Object.fromEntries(shapes.map(([name, { shape }]) => [name, spec(...shape)])),
    images: spec(1, ...input),
  });
  await engine.dispose();
  return { trained: count(false), statistics: count(true), flops: graphFlops(graph) };
}

if (import.meta.main) writeFileSync(new URL('../docs/architectures.md', import.meta.url), await architecturesPage());
