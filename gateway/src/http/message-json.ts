import { invalidArgument, type Violation } from '@jsigr/service';

/** What ts-proto generates for a message. */
export interface MessageJson<T> {
  fromJSON(json: unknown): T;
  toJSON(message: T): unknown;
}

type JsonRecord = Readonly<Record<string, unknown>>;

/**
 * A message from JSON that somebody sent. The generated reader takes anything, and drops what it does not know: here that is a violation, field by
 * field. Names may be lowerCamel or as in the .proto.
 * @throws JsigrError INVALID_ARGUMENT
 */
export function messageFromJson<T>(type: MessageJson<T>, json: unknown): T {
  if (!isRecord(json)) throw invalidArgument('', 'the body must be a JSON object');
  const message = readOrThrow(type, json);
  const violations = compare(json, type.toJSON(message), '');
  if (violations.length > 0) throw invalidArgument(violations);
  return message;
}

function readOrThrow<T>(type: MessageJson<T>, json: JsonRecord): T {
  try {
    return type.fromJSON(json);
  } catch (error) {
    throw invalidArgument('', `the body does not fit: ${error instanceof Error ? error.message : error}`);
  }
}

/** What was given against what was understood of it. */
function compare(given: unknown, understood: unknown, path: string): Violation[] {
  const wrong = (what: string) => [{ field: path, description: `${JSON.stringify(given)?.slice(0, 100)} is ${what}` }];
  if (understood === undefined)
    return isDefault(given) ? [] : [{ field: path, description: 'is not known, or not of its type' }];
  if (Array.isArray(understood))
    return Array.isArray(given)
      ? given.flatMap((each, i) => compare(each, understood[i], `${path}[${i}]`))
      : wrong('no list');
  if (isRecord(understood)) return isRecord(given) ? compareFields(given, understood, path) : wrong('no object');
  if (typeof understood === 'number') return isNumber(given, understood) ? [] : wrong('no number of its type');
  if (typeof understood === 'boolean') return typeof given === 'boolean' ? [] : wrong('neither true nor false');
  if (understood === 'UNRECOGNIZED') return wrong('not among the known values');
  return typeof given === 'object' ? wrong('no text') : [];
}

function compareFields(given: JsonRecord, understood: JsonRecord, path: string): Violation[] {
  return Object.entries(given).flatMap(([key, value]) => {
    const name = Object.hasOwn(understood, key) ? key : lowerCamel(key);
    return compare(
      value,
      Object.hasOwn(understood, name) ? understood[name] : undefined,
      path ? `${path}.${name}` : name,
    );
  });
}

/** Fields that have their default value are left out of JSON: such a value is missing without having been dropped. */
function isDefault(value: unknown): boolean {
  if (value === null || value === 0 || value === '' || value === false || value === '0') return true;
  if (typeof value === 'string') return value.endsWith('_UNSPECIFIED');
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** A number, or its text; of fields of whole numbers the fraction was rounded away. */
function isNumber(given: unknown, understood: number): boolean {
  if (!Number.isFinite(understood)) return given === String(understood);
  const isText = typeof given === 'string' && given.trim() !== '';
  return (isText || typeof given === 'number') && Number(given) === understood;
}

function lowerCamel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function isRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
