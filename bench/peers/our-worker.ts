// A peer of `bench/engine.ts`: our own engine. Reads one JSON command a line and answers each with one line.
import { createInterface } from 'node:readline';
import { createEngine, type DeviceName } from '@jsigr/engine';
import { convolutionPeak } from './convolution-peak.ts';
import { OUR_JOBS, type RunningJob } from './our-jobs.ts';
import type { Command, Reply } from './protocol.ts';
import { CHECKED_STEPS, workloadArrays } from './workloads.ts';

const [threads, device] = process.argv.slice(2) as [string, DeviceName];
const engine = await createEngine({ threads: Number(threads), device });
const jobs = new Map<string, RunningJob>();
const { runtimeVersion, blockSize } = engine.info;
answer({ versions: `${runtimeVersion}, block size ${blockSize}, Node ${process.version}`, variants: [''] });
for await (const line of createInterface({ input: process.stdin })) answer(await obey(JSON.parse(line) as Command));
await engine.dispose();

async function obey(command: Command): Promise<Reply> {
  switch (command.do) {
    case 'prepare': {
      const { workload, job } = command;
      const started = performance.now();
      const made =
        job === 'peak'
          ? await convolutionPeak(engine)
          : await OUR_JOBS[job](engine, workload, workloadArrays(workload));
      const seconds = (performance.now() - started) / 1000;
      const results: number[] = [];
      for (let step = 0; step < CHECKED_STEPS; step++) results.push(await (await made.steps(1))());
      jobs.set(command.key, made);
      return { results, compileSeconds: seconds, flops: made.flops };
    }
    case 'run': {
      await jobs.get(command.key)?.steps(command.steps);
      return {};
    }
    case 'release': {
      for (const job of jobs.values()) await job.release();
      jobs.clear();
      return {};
    }
  }
}

function answer(reply: Reply): void {
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
