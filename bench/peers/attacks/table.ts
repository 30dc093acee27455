import { mcnemar } from '@jsigr/attacks';
import { ATTACKS, MODELS, TOOLS } from './cases.ts';
import { PAGE_SEED, type Result } from './results.ts';

/** Ours may break so many images fewer than a peer: one in 200. */
const SLACK = 1 / 200;

/** What the issue asks of an attack: how many times as fast as the fastest peer, by the model's objective, and what part of a peer's memory at most. */
export const SPEED: Readonly<Record<string, (objective: string) => number>> = {
  'pgd-40': () => 1.5,
  autoattack: (objective) => (objective === 'standard' ? 3 : 1.5),
};
const MEMORY = 0.5;

export interface Comparison {
  readonly ours: Result;
  readonly peer: Result;
  readonly onlyOurs: number;
  readonly onlyPeer: number;
  /** Exact McNemar, two-sided. */
  readonly p: number;
  readonly isHeld: boolean;
  /** The peer's seconds for one of ours, and ours of a byte of the peer's. */
  readonly speed: number;
  readonly memory: number;
}

/** Our result beside that of each peer, on the same model, images, attack and radius. */
export function comparisons(results: readonly Result[]): Comparison[] {
  const sorted = [...results].sort(byPlace);
  return sorted
    .filter(({ tool }) => tool !== 'ours')
    .flatMap((peer) => {
      const own = sorted.filter((each) => each.tool === 'ours' && keyOf(each) === keyOf(peer));
      const ours = own.find((each) => placeOf(each) === placeOf(peer)) ?? own[0];
      return ours ? [compared(ours, peer)] : [];
    });
}

/** What must be equal for two results to be compared. */
function keyOf({ model, digest, epsilon, attack, samples }: Result): string {
  return JSON.stringify([model, digest, epsilon, attack, samples]);
}

/** What must be equal besides for their seconds and memory to be compared. */
function placeOf({ batchSize, threads, device, processor }: Result): string {
  return JSON.stringify([batchSize, threads, device, processor]);
}

const areTimesComparable = ({ ours, peer }: Comparison) => ours.device === 'cpu' && placeOf(ours) === placeOf(peer);

/** In the order of the tables. */
function byPlace(a: Result, b: Result): number {
  const order = (result: Result) => [
    MODELS.findIndex(({ name }) => name === result.model),
    -result.epsilon,
    ATTACKS.findIndex(({ name }) => name === result.attack),
    result.samples,
    TOOLS.indexOf(result.tool),
  ];
  return firstDifference(order(a), order(b));
}

function firstDifference(a: readonly number[], b: readonly number[]): number {
  return a.map((value, i) => value - (b[i] ?? 0)).find((difference) => difference !== 0) ?? 0;
}

function compared(ours: Result, peer: Result): Comparison {
  const onlyOurs = ours.broken.filter((index) => !peer.broken.includes(index)).length;
  const onlyPeer = peer.broken.filter((index) => !ours.broken.includes(index)).length;
  return {
    ours,
    peer,
    onlyOurs,
    onlyPeer,
    p: mcnemar(onlyOurs, onlyPeer),
    isHeld: onlyPeer - onlyOurs <= SLACK * ours.samples,
    speed: peer.seconds / ours.seconds,
    memory: ours.peakBytes / peer.peakBytes,
  };
}

/** The tables, in Markdown. Results of other seeds than the page's tell only how much is chance. */
export function attacksPage(everything: readonly Result[]): string {
  const results = everything.filter(({ seed }) => seed === undefined);
  const all = comparisons(results);
  const timed = all.filter(areTimesComparable);
  const one = (of: (result: Result) => string | number) => [...new Set(results.map(of))].join('; ');
  return `# Our attacks beside torchattacks, foolbox and ART

Made by \`npm run bench:attacks\` ([how](../../bench/peers/README.md)). ${one(({ processor }) => processor)}; threads: ${one(({ threads }) => threads)}; images a batch:
${one(({ batchSize }) => batchSize)}. ${one(({ versions }) => versions)}.
Raw results, image by image: [attacks-beside-peers/](attacks-beside-peers). Largest difference of logits between the networks: ${Math.max(...results.map(({ deviation }) => deviation), 0).toExponential(1)} of the largest logit.

## Who breaks more

Robust accuracy in percent of all images, those that the model misclassifies anyway counted as not robust. *Only ours* and *only theirs*: images that one side breaks and the other does not; p: exact McNemar test.
Held: ours breaks at least as many, less one image in 200. *On*: the device of both, or of ours and theirs. **Held: ${all.filter(({ isHeld }) => isHeld).length} of ${all.length}.**

| model | weights | linf | attack | images | tool | on | ours | theirs | only ours | only theirs | p | at least as strong |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
${all.map(strengthRow).join('\n')}

${drawsSection(everything)}## Seconds, memory, passes
${timed.length === 0 ? '\nNothing was timed on the same processors yet.\n' : ''}
Where both ran on the same processors. Seconds of the attack alone, what we compile for it included; memory: the most that the process ever held, of which in brackets before the attack; passes: images forwards / backwards through the model, those that only fill a batch included. *disturbed*: other processes kept more
than a tenth of a core busy meanwhile, so the seconds mean little.

| model | weights | linf | attack | images | tool | seconds: ours, theirs | times as fast | MB: ours, theirs | part of the memory | passes: ours | passes: theirs |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
${timed.map((each) => costRow(each, timed)).join('\n')}

## How far \`rapid\` is from AutoAttack

The profile \`rapid\` beside our AutoAttack on the same images. *Only AutoAttack*: images that \`rapid\` leaves standing and AutoAttack breaks. Times as fast: where both ran on the same processors.

| model | weights | linf | images | robust: rapid, AutoAttack | only AutoAttack | only rapid | seconds: rapid, AutoAttack | times as fast |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
${distances(results).join('\n')}
`;
}

