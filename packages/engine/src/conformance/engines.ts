import { createEngine, type Engine } from '../engine.ts';
import { findAddon } from '../tensorflow/addon.ts';

/**
 * The engines that must agree, and how to get them: a new engine is one line. One that is not installed gives `undefined`. The first is what
 * the others are compared with.
 */
const engines: Readonly<Record<string, () => Promise<Engine | undefined>>> = {
  onnx: () => createEngine({ threads: 1, cacheEntries: 4 }),
  'onnx, block 1': () => createEngine({ threads: 1, blockSize: 1, cacheEntries: 4 }),
  reference: () => createEngine({ engine: 'reference', cacheEntries: 4 }),
  tensorflow: async () =>
    findAddon('cpu') ? createEngine({ engine: 'tensorflow', device: 'cpu', threads: 1, cacheEntries: 4 }) : undefined,
};

export interface NamedEngine {
  readonly name: string;
  readonly engine: Engine;
}

/** Starts every engine of the table that is installed; whoever opens them disposes of them. */
export async function openEngines(): Promise<NamedEngine[]> {
  const opened: NamedEngine[] = [];
  for (const [name, open] of Object.entries(engines)) {
    const engine = await open();
    if (engine) opened.push({ name, engine });
  }
  return opened;
}

export async function closeEngines(opened: readonly NamedEngine[]): Promise<void> {
  await Promise.all(opened.map(({ engine }) => engine.dispose()));
}
