import type { StepEvent } from '@jsigr/defenses';
import type { Progress } from './methods.ts';

/** Four progress events a second at most. */
const INTERVAL_MS = 250;

/** Gathers steps and says now and then how it stands: the means of all steps since it last said so. */
export class ProgressMeter {
  #steps: StepEvent[] = [];
  #last = Number.NEGATIVE_INFINITY;

  /** The event that is due, if one is: one each quarter of a second, and one for the last step. */
  add(step: StepEvent, now: number): Progress | undefined {
    this.#steps.push(step);
    const due = step.step === 1 || step.step >= step.totalSteps || now - this.#last >= INTERVAL_MS;
    return due ? this.flush(now) : undefined;
  }

  /** The event of what was not yet told, if there is anything. */
  flush(now: number): Progress | undefined {
    const latest = this.#steps.at(-1);
    if (!latest) return undefined;
    const steps = this.#steps;
    this.#steps = [];
    this.#last = now;
    const mean = (of: (step: StepEvent) => number) => steps.reduce((sum, step) => sum + of(step), 0) / steps.length;
    const terms = Object.keys(latest.terms).map((name) => [name, mean(({ terms }) => terms[name] ?? 0)] as const);
    return {
      type: 'progress',
      step: latest.step,
      totalSteps: latest.totalSteps,
      metrics: {
        loss: mean(({ loss }) => loss),
        ...Object.fromEntries(terms),
        accuracy: mean(({ accuracy }) => accuracy),
        learning_rate: latest.learningRate,
      },
      imagesPerSecond: latest.imagesPerSecond,
      secondsLeft: latest.secondsLeft,
    };
  }
}
