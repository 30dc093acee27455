// `npm run bench:tensorflow [rounds] [threads]`: the engine `tensorflow` and the engine `onnx` against `tf.function` of Python's TensorFlow, step by
// step in turn, because machines are noisy. PYTHON names an interpreter that has TensorFlow.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createEngine, type NdArray } from '@jsigr/engine';
import { median, ratio } from '../statistics.ts';
import { JOBS, NETWORKS, type Network, startOf, stepper } from './jobs.ts';

interface Measured {
  readonly wall: number;
  readonly cpu: number;
  readonly loss: number | undefined;
}
type Step = () => Promise<Measured>;

/** How many times the time of `tf.function` the engine tensorflow may take. */
const LIMIT = 1.3;

const [rounds, threads] = [Number(process.argv[2] ?? 15), Number(process.argv[3] ?? 1)];
const engines = [
  await createEngine({ engine: 'tensorflow', device: 'cpu', threads }),
  await createEngine({ engine: 'onnx', device: 'cpu', threads }),
];
const peer = await startPeer();
console.log(
  `${engines.map(({ info }) => info.runtimeVersion).join(', ')}, block ${engines[1]?.info.blockSize}; tf.function ${peer.version}; ` +
    `${threads} thread(s), ${rounds} rounds; milliseconds: wall median (CPU minimum, median)`,
);
for (const network of NETWORKS)
  for (const job of JOBS) {
    const steps = [await peer.start(network, job)];
    for (const engine of engines) {
      const step = await stepper(engine, network, job);
      steps.push(() => measured(step));
    }
    const results = steps.map((): Measured[] => []);
    for (let round = -3; round < rounds; round++)
      for (const [i, step] of steps.entries()) {
        const result = await step();
        if (round >= 0) results[i]?.push(result);
      }
    report(`${network.architecture} ${network.batch} ${job}`, results);
  }
peer.stop();
await Promise.all(engines.map((engine) => engine.dispose()));

function report(title: string, [python = [], tensorflow = [], onnx = []]: readonly Measured[][]): void {
  const wall = (list: readonly Measured[]) => median(list.map((result) => result.wall));
  const least = (list: readonly Measured[]) => Math.min(...list.map((result) => result.cpu));
  const cells = [python, tensorflow, onnx].map(
    (list) => `${wall(list).toFixed(1)} (${least(list).toFixed(1)}, ${median(list.map((r) => r.cpu)).toFixed(1)})`,
  );
  console.log(
    `${title.padEnd(20)} tf.function ${cells[0]} | tensorflow ${cells[1]} | onnx ${cells[2]} | ` +
      `tensorflow / tf.function: wall ${(wall(tensorflow) / wall(python)).toFixed(2)}, cpu ${ratio(least(tensorflow) / least(python), LIMIT)}` +
      ` | losses ${[python, tensorflow, onnx].map((list) => list.at(-1)?.loss?.toPrecision(5)).join(' ')}`,
  );
}

async function measured(step: () => Promise<number | undefined>): Promise<Measured> {
  const [started, before] = [performance.now(), process.cpuUsage()];
  const loss = await step();
  const { user, system } = process.cpuUsage(before);
  return { wall: performance.now() - started, cpu: (user + system) / 1000, loss };
}

async function startPeer() {
  const script = fileURLToPath(new URL('peer.py', import.meta.url));
  const interop = process.env.TF_NUM_INTEROP_THREADS ?? '1';
  const child: ChildProcess = spawn(process.env.PYTHON ?? 'python3', [script, String(threads), interop], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('Python ended: PYTHON must name an interpreter that has TensorFlow');
    return JSON.parse(value) as Record<string, never>;
  };
  const ask = (request: object) => {
    child.stdin?.write(`${JSON.stringify(request)}\n`);
    return answer();
  };
  const { version } = await answer();
  const start = async (network: Network, job: string): Promise<Step> => {
    const folder = mkdtempSync(join(tmpdir(), 'jsigr-peer-'));
    const { state, batch } = startOf(network);
    const parameters = Object.entries(state.parameters).map(([name, array]) => [`parameters ${name}`, array] as const);
    const arrays: [string, NdArray][] = [...parameters, ['x', batch.x], ['y', batch.y], ['v', batch.v]] as never;
    for (const [name, { data }] of arrays) writeFileSync(join(folder, name), data);
    writeFileSync(
      join(folder, 'shapes.json'),
      JSON.stringify(Object.fromEntries(arrays.map(([name, { shape }]) => [name, shape]))),
    );
    const { id } = await ask({ start: folder, network: network.architecture, job });
    rmSync(folder, { recursive: true });
    return async () => (await ask({ step: id })) as unknown as Measured;
  };
  return { version, start, stop: () => child.stdin?.end() };
}
