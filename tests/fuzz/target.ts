import fc from 'fast-check';

/** Something that is given inputs, and must take or refuse each of them in an orderly way. */
export interface Target<Input = never> {
  readonly name: string;
  readonly input: fc.Arbitrary<Input>;
  /** How the input was taken or refused, in a word that inputs share, e.g. OK or INVALID_ARGUMENT. @throws what is not in order */
  check(input: Input): Promise<string>;
  close?(): void;
}

export interface Finding {
  readonly target: string;
  readonly error: string;
  /** The smallest input that shows it. */
  readonly input: string;
}

/** What became of one target's inputs. */
export interface Tally {
  readonly target: string;
  readonly inputs: number;
  readonly outcomes: Readonly<Record<string, number>>;
  /** Milliseconds of the slowest. */
  readonly slowestMs: number;
}

export interface Outcome {
  readonly inputs: number;
  readonly findings: readonly Finding[];
  readonly tallies: readonly Tally[];
  readonly slowest: Tally;
}

export interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  /** Targets at once: a stream that waits for something keeps the others from nothing. One unless told. */
  readonly atOnce?: number;
  readonly tell?: (line: string) => void;
}

/** By how much the resident memory of gateway, workers and parsers together may grow over a run, however long, at its highest: what they compile and keep, and no more. */
export const MOST_GROWTH_MIB = 1024;

/** Gives every target its share of the inputs. */
export async function fuzz(
  targets: readonly Target[],
  { inputs, seed, atOnce = 1, tell = () => {} }: FuzzOptions,
): Promise<Outcome> {
  const findings: Finding[] = [];
  const tallies: Tally[] = [];
  const share = Math.ceil(inputs / targets.length);
  const waiting = [...targets];
  const work = async () => {
    for (let target = waiting.shift(); target; target = waiting.shift()) {
      const { tally, finding } = await fuzzOne(target, share, seed);
      tallies.push(tally);
      if (finding) findings.push(finding);
      tell(`${tally.target}: ${inWords(tally)}${finding ? `, FAILED: ${finding.error}` : ''}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  const order = new Map(targets.map(({ name }, i) => [name, i]));
  tallies.sort((a, b) => (order.get(a.target) ?? 0) - (order.get(b.target) ?? 0));
  return {
    inputs: tallies.reduce((sum, tally) => sum + tally.inputs, 0),
    findings,
    tallies,
    slowest: tallies.reduce((slowest, tally) => (tally.slowestMs > slowest.slowestMs ? tally : slowest)),
  };
}

async function fuzzOne({ name, input, check }: Target, numRuns: number, seed: number) {
  const outcomes: Record<string, number> = {};
  let [inputs, slowestMs] = [0, 0];
  const property = fc.asyncProperty(input as fc.Arbitrary<unknown>, async (value) => {
    const start = performance.now();
    const outcome = await (check as (value: unknown) => Promise<string>)(value);
    slowestMs = Math.max(slowestMs, performance.now() - start);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    inputs++;
  });
  const result = await fc.check(property, { numRuns, seed });
  const tally = { target: name, inputs, outcomes, slowestMs };
  if (!result.failed) return { tally };
  const error = result.errorInstance instanceof Error ? result.errorInstance.message : String(result.errorInstance);
  return { tally, finding: { target: name, error, input: fc.stringify(result.counterexample).slice(0, 2000) } };
}

/** The outcomes, the most frequent first. */
export function inWords({ outcomes }: Pick<Tally, 'outcomes'>): string {
  return Object.entries(outcomes)
    .sort(([, a], [, b]) => b - a)
    .map(([outcome, count]) => `${count} ${outcome}`)
    .join(', ');
}
