import { EngineError } from '../errors.ts';

export type Json = unknown;

export function malformed(message: string, cause?: unknown): EngineError {
  return new EngineError('MALFORMED_FILE', `not a readable LayersModel: ${message}`, { cause });
}

export function record(value: Json, what: string): Record<string, Json> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, Json>;
  throw malformed(`${what} is ${kindOf(value)} where a record belongs`);
}

export function list(value: Json, what: string): Json[] {
  if (Array.isArray(value)) return value;
  throw malformed(`${what} is ${kindOf(value)} where a list belongs`);
}

export function text(value: Json, what: string): string {
  if (typeof value === 'string') return value;
  throw malformed(`${what} is ${kindOf(value)} where a text belongs`);
}

function kindOf(value: Json): string {
  if (value === undefined) return 'missing';
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}
