import { createEngine, type Engine } from '../engine.ts';

/** The engines that must agree, and how to get them: a new engine is one line. The first is what the others are compared with. */
const engines: Readonly<Record<string, () => Promise<Engine>>> = {
  onnx: () => createEngine({ threads: 1, cacheEntries: 4 }),
  'onnx, block 1': () => createEngine({ threads: 1, blockSize: 1, cacheEntries: 4 }),
  reference: () => createEngine({ engine: 'reference', cacheEntries: 4 }),
};

export interface NamedEngine {
  readonly name: string;
  readonly engine: Engine;
}

/** Starts every engine of the table; whoever opens them disposes of them. */
export function openEngines(): Promise<NamedEngine[]> {
  return Promise.all(Object.entries(engines).map(async ([name, open]) => ({ name, engine: await open() })));
}

export async function closeEngines(opened: readonly NamedEngine[]): Promise<void> {
  await Promise.all(opened.map(({ engine }) => engine.dispose()));
}
