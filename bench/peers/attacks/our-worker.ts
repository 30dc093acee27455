// A tool of `main.ts`: our attacks. Takes a job as its argument, writes the adversarial images, and answers with one line.
import { readFileSync, writeFileSync } from 'node:fs';
import { evaluate, profilePlan } from '@jsigr/attacks';
import { createEngine, type Engine, float32, type NdArray, readSafetensors, writeSafetensors } from '@jsigr/engine';
import { argmax, createClassifier, type ImageShape } from '@jsigr/models';
import { type Answer, ATTACKS, type Job } from './cases.ts';

const job = JSON.parse(process.argv[2] ?? '{}') as Job;
const { tensors } = readSafetensors(readFileSync(job.input));
const { images, labels, logits, ...weights } = tensors;
if (images?.dtype !== 'uint8' || labels?.dtype !== 'uint8' || !logits) throw new Error(`${job.input} is no input`);
const input = images.shape.slice(1) as unknown as ImageShape;
const parameters = Object.fromEntries(
  Object.entries(weights).map(([name, array]) => [name.slice('parameters/'.length), array as NdArray]),
);
const [count = 0, classes = 0] = logits.shape;
const target = createClassifier({ architecture: job.network, input, classes }, parameters, job.network);
const engine = await createEngine({ threads: job.threads, device: job.device });
const scores = logits.data as Float32Array;
const indices = Array.from({ length: Math.min(job.samples, count) }, (_, i) => i).filter(
  (i) => argmax(scores.subarray(i * classes, (i + 1) * classes)) === labels.data[i],
);

const spent = { forwards: 0, backwards: 0 };
const startBytes = memory('VmRSS');
const size = input[0] * input[1] * input[2];
const adversarial = new Float32Array(indices.length * size);
const place = new Map(indices.map((index, row) => [index, row]));
const broken = new Set<number>();
const started = performance.now();
await evaluate(counting(engine), {
  target,
  surrogates: [],
  split: { count, images: images.data, labels: labels.data },
  indices,
  input,
  batchSize: job.batchSize,
  seed: job.seed,
  ...planOf(job),
  onExample: ({ sample, success }, image) => {
    if (broken.has(sample)) return;
    adversarial.set(image, (place.get(sample) ?? 0) * size);
    if (success) broken.add(sample);
  },
});
const seconds = (performance.now() - started) / 1000;
const { runtimeVersion } = engine.info;
const answer: Answer = {
  versions: `${runtimeVersion}, Node ${process.version}`,
  seconds,
  processorSeconds: process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6,
  peakBytes: memory('VmHWM'),
  startBytes,
  ...spent,
  deviation: 0, // the logits of the file are this engine's
};
writeFileSync(job.output, writeSafetensors({ adversarial: float32(adversarial, [indices.length, ...input]) }));
await engine.dispose();
console.log(JSON.stringify(answer));

function planOf({ attack: name, epsilon }: Job) {
  const { attack, settings } = ATTACKS.find((each) => each.name === name)?.ours ?? {};
  if (!attack) return profilePlan(name, [epsilon]);
  return { plan: [{ attack, norm: 'linf', epsilons: [epsilon], ...(settings && { settings }) }] as const };
}

/** The engine; images through the model are counted as PyTorch's are: every row of every run, also those that only fill a compiled shape. */
function counting(inner: Engine): Engine {
  return {
    info: inner.info,
    loaded: inner.loaded,
    load: (file) => inner.load(file),
    dispose: () => inner.dispose(),
    compile: async (fn, specs, options) => {
      const compiled = await inner.compile(fn, specs, options);
      const { parameters, ...arrays } = specs as Record<string, { readonly shape?: readonly number[] }>;
      const rows = parameters ? ((arrays.points ?? arrays.images)?.shape?.[0] ?? 0) : 0;
      const backwards = options?.name?.startsWith('look/') ? rows : 0;
      return Object.assign(Object.create(compiled) as typeof compiled, {
        run: (inputs: Parameters<typeof compiled.run>[0]) => {
          spent.forwards += rows;
          spent.backwards += backwards;
          return compiled.run(inputs);
        },
      });
    },
  };
}

/** Bytes that the kernel has for this process. `resourceUsage` would say what the process had that started this one. */
function memory(field: 'VmRSS' | 'VmHWM'): number {
  const [, kilobytes] = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return 1024 * Number(kilobytes);
}
