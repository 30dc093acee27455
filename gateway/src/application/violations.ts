import { status } from '@grpc/grpc-js';
import { invalidArgument, JsigrError, type Violation } from '@jsigr/service';

const OF_THE_REQUEST: readonly status[] = [status.INVALID_ARGUMENT, status.NOT_FOUND, status.FAILED_PRECONDITION];

/** What no database keeps, or what a terminal obeys. */
const UNPRINTABLE = /[^\P{Cc}\t\n\r]|\p{Cs}/u;

/** What is wrong with a request, gathered field by field, so that a client learns all of it at once. */
export class Violations {
  readonly #found: Violation[] = [];

  add(field: string, description: string): void {
    this.#found.push({ field, description });
  }

  /** Runs a check that throws: its message becomes the field's violation. */
  try<T>(field: string, check: () => T): T | undefined {
    try {
      return check();
    } catch (error) {
      this.add(field, JsigrError.from(error).message.replace(`${field}: `, ''));
      return undefined;
    }
  }

  /** What an error says of the field. @throws the error where it says nothing of it, such as that the database is away */
  addError(field: string, error: unknown): undefined {
    const { code, message } = JsigrError.from(error);
    if (!OF_THE_REQUEST.includes(code)) throw error;
    this.add(field, message.replace(`${field}: `, ''));
  }

  integer(field: string, value: number, least: number, most: number): void {
    if (!Number.isInteger(value) || value < least || value > most)
      this.add(field, `${value} given, an integer from ${least} to ${most} allowed`);
  }

  number(field: string, value: number, allowed: string, holds: (value: number) => boolean): void {
    if (!Number.isFinite(value) || !holds(value)) this.add(field, `${value} given, ${allowed} allowed`);
  }

  oneOf(field: string, value: string, known: readonly string[]): void {
    if (!known.includes(value)) this.add(field, `${JSON.stringify(value)} given, ${known.join(', ')} allowed`);
  }

  text(field: string, value: string, most: number): void {
    this.printable(field, value);
    if (value.length > most) this.add(field, `has ${value.length} characters, at most ${most} are allowed`);
  }

  printable(field: string, value: string): void {
    if (UNPRINTABLE.test(value)) this.add(field, 'holds control characters, or half of a surrogate pair');
  }

  /** @throws JsigrError INVALID_ARGUMENT with every violation. */
  throwIfAny(): void {
    if (this.#found.length > 0) throw invalidArgument(this.#found);
  }
}
