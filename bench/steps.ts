import type { Dataset } from '@jsigr/datasets';
import { findObjective, mapsBy, type StepEvent, type TrainingEvent, train } from '@jsigr/defenses';
import { createEngine, type Engine, float32, int32, sizeOf } from '@jsigr/engine';
import { createClassifier, initialParameters, type ModelSpec } from '@jsigr/models';
import { median, milliseconds, ratio } from './statistics.ts';

export interface StepCase {
  readonly architecture: string;
  readonly batchSize: number;
  readonly dataset: Dataset;
}

const WITHOUT_MASKS = { rampEndEpoch: 0, maskWarmupEpochs: 10_000 };
/** More than are timed, and than the epochs before the masks have. */
const STEPS = 100_000_000;
const OBJECTIVES = [
  { label: 'standard', name: 'standard', settings: {} },
  // The masks are an input of the step; what making them costs is measured beside it and shared out.
  { label: 'jsigr', name: 'jsigr', settings: WITHOUT_MASKS },
  { label: 'pgd-at', name: 'pgd-at', settings: { steps: 7 } },
  { label: 'jsigr fd', name: 'jsigr', settings: { ...WITHOUT_MASKS, estimator: 'finite-difference' } },
] as const;
const defaults = findObjective('jsigr').parse({}) as {
  readonly saliencyMethod: string;
  readonly saliencyStride: number;
  readonly maskRefreshEpochs: number;
};
/** J-SIGR's own masks, and the cheapest: one backward pass an image. */
const METHODS = [defaults.saliencyMethod, 'gradient'];

/**
 * Times whole training steps (batch, step, random numbers) of the objectives, interleaved round by round in one process, and says
 * their ratios. The first step of each run is the compilation.
 */
export async function benchSteps({ architecture, batchSize, dataset }: StepCase, rounds: number): Promise<void> {
  const engine = await createEngine();
  const runs = OBJECTIVES.map(({ label, name, settings }) => {
    const config = {
      architecture,
      objective: { name, settings },
      steps: STEPS,
      batchSize,
      seed: 1,
      heldOutFraction: 0,
    };
    // One step a turn of the engine: several would all be made before the event of the first.
    return { label, events: train(engine, config, dataset, { turnSeconds: 0 }), times: [] as number[], first: 0 };
  });
  for (const run of runs) run.first = await timeStep(run.events);
  for (let round = 0; round < rounds; round++)
    for (const run of runs) {
      // The first step of a turn finds the caches full of another objective's numbers, as no training does that goes on.
      await timeStep(run.events);
      run.times.push(await timeStep(run.events));
    }
  for (const run of runs) await run.events.return();

  const masks: { readonly method: string; readonly perStep: number }[] = [];
  for (const method of METHODS) {
    const batch = await timeSaliency(engine, architecture, dataset, batchSize, method);
    masks.push({ method, perStep: batch / defaults.maskRefreshEpochs });
  }
  const medians = runs.map(({ times }) => median(times));
  const [standard = Number.NaN, jsigr = Number.NaN, adversarial = Number.NaN, difference = Number.NaN] = medians;
  const saliency = masks[0]?.perStep ?? Number.NaN;
  console.log(`\n${architecture}, batch ${batchSize}, ${engine.info.threads} threads`);
  for (const { label, times, first } of runs)
    console.log(
      `  ${label.padEnd(9)} ${milliseconds(median(times)).padStart(9)} a step (best ${milliseconds(Math.min(...times))}); ` +
        `compiled in ${milliseconds(first - median(times))}`,
    );
  for (const { method, perStep } of masks)
    console.log(
      `  masks by ${method}, refreshed every ${defaults.maskRefreshEpochs} epochs: ${milliseconds(perStep)} a step`,
    );
  console.log(`  jsigr / standard   ${ratio((jsigr + saliency) / standard, 4)}`);
  console.log(`  jsigr / pgd-at-7   ${ratio((jsigr + saliency) / adversarial, 0.6)}`);
  for (const { method, perStep } of masks)
    console.log(`  jsigr fd, masks by ${method} / standard ${ratio((difference + perStep) / standard, 2.5)}`);
  await engine.dispose();
}

async function timeStep(events: AsyncGenerator<TrainingEvent, void>): Promise<number> {
  for (;;) {
    const started = performance.now();
    const { value } = await events.next();
    const event = value as StepEvent | undefined;
    if (event?.type === 'step') return performance.now() - started;
  }
}

/** Milliseconds for the maps of one batch. */
async function timeSaliency(
  engine: Engine,
  architecture: string,
  dataset: Dataset,
  batch: number,
  method: string,
): Promise<number> {
  const spec: ModelSpec = { architecture, input: [...dataset.input], classes: dataset.classes.length };
  const classifier = createClassifier(spec, initialParameters(spec, 1), architecture);
  const size = sizeOf(dataset.input);
  const images = float32(
    Float32Array.from(dataset.train.images.subarray(0, batch * size), (value) => value / 255),
    [batch, ...dataset.input],
  );
  const labels = int32(Int32Array.from(dataset.train.labels.subarray(0, batch)), [batch]);
  const times: number[] = [];
  for (let i = 0; i < 6; i++) {
    const started = performance.now();
    await mapsBy({ method })(engine, classifier, images, labels, { stride: defaults.saliencyStride });
    if (i > 0) times.push(performance.now() - started);
  }
  return median(times);
}
