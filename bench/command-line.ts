/** Reads the options of a benchmark's command; what is wrong is said with the usage, and ends the process with 2. */
export class CommandLine {
  readonly #usage: string;

  constructor(usage: string) {
    this.#usage = usage;
  }

  /** Names out of those that there are, from a list with commas or one by one. */
  listOf<Name extends string>(what: string, given: string | readonly string[], known: readonly Name[]): Name[] {
    const names = (typeof given === 'string' ? given.split(',') : given).map((name) => name.trim());
    const unknown = names.find((name) => !known.includes(name as Name));
    if (unknown !== undefined) this.refuse(`${what}: there is no "${unknown}"; known: ${known.join(', ')}`);
    return names as Name[];
  }

  numberOf(option: string, text: string, least: number, most: number): number {
    const value = Number(text);
    if (!(value >= least && value <= most)) this.refuse(`--${option} is ${text}; allowed: ${least} to ${most}`);
    return value;
  }

  integerOf(option: string, text: string, least: number, most: number): number {
    const value = this.numberOf(option, text, least, most);
    if (!Number.isInteger(value)) this.refuse(`--${option} is ${text}; allowed: integers from ${least} to ${most}`);
    return value;
  }

  refuse(reason: string): never {
    console.error(`${reason}\n\n${this.#usage}`);
    process.exit(2);
  }
}
