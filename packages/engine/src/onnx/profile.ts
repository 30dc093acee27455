import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Node } from '../graph.ts';
import type { LoweredGraph } from './lower.ts';
import type { Session } from './session.ts';

/** What ONNX Runtime writes for each operator that it ran, in microseconds. */
interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly dur: number;
}

/** `Mul_7_kernel_time`; with an activation that ONNX Runtime merged into it `fused Gemm_2_kernel_time`. */
const KERNEL_TIME = /(\w+_\d+)_kernel_time$/;

/**
 * Mean milliseconds of each node of the graph over the runs after the first, which warms up. An operator counts for the node whose lowering made
 * it first; what ONNX Runtime adds itself counts for none.
 */
export async function profileSession(
  open: (profile: string) => Promise<Session>,
  run: (session: Session) => Promise<unknown>,
  { origins }: LoweredGraph,
  runs: number,
): Promise<ReadonlyMap<Node, number>> {
  const directory = await mkdtemp(join(tmpdir(), 'jsigr-profile-'));
  try {
    const session = await open(join(directory, 'profile'));
    for (let i = 0; i <= runs; i++) await run(session);
    session.endProfiling();
    await session.release();
    const [file = ''] = await readdir(directory);
    const events = JSON.parse(await readFile(join(directory, file), 'utf8')) as ProfileEvent[];
    const kernels = events.filter(({ cat, name }) => cat === 'Node' && KERNEL_TIME.test(name));
    const warm = kernels.slice(kernels.length / (runs + 1)); // every run has the same operators
    const milliseconds = new Map<Node, number>();
    for (const { name, dur } of warm) {
      const node = origins.get(KERNEL_TIME.exec(name)?.[1] ?? '');
      if (node) milliseconds.set(node, (milliseconds.get(node) ?? 0) + dur / 1000 / runs);
    }
    return milliseconds;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
