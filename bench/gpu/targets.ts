import { createEngine, type DeviceName, describeEngine, EngineError, type EngineName } from '@jsigr/engine';

/** An engine on a GPU, as `engine/device`. */
export interface Target {
  readonly engine: EngineName;
  readonly device: DeviceName;
}

export const GPU_TARGETS: readonly Target[] = [
  { engine: 'onnx', device: 'cuda' },
  { engine: 'onnx', device: 'webgpu' },
  { engine: 'tensorflow', device: 'cuda' },
];

export const nameOf = ({ engine, device }: Target): string => `${engine}/${device}`;

/** What a target says of itself, or what hinders it. */
export type Found = { readonly target: Target } & ({ readonly info: string } | { readonly problem: string });

/** Tries each target. @throws whatever is not just "it is not there" */
export function findTargets(targets: readonly Target[], create = createEngine): Promise<Found[]> {
  return Promise.all(
    targets.map(async (target): Promise<Found> => {
      try {
        const engine = await create(target);
        const info = describeEngine(engine.info);
        await engine.dispose();
        return { target, info };
      } catch (error) {
        if (error instanceof EngineError && error.reason === 'MISSING_ENGINE')
          return { target, problem: error.message };
        throw error;
      }
    }),
  );
}
