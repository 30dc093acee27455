/** Yes or no for each sample, as a file keeps it: eight samples a byte, the first one lowest. */
export interface Outcomes {
  readonly total: number;
  readonly yes: number;
  /** Base64. */
  readonly bits: string;
}

export function outcomesOf(flags: readonly boolean[]): Outcomes {
  const bytes = new Uint8Array(Math.ceil(flags.length / 8));
  flags.forEach((flag, i) => {
    if (flag) bytes[i >> 3] = (bytes[i >> 3] ?? 0) | (1 << (i & 7));
  });
  return {
    total: flags.length,
    yes: flags.filter(Boolean).length,
    bits: Buffer.from(bytes).toString('base64'),
  };
}

export function flagsOf({ total, bits }: Outcomes): boolean[] {
  const bytes = Buffer.from(bits, 'base64');
  return Array.from({ length: total }, (_, i) => (((bytes[i >> 3] ?? 0) >> (i & 7)) & 1) === 1);
}

/** Where all of them say yes. */
export function allOf(outcomes: readonly Outcomes[]): Outcomes {
  const flags = outcomes.map(flagsOf);
  return outcomesOf((flags[0] ?? []).map((_, i) => flags.every((each) => each[i])));
}
