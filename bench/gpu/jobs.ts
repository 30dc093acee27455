// One target of `npm run test:gpu`: times the jobs beside the engine onnx on the CPU, then trains with J-SIGR. One line of JSON on standard output.
import { glyphs } from '@jsigr/datasets';
import { train } from '@jsigr/defenses';
import { createEngine, type DeviceName, type Engine, type EngineName } from '@jsigr/engine';
import { median } from '../statistics.ts';
import { JOBS, type Job, NETWORKS, type Network, stepper } from '../tensorflow/jobs.ts';

const ROUNDS = 20;
const WARM_UP = 3;
const TRAINING_STEPS = 120;
/** Largest difference between the losses of two engines after the same steps, relative to the loss. */
const TOLERANCE = 1e-3;

const [engineName, deviceName] = process.argv.slice(2) as [EngineName, DeviceName];
const target = await createEngine({ engine: engineName, device: deviceName });
const cpu = await createEngine({ engine: 'onnx', device: 'cpu' });
const jobs = [];
for (const network of NETWORKS) for (const job of JOBS) jobs.push(await measure(network, job));
const training = await trained(target);
console.log(JSON.stringify({ info: target.info, jobs, training }));
await Promise.all([target.dispose(), cpu.dispose()]);
if (jobs.some(({ agrees }) => !agrees) || !training.learned) process.exitCode = 1;

async function measure(network: Network, job: Job) {
  const steps = [await stepper(target, network, job), await stepper(cpu, network, job)] as const;
  // later losses drift apart by rounding alone
  const [ours = 0, reference = 0] = [await steps[0](), await steps[1]()];
  const times = steps.map((): number[] => []);
  for (let round = -WARM_UP; round < ROUNDS; round++)
    for (const [i, step] of steps.entries()) {
      const started = performance.now();
      await step();
      if (round >= 0) times[i]?.push(performance.now() - started);
    }
  const [milliseconds, millisecondsOnCpu] = times.map(median);
  const agrees = Math.abs(ours - reference) <= TOLERANCE * Math.abs(reference);
  return { job: `${network.architecture} ${network.batch} ${job}`, milliseconds, millisecondsOnCpu, agrees };
}

/** A short J-SIGR run: it has learned if its last batches are classified far above chance, which is 0.1. */
async function trained(engine: Engine) {
  const config = {
    architecture: 'lenet',
    objective: { name: 'jsigr', settings: {} },
    steps: TRAINING_STEPS,
    batchSize: 64,
    seed: 1,
    heldOutFraction: 0,
  };
  const accuracies: number[] = [];
  const started = performance.now();
  for await (const event of train(engine, config, glyphs({ variant: 'gray28', seed: 1, train: 2048, test: 1 })))
    if (event.type === 'step') accuracies.push(event.accuracy);
  const accuracy = median(accuracies.slice(-10));
  const seconds = (performance.now() - started) / 1000;
  return { steps: accuracies.length, seconds, accuracy, learned: accuracy > 0.4 };
}
