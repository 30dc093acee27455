import { decodeExamples } from '@jsigr/attacks';
import type { Dataset } from '@jsigr/datasets';
import type { LoopFeedback } from '@jsigr/defenses';
import type { FeedbackArgument } from './methods.ts';

/** What the reports of a run have changed so far; read by the training loop before every epoch. Of an image the newest example counts. */
export class FeedbackPool {
  readonly #dataset: Dataset;
  readonly #images = new Map<number, Uint8Array>();
  #penalties: Pick<LoopFeedback, 'penaltyFactor' | 'bestClean'> = {};
  #share = 0;
  #stop = false;

  constructor(dataset: Dataset) {
    this.#dataset = dataset;
  }

  /** As it is now: a report in the middle of an epoch changes nothing of what that was begun with. */
  get feedback(): LoopFeedback {
    return {
      ...this.#penalties,
      ...(this.#stop ? { stop: true } : {}),
      ...(this.#images.size > 0 ? { examples: { images: new Map(this.#images), share: this.#share } } : {}),
    };
  }

  /**
   * Holds at most one example for each training image, so never more bytes than the training images have.
   * @returns training images that have an example now
   * @throws Error with reason INVALID_EXAMPLES if the examples are of other images
   */
  take({ penaltyFactor, bestClean, examples, stop }: FeedbackArgument): number {
    this.#stop ||= stop === true;
    if (penaltyFactor !== undefined && bestClean !== undefined) this.#penalties = { penaltyFactor, bestClean };
    if (!examples) return this.#images.size;
    const { indices, images, input } = decodeExamples(examples.files);
    const { train, input: own } = this.#dataset;
    const beyond = indices.find((index) => index >= train.count);
    if (input.join() !== own.join() || beyond !== undefined) {
      const what = beyond === undefined ? `images of ${input.join('x')}` : `an example of training image ${beyond}`;
      const message = `${what} given, the dataset has ${train.count} of ${own.join('x')}`;
      throw Object.assign(new Error(message), { reason: 'INVALID_EXAMPLES', field: 'report.trainingExamples' });
    }
    const size = images.length / indices.length;
    indices.forEach((index, place) => {
      this.#images.set(index, images.slice(place * size, (place + 1) * size));
    });
    this.#share = examples.share;
    return this.#images.size;
  }
}
