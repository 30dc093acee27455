import { JsigrError, type Logger, unavailable } from '@jsigr/service';

/** Can the gateway do its work at the moment? */
export interface Check {
  readonly name: string;
  readonly work: () => Promise<unknown>;
}

const EVERY_MS = 5000;
const MOST_MS = 2000;

/** Looks again and again whether everything that the gateway rests on answers, and tells whoever asks. */
export class Readiness {
  readonly #checks: readonly Check[];
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;
  #last: string | undefined = 'it starts';

  constructor(checks: readonly Check[], logger: Logger) {
    this.#checks = checks;
    this.#logger = logger;
  }

  /** @param tell is told whenever it changes */
  async start(tell: (ready: boolean) => void): Promise<void> {
    const look = async () => {
      const before = this.#last;
      this.#last = await this.#problem();
      if (before === this.#last) return;
      if (this.#last !== undefined) this.#logger.error(`the gateway is not ready: ${this.#last}`);
      tell(this.#last === undefined);
    };
    await look();
    this.#timer = setInterval(() => void look(), EVERY_MS).unref();
  }

  /** Looks now. @throws JsigrError NOT_READY saying what does not answer */
  async demand(): Promise<void> {
    if (this.#timer === undefined) throw unavailable('NOT_READY', 'the gateway starts, or stops');
    const problem = await this.#problem();
    if (problem !== undefined) throw unavailable('NOT_READY', problem);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #problem(): Promise<string | undefined> {
    for (const { name, work } of this.#checks)
      try {
        await within(MOST_MS, work());
      } catch (error) {
        return `${name}: ${JsigrError.from(error).message}`;
      }
    return undefined;
  }
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`did not answer within ${ms} ms`)), ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
