// `npm run bench:onnx -- --python PATH`: the ONNX files of every architecture, read by Python's onnxruntime, by the reference implementation of the onnx package, and by PyTorch.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createEngine, float32, sizeOf, uniform, writeSafetensors } from '@jsigr/engine';
import { classifierToOnnx, createClassifier, listArchitectures, predict } from '@jsigr/models';
import { movedParameters } from '../../packages/models/src/testing.ts';

/** Of the largest logit. */
const LIMIT = 1e-5;
const BATCH = 5;
const PAGE = new URL('../../docs/results/onnx-export.md', import.meta.url);
const READERS = ['onnxruntime', 'reference', 'torch'] as const;

interface Read {
  readonly versions: Readonly<Record<string, string>>;
  readonly rows: Readonly<Record<string, Record<(typeof READERS)[number], number>>>;
}

const { values } = parseArgs({ options: { python: { type: 'string' } } });
if (!values.python) {
  console.error(
    'bench:onnx needs --python PATH, a Python with onnx, onnxruntime and PyTorch (pip install onnx onnxruntime onnx2torch torch numpy safetensors)',
  );
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'jsigr-onnx-'));
try {
  await writeAll();
  const script = fileURLToPath(new URL('onnx_export.py', import.meta.url));
  const printed = execFileSync(values.python, [script, folder], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const found = JSON.parse(printed) as Read;
  const text = page(found);
  writeFileSync(PAGE, text);
  console.log(text);
  if (!isHeld(found)) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}

/** Each architecture as it comes, and one with each switch that changes what is exported. */
async function writeAll(): Promise<void> {
  const engine = await createEngine({ threads: 1 });
  const networks = [
    ...listArchitectures().map(({ name }) => ({ architecture: name })),
    { architecture: 'resnet20', norm: 'group', activation: 'gelu' } as const,
    { architecture: 'resnet20', denoise: true } as const,
    { architecture: 'lenet', norm: 'batch', activation: 'silu' } as const,
    { architecture: 'smallcnn', activation: 'softplus' } as const,
  ];
  for (const network of networks) {
    const input = network.architecture === 'lenet' ? ([28, 28, 1] as const) : ([32, 32, 3] as const);
    const spec = { input, classes: 10, ...network };
    const classifier = createClassifier(spec, movedParameters(spec, 3), network.architecture);
    const images = float32(uniform({ seed: 4, stream: 'images' }, BATCH * sizeOf(input)), [BATCH, ...input]);
    const { logits } = await predict(engine, classifier, images);
    const name = [
      network.architecture,
      ...Object.entries(network)
        .slice(1)
        .map((each) => each.join('=')),
    ].join(' ');
    writeFileSync(join(folder, `${name}.onnx`), classifierToOnnx(classifier));
    writeFileSync(join(folder, `${name}.safetensors`), writeSafetensors({ images, logits }));
  }
  await engine.dispose();
}

function isHeld({ rows }: Read): boolean {
  return Object.values(rows).every((row) => READERS.every((reader) => row[reader] <= LIMIT));
}

function page(found: Read): string {
  const versions = Object.entries(found.versions).map(([name, version]) => `${name} ${version}`);
  const rows = Object.entries(found.rows).map(
    ([name, row]) => `| ${[name, ...READERS.map((reader) => row[reader].toExponential(1))].join(' | ')} |`,
  );
  return `# Our ONNX files in Python

Written by \`npm run bench:onnx -- --python PATH\` (${versions.join(', ')}).

Every architecture with random weights as an ONNX file, checked by the onnx package, and read by Python's onnxruntime, by that package's reference implementation, which is NumPy, and by PyTorch (onnx2torch, of opset 17 by onnx' version converter): the largest difference of their logits from ours for ${BATCH} random images, of the largest logit.
At most ${LIMIT.toExponential(0)} is asked: ${isHeld(found) ? 'held' : 'NOT held'}.

| network | onnxruntime | reference | PyTorch |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}
