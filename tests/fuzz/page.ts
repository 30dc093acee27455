import { inWords, MOST_GROWTH_MIB, type Outcome } from './target.ts';

export interface FuzzRun extends Outcome {
  readonly date: string;
  readonly commit: string;
  readonly processor: string;
  readonly node: string;
  readonly seed: number;
  /** Inputs that were asked for; every target has its whole share. */
  readonly asked: number;
  readonly seconds: number;
  /** Errors that nobody caught. */
  readonly crashes: number;
  /** Resident memory in MiB: before the first input, at its highest, after the last. */
  readonly memory: { readonly before: number; readonly highest: number; readonly after: number };
}

/** The page of a run, in Markdown. */
export function fuzzPage(run: FuzzRun): string {
  const { date, commit, processor, node, seed, asked, seconds, inputs, tallies, findings, crashes, slowest, memory } =
    run;
  const mib = (value: number) => `${value.toFixed(0)} MiB`;
  return [
    '# Fuzzing',
    '',
    `    npm run fuzz -- --inputs ${asked} --seed ${seed} --page docs/results/fuzz.md`,
    '',
    `Every gRPC method of gateway and workers, every HTTP route, every parser: ${tallies.length} targets, found by the contract's descriptors and the routes that are served. ${inputs} inputs, seed ${seed}, commit ${commit}; ${processor}, Node ${node.slice(1)},`,
    `${date.slice(0, 10)}, ${(seconds / 60).toFixed(0)} minutes. Written by the command.`,
    '',
    `**${findings.length} findings, ${crashes} uncaught errors.** A finding is INTERNAL, UNKNOWN, DATA_LOSS, a deadline of 20 s missed, HTTP 5xx other than 503, an error without a reason, or a parser that takes more than 10 s or 128 MiB. Slowest input: ${slowest.slowestMs.toFixed(0)} ms`,
    `(${slowest.target}). Memory of the process with gateway, three workers and all parsers: ${mib(memory.before)} before, ${mib(memory.highest)} at its highest, ${mib(memory.after)} after; at most ${MOST_GROWTH_MIB} MiB more are allowed.`,
    '',
    ...findings.flatMap(({ target, error, input }) => [
      `- **${target}**: ${error}`,
      `  \`${input.replaceAll('`', "'")}\``,
    ]),
    '| target | inputs | what became of them | slowest, ms |',
    '| --- | --- | --- | --- |',
    ...tallies.map(
      (tally) =>
        `| ${tally.target.replaceAll('|', '\\|')} | ${tally.inputs} | ${inWords(tally)} | ${tally.slowestMs.toFixed(0)} |`,
    ),
    '',
  ].join('\n');
}
