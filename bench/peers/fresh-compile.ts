// A fresh process for `bench:engine compile`: prints what compiling one step took, as JSON.
import { createEngine } from '@jsigr/engine';
import { OUR_JOBS } from './our-jobs.ts';
import { type Job, type Workload, workloadArrays } from './workloads.ts';

const [network = '', job = '', threads = ''] = process.argv.slice(2);
const engine = await createEngine({ threads: Number(threads) });
// What a process does once (loading the runtime, probing its kernels) is not compilation.
const tiny: Workload = { network: 'lenet', batch: 1, input: [8, 8, 1] };
await (await OUR_JOBS.train(engine, tiny, workloadArrays(tiny))).release();
const workload: Workload = { network, batch: 32, input: [32, 32, 3] };
const arrays = workloadArrays(workload);
const cpu = process.cpuUsage();
const started = performance.now();
const made = await OUR_JOBS[job as Job](engine, workload, arrays);
const seconds = (performance.now() - started) / 1000;
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6, nodes: made.nodes }));
await engine.dispose();