/** How many images each seed of an attack broke, where there are more than the page's; empty where there are none. */
function drawsSection(results: readonly Result[]): string {
  const headed = results.toSorted(byPlace).map((result) => ({ head: headOf(result), result }));
  const rows = Object.entries(Object.groupBy(headed, ({ head }) => head)).flatMap(([head, draws = []]) => {
    const bySeed = new Map(draws.map(({ result }) => [result.seed ?? PAGE_SEED, result.broken.length]));
    const cells = [...bySeed].toSorted(([one], [other]) => one - other).map(([seed, broken]) => `${seed}: ${broken}`);
    return bySeed.size > 1 ? [`${head} | ${cells.join(', ')} |`] : [];
  });
  if (rows.length === 0) return '';
  return `## How much is chance

Images that an attack broke with other seeds (\`--seed\`).

| model | weights | linf | attack | images | tool | seed: broken |
| --- | --- | --- | --- | --- | --- | --- |
${rows.join('\n')}

`;
}

/** A row for each model and radius that both were tried at. */
function distances(results: readonly Result[]): string[] {
  const ours = results.filter(({ tool }) => tool === 'ours').sort(byPlace);
  return ours
    .filter(({ attack }) => attack === 'rapid')
    .flatMap((rapid) => {
      const rivals = ours.filter((each) => keyOf(each) === keyOf({ ...rapid, attack: 'autoattack' }));
      const full = rivals.find((each) => placeOf(each) === placeOf(rapid)) ?? rivals[0];
      if (!full) return [];
      const without = (some: Result, other: Result) => some.broken.filter((index) => !other.broken.includes(index));
      const { model, digest, epsilon, samples } = rapid;
      const isTimed = placeOf(full) === placeOf(rapid);
      const cells = [
        ...[model, digest.slice(0, 6), radius(epsilon), samples, `${robust(rapid)}, ${robust(full)}`],
        ...[without(full, rapid).length, without(rapid, full).length],
        isTimed ? `${rapid.seconds.toFixed(1)}, ${full.seconds.toFixed(1)}` : '',
        isTimed ? (full.seconds / rapid.seconds).toFixed(1) : '',
      ];
      return [`| ${cells.join(' | ')} |`];
    });
}

/** Of all images, in percent. */
function robust({ correct, broken, samples }: Result): string {
  return ((100 * (correct.length - broken.length)) / samples).toFixed(1);
}

const headOf = ({ model, digest, epsilon, attack, samples, tool }: Result) =>
  `| ${model} | ${digest.slice(0, 6)} | ${radius(epsilon)} | ${attack} | ${samples} | ${tool}`;

function radius(epsilon: number): string {
  return Number.isInteger(epsilon * 255) ? `${epsilon * 255}/255` : String(epsilon);
}

function strengthRow({ ours, peer, onlyOurs, onlyPeer, p, isHeld }: Comparison): string {
  const outside = peer.outside.length > 0 ? ` (${peer.outside.length} outside the ball)` : '';
  const on = [...new Set([ours.device, peer.device])].join(', ');
  return `${headOf(peer)} | ${on} | ${robust(ours)} | ${robust(peer)}${outside} | ${onlyOurs} | ${onlyPeer} | ${p.toPrecision(2)} | ${isHeld ? 'held' : '**not held**'} |`;
}

function costRow({ ours, peer, speed, memory }: Comparison, all: readonly Comparison[]): string {
  const objective = MODELS.find(({ name }) => name === ours.model)?.objective ?? '';
  const needed = SPEED[ours.attack]?.(objective);
  // The bound is against the fastest peer.
  const isFastest = all.every((other) => other.ours !== ours || other.speed >= speed);
  const disturbed = Math.max(ours.otherCores, peer.otherCores) > 0.1 ? ', disturbed' : '';
  const bound = needed && isFastest ? ` (at least ${needed}: ${speed >= needed ? 'held' : '**not held**'})` : '';
  const cells = [
    `${ours.seconds.toFixed(1)}, ${peer.seconds.toFixed(1)}${disturbed}`,
    `${speed.toFixed(2)}${bound}`,
    `${megabytes(ours)}, ${megabytes(peer)}`,
    `${memory.toFixed(2)} (at most ${MEMORY}: ${memory <= MEMORY ? 'held' : '**not held**'})`,
    passes(ours),
    passes(peer),
  ];
  return `${headOf(peer)} | ${cells.join(' | ')} |`;
}

const megabytes = ({ peakBytes, startBytes }: Result) =>
  `${(peakBytes / 1e6).toFixed(0)} (${(startBytes / 1e6).toFixed(0)})`;

const passes = ({ forwards, backwards }: Result) => `${forwards} / ${backwards}`;
