// `npm run bench:agreement -- --python PATH [--golden]`: our derivatives against PyTorch's, from the same weights and inputs.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createEngine, type NdArray, readSafetensors, writeSafetensors } from '@jsigr/engine';
import { type AgreementCase, agreementCases, caseInputs, derivatives, WEIGHTS } from './agreement-cases.ts';
import { type Deviation, deviations, fingerprint, worst } from './compare.ts';
import { flatArrays } from './flat-arrays.ts';

/** The bound that the engine is held to, relative to the largest number of each tensor. */
const LIMIT = 1e-4;
/** Batches that are tried for a case. */
const MAX_SEEDS = 8;
const GOLDEN = new URL('../../tests/golden/engine-agreement.safetensors', import.meta.url);
const PAGE = new URL('../../docs/results/engine-agreement.md', import.meta.url);

const { values } = parseArgs({ options: { python: { type: 'string' }, golden: { type: 'boolean', default: false } } });
if (!values.python) {
  console.error(
    'bench:agreement needs --python PATH, a Python with torch, numpy and safetensors (pip install torch numpy safetensors)',
  );
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'jsigr-agreement-'));
try {
  if (values.golden) await writeGolden(values.python);
  else await compareAll(values.python);
} finally {
  rmSync(folder, { recursive: true });
}

async function compareAll(python: string): Promise<void> {
  const engine = await createEngine({ threads: 1 });
  let pending = agreementCases('full');
  const rows = new Map(pending.map(({ name }) => [name, '']));
  let isHeld = true;
  let version = '';
  let leftOut = 0;
  for (let skipped = 0; pending.length > 0 && skipped < MAX_SEEDS; skipped++) {
    version = runTorch(python, pending);
    const judged = pending.filter((each) => torchError(each).error <= LIMIT);
    leftOut = Math.max(
      leftOut,
      ...pending.filter((each) => !judged.includes(each)).map((each) => torchError(each).error),
    );
    for (const each of judged) {
      const ours = flatArrays(await derivatives(engine, each, caseInputs(each)));
      const single = deviations(ours, resultOf(each, 'torch32'));
      const double = worst(deviations(ours, resultOf(each, 'torch64')));
      isHeld &&= worst(single).error <= LIMIT;
      rows.set(each.name, rowOf(each, single, double, skipped));
      console.log(rows.get(each.name));
    }
    pending = pending.filter((each) => !judged.includes(each)).map((each) => ({ ...each, seed: each.seed + 1 }));
  }
  const { runtimeVersion, blockSize } = engine.info;
  await engine.dispose();
  for (const { name } of pending) console.log(`${name}: no seed of ${MAX_SEEDS} at which PyTorch agrees with itself`);
  isHeld &&= pending.length === 0;
  writeFileSync(
    PAGE,
    page([...rows.values()], leftOut, `${runtimeVersion}, blocks of ${blockSize} channels; ${version}`),
  );
  console.log(isHeld ? `all within ${LIMIT}` : `NOT all within ${LIMIT}`);
  if (!isHeld) process.exitCode = 1;
}

/** How far PyTorch's single precision is from its double precision. */
function torchError(given: AgreementCase): Deviation {
  return worst(deviations(resultOf(given, 'torch32'), resultOf(given, 'torch64')));
}

function rowOf(given: AgreementCase, single: readonly Deviation[], double: Deviation, skipped: number): string {
  const of = (wanted: (name: string) => boolean) => worst(single.filter(({ name }) => wanted(name)));
  const gradient = of((name) => name.startsWith('parameters/'));
  const cells = [
    given.network,
    given.objective,
    of((name) => name === 'loss').error.toExponential(1),
    `${gradient.error.toExponential(1)} (${gradient.name.slice('parameters/'.length)})`,
    of((name) => name === 'images').error.toExponential(1),
    double.error.toExponential(1),
    torchError(given).error.toExponential(1),
    skipped,
  ];
  return `| ${cells.join(' | ')} |`;
}

function page(rows: readonly string[], leftOut: number, versions: string): string {
  return `# The engine against PyTorch

Written by \`npm run bench:agreement -- --python PATH\` (${versions}).

The same weights, images and projections on both sides; batch 8, 32x32x3 images (\`lenet\`: 28x28x1), networks in training mode. Losses: cross-entropy (\`standard\`) and
\`jsigr\` with one projection and no mask, by exact double backpropagation on both sides (lambda_J ${WEIGHTS.jacobianWeight}, lambda_S ${WEIGHTS.gradientWeight}). An error is the largest difference in a tensor, divided by the
largest number of that tensor; each column shows the worst tensor. At most ${LIMIT.toExponential(0)} is asked of the first three. The next two say whose rounding it is: against PyTorch in double precision.

With rectifiers and maximum pooling a derivative jumps where an argument changes its sign, and among a million of them one may be so near to zero that rounding decides it. Then PyTorch in single precision
disagrees with itself in double precision, by up to ${leftOut.toExponential(0)} of a tensor in this run, and there is nothing to agree with: such a batch is left out, by that criterion alone, and the next seed taken. The last column counts them.

| network | loss function | loss | parameter gradients (worst) | input gradient | ours to torch float64 (worst) | torch float32 to float64 (worst) | batches left out |
| --- | --- | --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

/** The golden file of \`tests/agreement.test.ts\`: fingerprints of PyTorch's derivatives in double precision. */
async function writeGolden(python: string): Promise<void> {
  const cases = agreementCases('small');
  const version = runTorch(python, cases);
  const prints = cases.map((each) => [each.name, fingerprint(resultOf(each, 'torch64'))] as const);
  const bytes = writeSafetensors(Object.fromEntries(prints), {
    source: `${version}, float64`,
    command: 'npm run bench:agreement -- --golden',
  });
  writeFileSync(GOLDEN, bytes);
  console.log(`${fileURLToPath(GOLDEN)}: ${bytes.length} bytes`);
}

function runTorch(python: string, cases: readonly AgreementCase[]): string {
  for (const each of cases)
    writeFileSync(
      join(folder, `${each.name}.inputs.safetensors`),
      writeSafetensors(flatArrays(caseInputs(each)), { case: JSON.stringify({ ...each, ...WEIGHTS }) }),
    );
  const script = fileURLToPath(new URL('agreement.py', import.meta.url));
  return execFileSync(python, [script, folder], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}

function resultOf({ name }: AgreementCase, kind: 'torch32' | 'torch64'): Record<string, NdArray> {
  const { tensors } = readSafetensors(readFileSync(join(folder, `${name}.${kind}.safetensors`)));
  return tensors as Record<string, NdArray>;
}
