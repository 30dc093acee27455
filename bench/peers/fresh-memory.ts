// A fresh process for `bench:engine memory`: resident memory over many training steps.
import { createEngine } from '@jsigr/engine';
import { OUR_JOBS } from './our-jobs.ts';
import { type Workload, workloadArrays } from './workloads.ts';

const MIB = 2 ** 20;
const PARTS = 10;
const steps = Number(process.argv[2]);
const engine = await createEngine({ threads: 1 });
const workload: Workload = { network: 'resnet8', batch: 4, input: [16, 16, 3] };
const job = await OUR_JOBS.jsigr(engine, workload, workloadArrays(workload));
const resident: number[] = [];
for (let part = 0; part < PARTS; part++) {
  await job.steps(steps / PARTS);
  globalThis.gc?.();
  resident.push(process.memoryUsage.rss() / MIB);
}
// The first tenth fills arenas and heaps; growth is what comes after it.
const growth = (resident.at(-1) ?? 0) - (resident[0] ?? 0);
console.log(
  `resnet8 J-SIGR, batch 4, 16x16x3: resident MiB after each tenth of ${steps} steps: ${resident.map((mib) => mib.toFixed(0)).join(' ')}`,
);
console.log(
  `growth after the first tenth: ${growth.toFixed(1)} MiB, ${((growth * MIB) / (0.9 * steps)).toFixed(0)} bytes a step`,
);
await engine.dispose();
