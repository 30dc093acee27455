import { adaptPenalties, FIRST_CONTROL, type PenaltyControl } from '@jsigr/defenses';
import { Feedback, FeedbackTaken, type LoopSpec, type RobustnessReport } from '@jsigr/proto';
import type { ArtefactStore, ComputeThread } from '@jsigr/service';
import { type Files, movable } from '@jsigr/service/compute';
import type { FeedbackArgument, TrainerMethods } from './methods.ts';

/** Where the contract leaves it open. */
const CLEAN_TOLERANCE = 0.02;
const EXAMPLE_SHARE = 0.5;
const PATIENCE = 5;

/** Takes reports to the training in progress, as the loop's feedback says. */
export class LoopFeedback {
  readonly #loop: LoopSpec | undefined;
  readonly #artefacts: ArtefactStore;
  readonly #thread: ComputeThread<TrainerMethods>;
  #control: PenaltyControl;
  /** Reports in a row that were no better than the best. */
  #reportsSince: number;
  #stoppedAfter: number | undefined;

  /** What reports had said before this trainer began. */
  readonly begun: FeedbackArgument;

  /**
   * @param resumed the checkpoint that the run goes on from: the penalties go on as they were; what reports have made of them, where that is known; and
   * reports since the best one
   */
  constructor(
    loop: LoopSpec | undefined,
    artefacts: ArtefactStore,
    thread: ComputeThread<TrainerMethods>,
    resumed: {
      readonly checkpoint?: Files | undefined;
      readonly control?: PenaltyControl;
      readonly reportsSince?: number;
    } = {},
  ) {
    const { control } = resumed;
    this.#control = control ?? controlOf(resumed.checkpoint);
    this.#reportsSince = resumed.reportsSince ?? 0;
    this.#loop = loop?.enabled ? loop : undefined;
    this.#artefacts = artefacts;
    this.#thread = thread;
    this.#stopIfOver();
    this.begun = {
      ...(control ? { penaltyFactor: control.factor, bestClean: control.bestClean } : {}),
      ...(this.stoppedAfter === undefined ? {} : { stop: true }),
    };
  }

  /** Reports in a row after which no further epoch was begun; undefined: it was not for them. What is reported later, of checkpoints made before, changes nothing. */
  get stoppedAfter(): number | undefined {
    return this.#stoppedAfter;
  }

  #stopIfOver(): void {
    const { feedback, patience = 0 } = this.#loop ?? {};
    const isOver = feedback === Feedback.FEEDBACK_EARLY_STOP && this.#reportsSince >= (patience || PATIENCE);
    if (isOver) this.#stoppedAfter ??= this.#reportsSince;
  }

  /**
   * @param isBetter than all reports before it
   * @returns what changes with the next epoch; undefined where nothing does
   * @throws JsigrError if the examples are not in the store, or are of other images
   */
  async take(report: RobustnessReport, isBetter: boolean): Promise<FeedbackTaken | undefined> {
    const wasOver = this.stoppedAfter !== undefined;
    this.#reportsSince = isBetter ? 0 : this.#reportsSince + 1;
    this.#stopIfOver();
    const change = wasOver ? undefined : await this.#changeOf(report);
    if (!change) return undefined;
    const buffers = change.examples ? movable(change.examples.files).buffers : [];
    const { examples } = await this.#thread.call('feedback', change, { transfer: buffers });
    const { model, step } = report;
    return FeedbackTaken.fromPartial({
      model,
      step,
      penaltyFactor: change.penaltyFactor ?? 0,
      trainingExamples: examples,
      stoppedAfterReports: this.stoppedAfter ?? 0,
    });
  }

  async #changeOf({ cleanAccuracy, trainingExamples }: RobustnessReport): Promise<FeedbackArgument | undefined> {
    const { feedback, cleanTolerance = 0, exampleShare = 0 } = this.#loop ?? {};
    if (feedback === Feedback.FEEDBACK_ADAPT && cleanAccuracy && cleanAccuracy.trials > 0) {
      this.#control = adaptPenalties(this.#control, cleanAccuracy.value, cleanTolerance || CLEAN_TOLERANCE);
      return { penaltyFactor: this.#control.factor, bestClean: this.#control.bestClean };
    }
    if (feedback === Feedback.FEEDBACK_AUGMENT && trainingExamples) {
      const files = await this.#artefacts.get('examples', trainingExamples);
      return { examples: { files: movable(files).files, share: exampleShare || EXAMPLE_SHARE } };
    }
    return this.stoppedAfter === undefined ? undefined : { stop: true };
  }
}

/** Of a checkpoint that the training loop will verify as a whole. */
function controlOf(checkpoint: Files | undefined): PenaltyControl {
  const manifest = checkpoint?.['manifest.json'];
  if (!manifest) return FIRST_CONTROL;
  const { metrics } = JSON.parse(new TextDecoder().decode(manifest)) as { metrics?: Record<string, number> };
  const { penaltyFactor = FIRST_CONTROL.factor, bestClean = FIRST_CONTROL.bestClean } = metrics ?? {};
  return { factor: penaltyFactor, bestClean };
}
