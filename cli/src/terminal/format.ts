import {
  AttackAccess,
  type AttackResult,
  type EpsilonQuantile,
  MaskingVerdict,
  type Metric,
  type Proportion,
  RunState,
} from '@jsigr/proto';

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** `0.8124` as `81.2 %`. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** A share with its interval: `81.2 % [79.4, 82.9]`; `-` where nothing was counted. */
export function proportion(share: Proportion | undefined): string {
  if (!share || share.trials === 0) return '-';
  return `${percent(share.value)} [${(share.lower * 100).toFixed(1)}, ${(share.upper * 100).toFixed(1)}]`;
}

/** `12345.6` as `12,346`. */
export function count(value: number): string {
  return whole.format(value);
}

/** `1 epoch`, `12 epochs`. */
export function epochsText(epochs = 0): string {
  return `${count(epochs)} ${epochs === 1 ? 'epoch' : 'epochs'}`;
}

/** Four significant digits, without an exponent where a reader needs none: `0.4123`, `12.35`, `1.2e-7`. */
export function decimal(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);
}

/** Seconds as `0:42`, `12:05` or `1:02:03`. */
export function duration(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  const clock = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const [hours = 0, minutes = 0, rest = 0] = clock;
  const tail = String(rest).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${tail}` : `${minutes}:${tail}`;
}

/** Bytes as `512 B`, `3.1 kB`, `2.4 MB` (powers of 1000). */
export function bytes(size: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = size;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `models/` and the first 12 digits of a digest; every command takes such a prefix. Other names stay as they are. */
export function shortName(name: string): string {
  return name.replace(/^(models\/)?([0-9a-f]{12})[0-9a-f]+$/, '$1$2');
}

/** host:port as an address for a browser. */
export function urlOf(address: string): string {
  return address.includes('://') ? address : `http://${address}`;
}

/** UTC to the second: `2026-11-23 08:44:16`. */
export function instant(time: Date | undefined): string {
  return time ? time.toISOString().slice(0, 19).replace('T', ' ') : '-';
}

/** `RUN_STATE_RUNNING` as `running`. */
export function stateName(state: RunState): string {
  return word(state, 'RUN_STATE_');
}

/** `not assessed`; an unspecified verdict is none, so it reads the same. */
export function maskingName(verdict: MaskingVerdict): string {
  return verdict === MaskingVerdict.MASKING_VERDICT_UNSPECIFIED ? 'not assessed' : word(verdict, 'MASKING_VERDICT_');
}

/** `white-box`, `transferred` or `control`. */
export function accessName(access: AttackAccess): string {
  if (access === AttackAccess.ATTACK_ACCESS_TRANSFER) return 'transferred';
  return word(access, 'ATTACK_ACCESS_').replace(' ', '-');
}

/** An attack as it was set: `transfer linf ni+si`, `pgd linf loss=margin steps=40`. Equal settings read the same, in whatever order they came. */
export function attackName({
  attack,
  norm,
  settings,
}: {
  readonly attack: string;
  readonly norm: string;
  readonly settings: Readonly<Record<string, string>>;
}): string {
  return [attack, norm, settingsName(settings)].filter(Boolean).join(' ');
}

/** A quantile of radii with its interval: `0.0312 [0.028, 0.035]`; what is beyond the largest radius tried as `> 0.1`. */
export function quantile({ epsilon, lower, upper }: EpsilonQuantile, largest: number): string {
  const beyond = `> ${decimal(largest)}`;
  const said = (value: number | undefined) => (value === undefined ? beyond : decimal(value));
  return lower === undefined ? beyond : `${said(epsilon)} [${said(lower)}, ${said(upper)}]`;
}

/** What a limit left undone of an attack: `40 not met, 12 cut short`; empty where it was done to its end. */
export function notDone({ unattempted, cutShort }: Pick<AttackResult, 'unattempted' | 'cutShort'>): string {
  return [unattempted > 0 && `${count(unattempted)} not met`, cutShort > 0 && `${count(cutShort)} cut short`]
    .filter(Boolean)
    .join(', ');
}

/** The recipe, which is a name by itself, and then the others: `ni+si steps=20`. */
export function settingsName({ recipe = '', ...others }: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(others).map(([name, value]) => `${name}=${value}`);
  return [recipe, ...pairs.sort()].filter(Boolean).join(' ');
}

/** The value of a metric, if it is there. */
export function metricOf(metrics: readonly Metric[], name: string): number | undefined {
  return metrics.find((metric) => metric.name === name)?.value;
}

/** `cross_entropy` and `crossEntropy` as `cross entropy`. */
export function spaced(name: string): string {
  return name.replaceAll('_', ' ').replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** Is the run over? */
export function isFinal(state: RunState): boolean {
  return (
    state === RunState.RUN_STATE_SUCCEEDED ||
    state === RunState.RUN_STATE_FAILED ||
    state === RunState.RUN_STATE_CANCELLED
  );
}

function word(value: string, prefix: string): string {
  return spaced(value.replace(prefix, '').toLowerCase());
}
