import { type CheckpointFiles, encodeCheckpoint, initialParameters, type ResolvedModelSpec } from '@jsigr/models';

/** Files of a model that was not trained, of its own for each seed. */
export function untrained(model: ResolvedModelSpec, seed = 1): CheckpointFiles {
  return encodeCheckpoint({
    run: 'trainingRuns/test',
    step: 0,
    epoch: 0,
    model,
    dataset: { name: 'none', digest: '' },
    objective: { name: 'standard', settings: {} },
    configuration: {},
    seed,
    engine: {},
    metrics: {},
    parameters: initialParameters(model, seed),
    optimizer: {},
  });
}
